import { UserError } from "../model/fault.ts";
import { readCib } from "../model/pacemaker/cib.ts";
import { belongingOf, type CorosyncShape } from "../model/pacemaker/corosyncConf.ts";
import type { RemoteHosts } from "../remote/host.ts";
import { applyConfiguration, waitUntilNothingLeft } from "./cib.ts";
import { lookAtNodes, removeCorosync } from "./corosync.ts";
import { releaseDevice } from "./deviceChanges.ts";
import { stopDeviceNode } from "./quorumDevice.ts";
import type { Reporter } from "./reporter.ts";

/**
 * Takes the addresses away and Corosync from its hosts, and leaves the instances running: Pacemaker is told to leave
 * everything alone before it is stopped. A host that cannot be reached is left as it is, with a warning.
 */
export async function removePacemaker(hosts: RemoteHosts, reporter: Reporter, corosync: CorosyncShape): Promise<void> {
  const views = await lookAtNodes(hosts, Object.keys(corosync.nodes));
  const ours = views.filter((view) => view.reached && belongingOf(view.host, view.conf, corosync).kind === "ours");
  for (const view of views) {
    if (view.reached) continue;
    const alone =
      corosync.device === undefined
        ? "Alone it has no quorum and runs nothing. There, when it comes back:"
        : `With the vote of ${corosync.device.host}, which stays while other clusters need that, it may switch the others off and go on with its old data. Keep it off its networks until this was done there:`;
    reporter.warn(
      `${view.host} cannot be reached; Corosync is left there as it is\n  ${alone} \`systemctl disable --now pacemaker corosync\`.`,
    );
  }
  const answering = ours.flatMap((view) =>
    view.reached && view.cib !== undefined ? [{ ...view, cib: view.cib }] : [],
  );
  const speaker = answering.find(({ cib }) => readCib(cib, []).quorum);
  if (speaker !== undefined) {
    const { own, foreignResources } = readCib(speaker.cib, []);
    if (foreignResources.length > 0) {
      throw new UserError(
        `${corosync.name}: found resources of others in this Pacemaker cluster (${foreignResources.join(", ")}), expected only those that pgha made. Nothing was touched.\n  Remove them first (pcs resource delete ...), or keep the entry ${corosync.name} of pgha:pacemaker.`,
      );
    }
    const host = hosts.host(speaker.host);
    reporter.progress("taking the virtual IPs away");
    const stopped = Object.entries(own.groups).map(([id, group]) => [
      id,
      { ...group, meta: { ...group.meta, "target-role": "Stopped" } },
    ]);
    await applyConfiguration(host, { ...own, groups: Object.fromEntries(stopped) }, []);
    await waitUntilNothingLeft(host, 60);
    const leaveAlone = { ...own, groups: Object.fromEntries(stopped), properties: { "maintenance-mode": "true" } };
    await applyConfiguration(host, leaveAlone, []);
    await waitUntilNothingLeft(host, 60);
  } else if (!answering.every(({ cib }) => isLeftAlone(cib))) {
    throw new UserError(
      `${corosync.name}: found no quorum, expected a majority of ${Object.keys(corosync.nodes).join(", ")}: otherwise nobody can tell who has the virtual IPs. Nothing was touched.\n  Start the other hosts, then run this again.`,
    );
  }
  reporter.progress("stopping Pacemaker and Corosync; the instances run on");
  await Promise.all(ours.map(({ host }) => removeCorosync(hosts.host(host))));
  if (corosync.device === undefined) return;
  await Promise.all(ours.map(({ host }) => stopDeviceNode(hosts.host(host), false)));
  await releaseDevice(hosts, reporter, corosync.device.host, corosync.name);
}

/** Was it told so by a removal that was cut off? Then nothing needs quorum any more. */
function isLeftAlone(cib: string): boolean {
  const { own } = readCib(cib, ["maintenance-mode"]);
  const stopped = Object.values(own.groups).every(({ meta }) => meta["target-role"] === "Stopped");
  return own.properties["maintenance-mode"] === "true" && stopped;
}
