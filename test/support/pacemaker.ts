import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect } from "vitest";
import { type Lab, type LabWish, openLab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { pacemakerProblems, unpromotable } from "../../model/pacemaker/explain.ts";
import { addressResource, pacemakerNames } from "../../model/pacemaker/names.ts";
import { parseStatus, promotedNodes, type RunningStatus, statusCommand } from "../../model/pacemaker/status.ts";
import { boardDevices, boardSecret } from "./fencingBoard.ts";
import { hostsConfig, onHost } from "./labStack.ts";
import { clusterName, declareTestCluster, expectExit, type TestCluster } from "./testCluster.ts";
import { testLabName } from "./testLab.ts";

/* Cluster orders under Pacemaker, as Pacemaker itself sees it. */

export const names = pacemakerNames(clusterName);
export const address = addressResource(clusterName, "primary");
const resources = [names.resource, address];

/** New hosts that have Pacemaker's packages already. */
export function openPacemakerLab(hosts: number, wish: Partial<LabWish> = {}): Promise<Lab> {
  return openLab({ name: testLabName, hosts, prepared: "pacemaker", fresh: true, ...wish });
}

/** An address beside the lab's virtual IP, which nobody has. */
export function secondVirtualIp(lab: Lab): string {
  return lab.virtualIp.replace(/\d+$/, (last) => String(Number(last) + 1));
}

/** What a test has otherwise than three members on the lab's three hosts. */
export interface PacemakerOptions {
  /** Default: every host of the lab. The other hosts are declared, and have no part in the cluster. */
  readonly members?: readonly string[];
  /** Further keys of the Corosync cluster main. */
  readonly corosync?: Readonly<Record<string, unknown>>;
  /** Virtual IPs beside the primary's. */
  readonly virtualIps?: Readonly<Record<string, unknown>>;
}

/** Cluster orders with PAF, one virtual IP, and the lab's management board as the fence device of every member's host. */
export async function declarePacemakerCluster(
  lab: Lab,
  name: string,
  { members = lab.hosts.map((host) => host.name), corosync = {}, virtualIps = {} }: PacemakerOptions = {},
): Promise<TestCluster> {
  const devices = boardDevices(
    lab.board,
    members.map((member) => lab.host(member)),
  );
  const cluster = await declareTestCluster({
    lab,
    name,
    members,
    config: {
      ...hostsConfig(lab),
      "pgha:pacemaker": { main: { detection: "fast", fencing: { devices }, ...corosync } },
    },
    declaration: {
      failover: { manager: "pacemaker" },
      virtualIps: { ...virtualIps, primary: { address: `${lab.virtualIp}/26`, nic: "host0" } },
    },
  });
  const password = await readFile(lab.board.passwordFile, "utf8");
  const set = ["config", "set", "--secret", "--path", `pgha:fencingSecrets.${boardSecret}`, password];
  expectExit(await cluster.stack.pulumi(...set), 0);
  return cluster;
}

/**
 * The hosts and the cluster of one file's tests: made before them, and gone after them, for their image is another one than that
 * of other files. `opened` takes the cluster, and may declare more of it before `up`.
 */
export function setUpPacemakerCluster(
  hosts: number,
  name: string,
  opened: (cluster: TestCluster) => unknown,
  { wish, ...options }: PacemakerOptions & { readonly wish?: Partial<LabWish> } = {},
): void {
  let lab: Lab | undefined;
  let cluster: TestCluster | undefined;
  beforeAll(async () => {
    lab = await openPacemakerLab(hosts, wish);
    cluster = await declarePacemakerCluster(lab, name, options);
    await opened(cluster);
    expectExit(await cluster.stack.up(), 0);
  });
  afterAll(async () => {
    await cluster?.close();
    await lab?.down();
  });
}

/** What this host's Pacemaker says; throws where it does not run. */
export async function pacemakerStatus(lab: Lab, host: string): Promise<RunningStatus> {
  const status = parseStatus((await lab.insideHost(host, statusCommand, 15)).stdout);
  if (!status.running) throw new Error(`${host}: Pacemaker does not run: ${status.reason}`);
  return status;
}

/** Everything that keeps Pacemaker from doing its work, as this host sees it; empty when all is well. */
async function problems(lab: Lab, host: string): Promise<string[]> {
  const status = await pacemakerStatus(lab, host);
  return [...pacemakerProblems(status, resources), ...unpromotable(status, resources)];
}

/** "pgha-orders: pg1 Promoted, pg2 Unpromoted; pgha-orders-primary-ip: pg1 Started" */
export function whereItRuns(status: RunningStatus): string {
  const line = (id: string) =>
    status.resources
      .filter((resource) => resource.id === id && resource.nodes.length > 0)
      .flatMap((resource) => resource.nodes.map((node) => `${node} ${resource.role}`))
      .sort()
      .join(", ");
  return resources.map((id) => `${id}: ${line(id)}`).join("; ");
}

/** Which hosts have the virtual IP (default the primary's), whether they answer for it or not. */
export async function holders(lab: Lab, virtualIp = lab.virtualIp): Promise<string[]> {
  const held = await Promise.all(
    lab.hosts.map(async ({ name }) => {
      const output = await onHost(lab, name, ["ip", "-oneline", "address", "show", "to", `${virtualIp}/32`]);
      return output === "" ? [] : [name];
    }),
  );
  return held.flat();
}

/** Once settled: this member promoted, all others standbys, and the address on the primary's host alone. */
export async function expectRoles(
  lab: Lab,
  primary: string,
  members: readonly string[] = lab.hosts.map(({ name }) => name),
): Promise<void> {
  await waitUntilSettled(lab, primary, 120);
  const roles = members.map((name) => `${name} ${name === primary ? "Promoted" : "Unpromoted"}`);
  expect(whereItRuns(await pacemakerStatus(lab, primary))).toBe(
    `${names.resource}: ${roles.sort().join(", ")}; ${address}: ${primary} Started`,
  );
  expect(await holders(lab)).toEqual([primary]);
}

/** Waits until Pacemaker has promoted this member (any other than `not`), with its address; returns its name. */
export async function waitUntilPromoted(lab: Lab, asked: string, not: string, limitSeconds: number): Promise<string> {
  const promoted = async (): Promise<string | undefined> => {
    const status = await pacemakerStatus(lab, asked).catch(() => undefined);
    if (status === undefined) return undefined;
    const [node] = promotedNodes(status, names.clone).filter((one) => one !== not);
    const owner = status.resources.find(({ id }) => id === address)?.nodes[0];
    return node !== undefined && owner === node ? node : undefined;
  };
  return await waitFor(`Pacemaker on ${asked} to promote another member than ${not}`, limitSeconds, promoted, 200);
}

/** Waits until Pacemaker has found or started this member's instance, and does nothing with it any more. */
export async function waitUntilRunning(lab: Lab, asked: string, member: string, limitSeconds: number): Promise<void> {
  const running = async (): Promise<true | undefined> => {
    const status = await pacemakerStatus(lab, asked).catch(() => undefined);
    const instance = status?.resources.find(({ id, nodes }) => id === names.resource && nodes.includes(member));
    return (instance?.role === "Unpromoted" && instance.pending === undefined) || undefined;
  };
  await waitFor(`Pacemaker on ${asked} to run ${member} as a standby`, limitSeconds, running, 500);
}

/** Waits until nothing keeps Pacemaker from doing its work. */
export async function waitUntilSettled(lab: Lab, asked: string, limitSeconds: number): Promise<void> {
  let last: readonly string[] = [];
  try {
    await waitFor(
      "Pacemaker to settle",
      limitSeconds,
      async () => {
        last = await problems(lab, asked).catch((error: Error) => [error.message]);
        return last.length === 0 || undefined;
      },
      500,
    );
  } catch (error) {
    throw new Error(`${asked}: ${(error as Error).message}; last seen:\n${last.join("\n")}`);
  }
}
