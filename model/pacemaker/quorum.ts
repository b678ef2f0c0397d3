import { socketDirectory } from "../names.ts";
import type { Detection, PacemakerDeclaration } from "./declaration.ts";
import { pacemakerNames } from "./names.ts";

/** How a quorum device decides who gets its vote: "ffsplit" for an even number of hosts, "lms" (last man standing) for any. */
export const deviceAlgorithms = ["ffsplit", "lms"] as const;

/** How a quorum device decides who gets its vote. */
export type DeviceAlgorithm = (typeof deviceAlgorithms)[number];

/** A daemon on a host without a part in the cluster that votes where the hosts are cut into halves. */
export interface QuorumDevice {
  /** The host that it runs on. */
  readonly host: string;
  /** Where the nodes reach it. */
  readonly address: string;
  /** How it decides. */
  readonly algorithm: DeviceAlgorithm;
  /** The PostgreSQL clusters with their ports: of equal halves it is for the one with the primaries of all of them. */
  readonly clusters: Readonly<Record<string, number>>;
}

/** An even number of hosts can be halved, an odd one cannot: there one more vote would only make it even. */
export function defaultAlgorithm(hosts: number): DeviceAlgorithm {
  return hosts % 2 === 0 ? "ffsplit" : "lms";
}

/** Each of two hosts has quorum alone, and fencing decides who goes on: without a device that votes for one of them. */
export function isTwoNode(hosts: number, device: QuorumDevice | undefined): boolean {
  return hosts === 2 && device === undefined;
}

/**
 * In milliseconds, how often a node speaks to its device: the device takes it for lost after 1.2 times as long, which is to be
 * no later than Corosync does. `sync`: how long the nodes wait for its word when they see each other come or go.
 */
const deviceTimeouts: Readonly<Record<Detection, { readonly timeout: number; readonly sync: number }>> = {
  fast: { timeout: 2000, sync: 6000 },
  normal: { timeout: 5000, sync: 15_000 },
  wide: { timeout: 10_000, sync: 30_000 },
};

/** What corosync.conf says of a quorum device. */
export function deviceSection({ address, algorithm, clusters }: QuorumDevice, detection: Detection) {
  return {
    ...deviceTimeouts[detection],
    address,
    algorithm,
    // Last man standing has as many votes as it needs by itself.
    votes: algorithm === "ffsplit" ? 1 : null,
    primaries: Object.entries(clusters).map(([cluster, port]) => ({
      cluster,
      dataLink: pacemakerNames(cluster).dataLink,
      socket: `${socketDirectory}/.s.PGSQL.${port}`,
    })),
  };
}

/** The part of a corosync.conf that is about a quorum device; undefined where there is none. */
export function deviceIn(conf: string): string | undefined {
  return /^ {2}device \{\n[\s\S]*?^ {2}\}$/m.exec(conf)?.[0];
}

/** By which Pacemaker lets the host with the primary win when two hosts, cut off from each other, both want to switch the other off. */
export const fencingDelayProperty = "priority-fencing-delay";

/**
 * How long a host waits before it switches off the one with the primary. Longer than any fence device needs, because the
 * primary's host must be done by then; a failover after that host's death is later by it.
 */
const twoHostsFencingDelay = "10s";

/** Properties of the Pacemaker cluster that follow from how its quorum is made. */
export function quorumProperties({ hosts, fencing, quorumDevice }: PacemakerDeclaration): Record<string, string> {
  const isRace = isTwoNode(hosts.length, quorumDevice) && fencing.length > 0;
  return isRace ? { [fencingDelayProperty]: twoHostsFencingDelay } : {};
}

/** Does the delay work? Then a primary must weigh more than a standby, and Pacemaker weighs only what has a priority. */
export function delaysFencing(properties: Readonly<Record<string, string>>): boolean {
  return !/^0*[a-z]*$/.test(properties[fencingDelayProperty] ?? "0");
}
