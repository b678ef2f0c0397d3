import { type Fault, FaultsFound } from "../model/fault.ts";
import { readCib } from "../model/pacemaker/cib.ts";
import { fenceId, type PacemakerConfiguration } from "../model/pacemaker/configuration.ts";
import { belongingOf, type CorosyncShape } from "../model/pacemaker/corosyncConf.ts";
import { deviceFaults } from "../model/pacemaker/fenceMetadata.ts";
import { sbdFaults } from "../model/pacemaker/sbd.ts";
import { hasWork } from "../model/pacemaker/status.ts";
import type { RemoteHost, RemoteHosts } from "../remote/host.ts";
import { applyConfiguration, queryCib, waitUntilJoined, waitUntilNothingLeft } from "./cib.ts";
import {
  agentMetadata,
  clearDefaultCluster,
  keyDigest,
  layCorosync,
  lookAtNodes,
  type NodeView,
  reloadCorosync,
  removeCorosync,
  startServices,
} from "./corosync.ts";
import {
  type DeviceView,
  endDevice,
  lookAtDevice,
  prepareDevice,
  releaseFormerDevice,
  runDevice,
  votingFaults,
} from "./deviceChanges.ts";
import { manageAfterChange, settleNewlyDriven, standBackForChange } from "./managers/redrive.ts";
import { stopDeviceNode } from "./quorumDevice.ts";
import type { Reporter } from "./reporter.ts";

/** One Pacemaker cluster as it should be. */
export interface WantedPacemaker {
  readonly corosync: CorosyncShape;
  /** Text of corosync.conf, the same on every node. */
  readonly conf: string;
  /** Corosync's key, secret. */
  readonly key: string;
  /** Secrets in clear. */
  readonly configuration: PacemakerConfiguration;
  /** What the last `up` laid; undefined at creation. */
  readonly former?: {
    readonly conf: string | undefined;
    readonly nodes: CorosyncShape["nodes"];
    readonly device?: CorosyncShape["device"];
    readonly properties: readonly string[];
  };
}

/** The coordinator of a cluster that never ran is elected after 20 s (dc-deadtime). */
const joinLimitSeconds = 120;
const settleLimitSeconds = 120;

/**
 * Looks at every node and refuses, with all faults at once, what could not be carried out. Touches nothing. `withoutPackages`:
 * those of a quorum device come only with this `up`.
 */
export async function judgeNodes(
  hosts: RemoteHosts,
  wanted: WantedPacemaker,
  { withoutPackages }: { readonly withoutPackages: boolean },
): Promise<{ views: NodeView[]; device: DeviceView | undefined }> {
  const agents = Object.values(wanted.configuration.fencing).map(agentName);
  const [views, device] = await Promise.all([
    lookAtNodes(hosts, Object.keys(wanted.corosync.nodes), [...new Set(agents)]),
    lookAtDevice(hosts, wanted.corosync),
  ]);
  const faults = views.flatMap((view) => nodeFaults(view, wanted));
  faults.push(...votingFaults(device, views, wanted, withoutPackages));
  const asked = views.find((view) => view.reached && view.missing.length === 0);
  if (asked !== undefined) faults.push(...(await fenceFaults(hosts.host(asked.host), wanted)));
  if (faults.length > 0) throw new FaultsFound(faults, "Corosync: nothing was touched:");
  return { views, device };
}

/** "stonith:fence_ipmilan" */
function agentName({ agent }: { readonly agent: string }): string {
  return agent.slice(agent.indexOf(":") + 1);
}

/** By what the agents themselves say, so that no device is found wrong on the day when it is needed. */
async function fenceFaults(host: RemoteHost, { corosync, configuration }: WantedPacemaker): Promise<Fault[]> {
  const devices = Object.entries(configuration.fencing);
  const faults = await Promise.all(
    devices.map(async ([id, device]) => {
      const path = ["pgha:pacemaker", corosync.name, "fencing", "devices", id.slice(fenceId("").length)];
      const agent = agentName(device);
      return deviceFaults(path, agent, Object.keys(device.parameters), await agentMetadata(host, agent));
    }),
  );
  return faults.flat();
}

function nodeFaults(view: NodeView, wanted: WantedPacemaker): Fault[] {
  const path = ["pgha:hosts", view.host];
  if (!view.reached) {
    // One that has what it needs may be dead: the others go on.
    if (wanted.former?.conf === wanted.conf && view.host in wanted.former.nodes) return [];
    return [
      {
        path,
        found: `no answer (${view.reason})`,
        expected: "every host, because corosync.conf is written on each",
        remedy: "Start the host, or take its member out of the cluster.",
      },
    ];
  }
  const faults: Fault[] = [];
  if (view.missing.length > 0) {
    faults.push({
      path,
      found: `no ${view.missing.join(", ")}`,
      expected: "the programs of Corosync, Pacemaker and the fence agents",
      remedy: "Run `pulumi up` without --target, and name the package of each fence device's agent.",
    });
  }
  for (const address of wanted.corosync.nodes[view.host]?.addresses ?? []) {
    if (view.addresses.includes(address)) continue;
    faults.push({
      path: [...path, "address"],
      found: `${address}, which the host does not have (it has ${view.addresses.join(", ")})`,
      expected: "an address of the host for every ring",
      remedy: "Correct the address, or give it to the host.",
    });
  }
  faults.push(...sbdFaults(view.host, view.sbd, wanted.configuration.fencing));
  const belonging = belongingOf(view.host, view.conf, wanted.corosync, wanted.former?.nodes);
  return belonging.kind === "foreign" ? [...faults, belonging.fault] : faults;
}

/**
 * Makes it so: configuration and key on every node, both services, and Pacemaker's configuration in one transaction, by which
 * what runs already is taken over as it runs. May be repeated at any time. Returns a host that answers for the cluster.
 */
export async function bringUpPacemaker(
  hosts: RemoteHosts,
  reporter: Reporter,
  wanted: WantedPacemaker,
): Promise<RemoteHost> {
  const { views, device } = await judgeNodes(hosts, wanted, { withoutPackages: false });
  const reached = views.filter((view) => view.reached);
  for (const { host, reached: answers } of views) {
    if (!answers) reporter.warn(`${host} cannot be reached; Corosync there is left as it is`);
  }
  await removeFormerNodes(hosts, reporter, wanted);
  const certified = await prepareDevice(hosts, reporter, wanted, device);
  const names = reached.map(({ host }) => host);
  await endDevice(hosts, reporter, wanted, names);
  reporter.progress("laying Corosync's configuration");
  const laid = await Promise.all(reached.map((view) => layNode(hosts.host(view.host), view, wanted)));
  reporter.progress(`starting Corosync and Pacemaker on ${names.join(", ")}`);
  await Promise.all(laid.filter(({ runs }) => !runs).map(({ host }) => startServices(host)));
  const toReload = laid.find(({ runs, changed }) => runs && changed);
  if (toReload !== undefined) await reloadCorosync(toReload.host);
  await runDevice(hosts, reporter, device, views, wanted.conf, certified);
  await releaseFormerDevice(hosts, reporter, wanted);
  const [first] = names;
  if (first === undefined) throw new FaultsFound([], "Corosync: no node can be reached; nothing was touched.");
  const speaker = hosts.host(first);
  reporter.progress("waiting for the nodes to join");
  await waitUntilJoined(speaker, names, joinLimitSeconds);
  await forgetFormerNodes(speaker, wanted);
  reporter.progress("giving Pacemaker its configuration");
  const { own: live } = readCib(await queryCib(speaker), []);
  const redriven = await standBackForChange(hosts, speaker, live, wanted.configuration);
  const changed = await applyConfiguration(speaker, wanted.configuration, wanted.former?.properties ?? []);
  if (changed) {
    reporter.progress("waiting until Pacemaker has done what it was told");
    await waitUntilNothingLeft(speaker, settleLimitSeconds);
  }
  if (redriven.length > 0)
    reporter.progress("Pacemaker manages again, by another agent or with other parameters of it");
  await manageAfterChange(redriven);
  await settleNewlyDriven(hosts, speaker, live, wanted.configuration);
  return speaker;
}

/** Key and configuration of one node. `runs`: both services do, now and after a boot. */
async function layNode(
  host: RemoteHost,
  view: Extract<NodeView, { reached: true }>,
  wanted: WantedPacemaker,
): Promise<{ host: RemoteHost; changed: boolean; runs: boolean }> {
  // Without a corosync.conf it may still run by one that somebody removed since: it goes on, and only gets the file back.
  const isDefault = belongingOf(view.host, view.conf, wanted.corosync).kind === "free" && !hasWork(view.status);
  if (isDefault) await clearDefaultCluster(host);
  const isLaid = view.conf === wanted.conf && view.key === keyDigest(wanted.key);
  const changed = !isLaid && (await layCorosync(host, wanted.conf, wanted.key));
  const { corosync, pacemaker } = view.services;
  return { host, changed, runs: !isDefault && [corosync, pacemaker].every(({ active, enabled }) => active && enabled) };
}

function formerNames({ former, corosync }: WantedPacemaker): string[] {
  return Object.keys(former?.nodes ?? {}).filter((name) => !(name in corosync.nodes));
}

/** A host that is no longer declared leaves by its own stop, which stops what Pacemaker runs there. */
async function removeFormerNodes(hosts: RemoteHosts, reporter: Reporter, wanted: WantedPacemaker): Promise<void> {
  const names = formerNames(wanted);
  const views = await lookAtNodes(hosts, names);
  for (const view of views) {
    if (!view.reached) {
      reporter.warn(
        `${view.host} leaves, but cannot be reached\n  There, when it comes back: \`systemctl disable --now pacemaker corosync\`.`,
      );
      continue;
    }
    const shape = { ...wanted.corosync, nodes: { ...wanted.former?.nodes } };
    if (belongingOf(view.host, view.conf, shape).kind !== "ours") continue;
    reporter.progress(`${view.host}: leaving Corosync`);
    await removeCorosync(hosts.host(view.host));
    if (wanted.former?.device !== undefined) await stopDeviceNode(hosts.host(view.host), false);
  }
}

async function forgetFormerNodes(speaker: RemoteHost, wanted: WantedPacemaker): Promise<void> {
  for (const name of formerNames(wanted)) {
    // Not known any more is what is wanted: its exit code says nothing.
    await speaker.run({
      argv: ["crm_node", "--force", "--remove", name],
      limitSeconds: 30,
      purpose: `have Pacemaker forget ${name}`,
    });
  }
}
