import { createHash } from "node:crypto";
import type { Fault } from "../model/fault.ts";
import type { CorosyncShape } from "../model/pacemaker/corosyncConf.ts";
import { deviceIn } from "../model/pacemaker/quorum.ts";
import { RemoteError } from "../remote/errors.ts";
import type { RemoteHosts } from "../remote/host.ts";
import type { NodeView } from "./corosync.ts";
import {
  certifyNode,
  type DeviceNode,
  type DeviceServer,
  lookAtDeviceNode,
  lookAtDeviceServer,
  releaseDeviceServer,
  type Seen,
  startDeviceNode,
  startDeviceServer,
  stopDeviceNode,
  waitUntilConnected,
} from "./quorumDevice.ts";
import type { Reporter } from "./reporter.ts";

/** The quorum device of one Corosync cluster as it was seen. */
export interface DeviceView {
  readonly server: Seen<DeviceServer>;
  /** By node. */
  readonly nodes: Readonly<Record<string, Seen<DeviceNode>>>;
}

const connectLimitSeconds = 30;

/** Undefined: none is declared. */
export async function lookAtDevice(hosts: RemoteHosts, corosync: CorosyncShape): Promise<DeviceView | undefined> {
  const { name, device } = corosync;
  if (device === undefined) return undefined;
  const [server, ...nodes] = await Promise.all([
    lookAtDeviceServer(hosts, device.host, name),
    ...Object.keys(corosync.nodes).map(async (node) => [node, await lookAtDeviceNode(hosts, node, name)] as const),
  ]);
  return { server, nodes: Object.fromEntries(nodes) };
}

/** What a device is to be, and what there was before. */
export interface WantedDevice {
  readonly corosync: CorosyncShape;
  readonly former?: { readonly device?: CorosyncShape["device"] | undefined } | undefined;
}

/** Everything that speaks against the device. `withoutPackages`: its packages come only with this `up`. */
export function votingFaults(
  view: DeviceView | undefined,
  nodes: readonly NodeView[],
  { corosync: { name, device }, former }: WantedDevice,
  withoutPackages: boolean,
): Fault[] {
  if (view === undefined || device === undefined) return [];
  const { server } = view;
  const path = ["pgha:hosts", device.host];
  if (!server.reached) {
    // One that decides already may be dead: the nodes go on without its vote.
    if (JSON.stringify(former?.device) === JSON.stringify(device)) return [];
    return [
      {
        path,
        found: `no answer (${server.reason})`,
        expected: "the host of the quorum device, because certificates are made there",
        remedy: "Start the host, or choose another one.",
      },
    ];
  }
  const faults: Fault[] = [];
  const seen: [string, readonly string[]][] = [
    [device.host, server.missing],
    ...Object.entries(view.nodes).map(([node, one]): [string, readonly string[]] => [
      node,
      one.reached ? one.missing : [],
    ]),
  ];
  for (const [host, missing] of withoutPackages ? [] : seen) {
    if (missing.length === 0) continue;
    faults.push({
      path: ["pgha:hosts", host],
      found: `no ${missing.join(", ")}`,
      expected: "the programs of the quorum device",
      remedy: "Run `pulumi up` without --target.",
    });
  }
  if (!server.addresses.includes(device.address)) {
    faults.push({
      path: [...path, "address"],
      found: `${device.address}, which the host does not have (it has ${server.addresses.join(", ")})`,
      expected: "an address of the host on the network of the first ring",
      remedy: "Correct the address, or give it to the host.",
    });
  }
  const own = nodes.flatMap((node) => (node.reached ? node.addresses : []));
  const strangers = [...new Set(server.clients.filter((client) => !own.includes(client)))];
  if (former?.device?.host !== device.host && strangers.length > 0 && nodes.every(({ reached }) => reached)) {
    faults.push({
      path: ["pgha:pacemaker", name, "quorumDevice", "host"],
      found: `${device.host}, at which ${strangers.join(", ")} of another Corosync cluster ${name} vote already`,
      expected: "a name that no other cluster of this device has: it knows them by it",
      remedy: "Name this one otherwise, or choose another host.",
    });
  }
  return faults;
}

/** Before corosync.conf changes: the device runs, and every node has a certificate. Returns the nodes whose certificate is new. */
export async function prepareDevice(
  hosts: RemoteHosts,
  reporter: Reporter,
  { corosync: { name, device } }: WantedDevice,
  view: DeviceView | undefined,
): Promise<readonly string[]> {
  if (view === undefined || device === undefined) return [];
  const { server } = view;
  if (!server.reached) {
    reporter.warn(
      `${device.host} cannot be reached; the quorum device there is left as it is\n  The nodes go on without its vote. Two of them that lose each other meanwhile stop both.`,
    );
    return [];
  }
  const lacking = Object.entries(view.nodes).flatMap(([node, seen]) => {
    if (!seen.reached) return [];
    const isGood = seen.certified && seen.authority !== undefined && seen.authority === server.authority;
    return isGood ? [] : [node];
  });
  if (server.active && server.enabled && server.authority !== undefined && lacking.length === 0) return [];
  reporter.progress(`starting the quorum device on ${device.host}`);
  const authority = await startDeviceServer(hosts.host(device.host));
  // Where it was made anew, no certificate counts any more.
  const toCertify =
    digest(authority) === server.authority
      ? lacking
      : Object.entries(view.nodes).flatMap(([node, { reached }]) => (reached ? [node] : []));
  if (toCertify.length > 0) reporter.progress(`signing certificates for ${toCertify.join(", ")}`);
  await Promise.all(toCertify.map((node) => certifyNode(hosts.host(node), hosts.host(device.host), name, authority)));
  return toCertify;
}

function digest(text: string): string {
  return createHash("sha256").update(text.trimEnd()).digest("hex");
}

/** Before corosync.conf loses its device: each node gives the vote back while all of them have quorum without it. */
export async function endDevice(
  hosts: RemoteHosts,
  reporter: Reporter,
  { corosync, former }: WantedDevice,
  nodes: readonly string[],
): Promise<void> {
  if (former?.device === undefined || corosync.device !== undefined) return;
  reporter.progress("taking the quorum device's vote back");
  for (const node of nodes) await stopDeviceNode(hosts.host(node), true);
}

/** After corosync.conf: the daemons run by it. One after the other, so that never two lack the device's vote. */
export async function runDevice(
  hosts: RemoteHosts,
  reporter: Reporter,
  view: DeviceView | undefined,
  nodes: readonly NodeView[],
  conf: string,
  certified: readonly string[],
): Promise<void> {
  if (view === undefined) return;
  for (const node of nodes) {
    const seen = view.nodes[node.host];
    if (!node.reached || seen?.reached !== true) continue;
    const isOld = certified.includes(node.host) || deviceIn(node.conf ?? "") !== deviceIn(conf);
    if (seen.active && seen.enabled && !isOld) continue;
    reporter.progress(`${node.host}: speaking to the quorum device`);
    const isRestart = seen.active && isOld;
    await startDeviceNode(hosts.host(node.host), isRestart);
    if (view.server.reached) await waitUntilConnected(hosts.host(node.host), connectLimitSeconds);
  }
}

/** Afterwards: a host that votes no more is tidied up. */
export async function releaseFormerDevice(
  hosts: RemoteHosts,
  reporter: Reporter,
  { corosync, former }: WantedDevice,
): Promise<void> {
  const host = former?.device?.host;
  if (host === undefined || host === corosync.device?.host) return;
  await releaseDevice(hosts, reporter, host, corosync.name);
}

/** A host that cannot be reached is left as it is, with a warning. */
export async function releaseDevice(
  hosts: RemoteHosts,
  reporter: Reporter,
  host: string,
  cluster: string,
): Promise<void> {
  try {
    await releaseDeviceServer(hosts.host(host), cluster);
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    reporter.warn(
      `${host}: the quorum device is left there as it is\n  ${error.message.split("\n")[0]}\n  There, unless other clusters need it: \`systemctl disable --now corosync-qnetd\`.`,
    );
  }
}

/** By host: what of the device `up` would put right; and which nodes have not its vote although everything runs. */
export function deviceDefects(
  view: DeviceView | undefined,
  corosync: CorosyncShape,
): { readonly unhealthy: Readonly<Record<string, string>>; readonly disconnected: readonly string[] } {
  if (view === undefined || corosync.device === undefined) return { unhealthy: {}, disconnected: [] };
  const { server, nodes } = view;
  const unhealthy: Record<string, string> = {};
  const disconnected: string[] = [];
  if (server.reached) {
    const wrong = wrongServices("corosync-qnetd", server);
    if (server.authority === undefined) wrong.push("no certificate to sign with");
    if (wrong.length > 0) unhealthy[corosync.device.host] = wrong.join("; ");
  }
  for (const [node, seen] of Object.entries(nodes)) {
    if (!seen.reached) continue;
    const wrong = wrongServices("corosync-qdevice", seen);
    const isSigned = !server.reached || server.authority === undefined || seen.authority === server.authority;
    if (!seen.certified || !isSigned) wrong.push("no certificate of the quorum device");
    if (wrong.length > 0) unhealthy[node] = wrong.join("; ");
    else if (!seen.connected) disconnected.push(node);
  }
  return { unhealthy, disconnected };
}

function wrongServices(service: string, { active, enabled }: { active: boolean; enabled: boolean }): string[] {
  return [...(active ? [] : [`${service} stopped`]), ...(enabled ? [] : [`${service} not enabled at boot`])];
}
