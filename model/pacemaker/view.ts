import type { Group } from "../group.ts";
import { type MemberObservation, reachedMembers } from "../observation.ts";
import { pacemakerNames } from "./names.ts";
import { promotedNodes, type RunningStatus } from "./status.ts";

/**
 * What Pacemaker says, by the first member's host that it answers on; one that sees most nodes counts before one that does
 * not. Undefined: it answers nowhere.
 */
export function pacemakerView(observations: readonly MemberObservation[]): RunningStatus | undefined {
  const answers = reachedMembers(observations).flatMap(({ local: { pacemaker } }) =>
    pacemaker?.running === true ? [pacemaker] : [],
  );
  return answers.find((status) => status.quorum) ?? answers[0];
}

/** Does it know this cluster? Before `PacemakerCluster` was applied for the first time it does not. */
export function managesCluster(status: RunningStatus | undefined, cluster: string): boolean {
  return instancesOf(status, cluster).length > 0;
}

function instancesOf(status: RunningStatus | undefined, cluster: string) {
  const { clone } = pacemakerNames(cluster);
  return (status?.resources ?? []).filter((resource) => resource.clone === clone);
}

/** The attribute of every node by which a maintenance of ours is told from an operator's. Its value is the epoch of who laid it. */
export function standsBackAttribute(cluster: string): string {
  return `pgha-${cluster}-stands-back`;
}

/** The epoch of the hold under which it was let stand back; undefined when it manages this cluster, or stands back for somebody else. */
export function standsBackSince(status: RunningStatus | undefined, cluster: string): number | undefined {
  const name = standsBackAttribute(cluster);
  const epochs = Object.values(status?.nodeAttributes ?? {}).flatMap((attributes) => attributes[name] ?? []);
  return epochs.length === 0 ? undefined : Math.max(...epochs.map(Number));
}

/** Maintenance of this cluster that is not ours: an operator's. In words; undefined when there is none. */
export function maintenanceOf(status: RunningStatus, cluster: string): string | undefined {
  if (status.maintenance) return "the whole Pacemaker cluster is in maintenance";
  const nodes = status.nodes.filter((node) => node.maintenance).map((node) => node.name);
  if (nodes.length > 0) return `${nodes.join(", ")} is in maintenance`;
  const left = instancesOf(status, cluster).some((resource) => resource.maintenance || !resource.managed);
  if (!left || standsBackSince(status, cluster) !== undefined) return undefined;
  return `${pacemakerNames(cluster).clone} is in maintenance or unmanaged`;
}

/** It is about to start, stop, promote or demote a member: what is seen now is half of it. */
export function actsOn(status: RunningStatus | undefined, cluster: string): boolean {
  return instancesOf(status, cluster).some(
    ({ role, pending = "Monitoring" }) => role.endsWith("ing") || pending !== "Monitoring",
  );
}

/** The ids of this cluster's resources: its instances, and its addresses. */
export function ownResources(status: RunningStatus, cluster: string): string[] {
  const { clone, addressGroup, readersGroup } = pacemakerNames(cluster);
  const own = status.resources.filter(
    ({ clone: inClone, group = "" }) => inClone === clone || [addressGroup, readersGroup].includes(group),
  );
  return [...new Set(own.map((resource) => resource.id))];
}

/** The member that Pacemaker has promoted. */
export function promotedMember(status: RunningStatus, group: Group): string | undefined {
  const [node] = promotedNodes(status, pacemakerNames(group.cluster).clone);
  return group.members.find(({ host }) => host === node)?.name;
}

/** That Pacemaker was let stand back and nobody is at work any more: an `up` was cut off. In words; undefined when it is not so. */
export function leftStandingBack(group: Group, observations: readonly MemberObservation[]): string | undefined {
  const epoch = standsBackSince(pacemakerView(observations), group.cluster);
  const held = reachedMembers(observations).some(({ local }) => local.lock.alive);
  if (epoch === undefined || held) return undefined;
  return `Pacemaker leaves ${group.cluster} alone since a \`pulumi up\` (epoch ${epoch}) that was cut off`;
}

/** Whose member goes on without standbys, or may have done so, by Pacemaker's configuration; in words, by member. */
export function relaxedMembers(
  group: Group,
  observations: readonly MemberObservation[],
): Readonly<Record<string, string>> {
  const recorded = Object.assign({}, ...reachedMembers(observations).map(({ local }) => local.relaxed ?? {}));
  return Object.fromEntries(
    group.members.flatMap(({ name: member, host }) => {
      const since: string | undefined = recorded[host];
      return since === undefined ? [] : [[member, relaxedText(since)]];
    }),
  );
}

function relaxedText(since: string): string {
  return `since ${since} it acknowledges commits alone, and nobody else is promoted, until standbys have everything again`;
}
