import type { Group } from "../group.ts";
import { isServiceStopped, type MemberObservation, type ReachedMember, reachedMembers } from "../observation.ts";
import { pacemakerNames } from "./names.ts";
import { infinity, type RunningStatus } from "./status.ts";
import { maintenanceOf, pacemakerView, standsBackAttribute } from "./view.ts";

/** What an operator ordered by hand that keeps a member from being started: in words, and what ends it. */
export interface OperatorOrder {
  readonly found: string;
  readonly wayOut: string;
}

/** Why Pacemaker may not run this cluster's member on this node: a node in standby, or a ban. Undefined when it may. */
export function keptFromRunning(status: RunningStatus, cluster: string, node: string): OperatorOrder | undefined {
  if (status.nodes.some(({ name, standby }) => name === node && standby)) {
    return {
      found: "its host is in standby: Pacemaker runs nothing there",
      wayOut: `\`crm_standby -N ${node} -D\` ends that`,
    };
  }
  const { clone, resource } = pacemakerNames(cluster);
  const ban = status.bans.find(
    (one) =>
      one.node === node && [clone, resource].includes(one.resource) && !one.promotedOnly && one.score <= -infinity,
  );
  if (ban === undefined) return undefined;
  const clear = `\`crm_resource --clear --resource ${ban.resource} --node ${node}\``;
  return {
    found: `Pacemaker may not run it on ${node} (constraint ${ban.id})`,
    wayOut: ban.id.startsWith("cli-")
      ? `${clear} ends that, and so does \`pulumi up\``
      : "The end of that constraint ends it",
  };
}

/** Nodes on which Pacemaker may not run this cluster's member. */
export function idleNodes(status: RunningStatus | undefined, cluster: string): string[] {
  if (status === undefined) return [];
  const nodes = [...status.nodes, ...status.bans.map(({ node }) => ({ name: node }))].map(({ name }) => name);
  return [...new Set(nodes)].filter((node) => keptFromRunning(status, cluster, node) !== undefined);
}

/**
 * What keeps this member from being started. Pacemaker would stop again what it may not run; and in an operator's maintenance
 * a standby that is stopped may be stopped by him. A former primary there is one that he failed over from: it comes back.
 */
export function orderOn(
  { cluster, failover, members }: Group,
  seen: ReachedMember,
  observations: readonly MemberObservation[],
): OperatorOrder | undefined {
  const status = failover.manager === "pacemaker" ? pacemakerView(observations) : undefined;
  const host = members.find(({ name }) => name === seen.member)?.host;
  if (status === undefined || host === undefined) return undefined;
  const isStoppedStandby = seen.postgres === undefined && seen.local.standbySignal;
  return (
    keptFromRunning(status, cluster, host) ?? (isStoppedStandby ? keptInMaintenance(status, cluster, host) : undefined)
  );
}

/** Standbys that are stopped because an operator wants it so, with what he ordered and what ends it. */
export function stoppedByOrder(
  group: Group,
  primaryName: string | undefined,
  observations: readonly MemberObservation[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    reachedMembers(observations).flatMap((seen) => {
      const isStopped = seen.local.marker?.state === "ready" && isServiceStopped(seen);
      if (seen.member === primaryName || !isStopped) return [];
      const order = orderOn(group, seen, observations);
      return order === undefined ? [] : [[seen.member, `${order.found}. ${order.wayOut}`]];
    }),
  );
}

function keptInMaintenance(status: RunningStatus, cluster: string, node: string): OperatorOrder | undefined {
  // What is blocked is not managed either, by no order.
  const resources = status.resources.filter(({ blocked }) => !blocked);
  const nodes = status.nodes.filter(({ name }) => name === node);
  const found = maintenanceOf({ ...status, nodes, resources }, cluster);
  if (found === undefined) return undefined;
  return { found: `it is stopped, and ${found} by somebody's hand`, wayOut: maintenanceWayOut(cluster) };
}

/** What ends a maintenance that is not ours. */
export function maintenanceWayOut(cluster: string): string {
  const { clone } = pacemakerNames(cluster);
  return `Whoever set it may need it: end it first (\`crm_resource --resource ${clone} --meta --delete-parameter maintenance\`, or what else set it)`;
}

/** What `up` says that worked under such a maintenance, and how it is ended without a surprise. */
export function staysInMaintenance(cluster: string, node: string): string {
  return [
    `${pacemakerNames(cluster).clone} stays in maintenance, which somebody set by hand: nobody fails over.`,
    `  Once it is needed no more: \`crm_attribute --type nodes --node ${node} --name ${standsBackAttribute(cluster)} --update 0\` on ${node}`,
    "  leaves it to `pulumi up` to end it, once Pacemaker would find everything in its place.",
  ].join("\n");
}
