import { memberPaths } from "../../model/names.ts";
import type { PacemakerConfiguration } from "../../model/pacemaker/configuration.ts";
import { idleNodes } from "../../model/pacemaker/operatorOrders.ts";
import { type DrivenClone, newlyDriven, redrivenClones } from "../../model/pacemaker/redrive.ts";
import { promotedNodes } from "../../model/pacemaker/status.ts";
import type { RemoteHost, RemoteHosts } from "../../remote/host.ts";
import { queryStatus } from "../cib.ts";
import { controlPacemaker, type PacemakerControl } from "./pacemakerControl.ts";
import { type PgsqlMember, settlePgsqlFiles } from "./pgsqlRoles.ts";

/** A PostgreSQL cluster that Pacemaker is to drive by another agent, or by other parameters of it. */
interface Redriven {
  readonly clone: DrivenClone;
  readonly control: PacemakerControl;
  readonly members: readonly PgsqlMember[];
  readonly promoted: string;
  readonly nodes: readonly string[];
  /** Where an operator ordered that no member runs. */
  readonly idle: readonly string[];
}

/**
 * Lets Pacemaker stand back from every cluster whose resource would be restarted by the change from `live` to `wanted`, and
 * remembers who was promoted. Where nobody is, Pacemaker is left as it is: it would restart what does not work anyway.
 */
export async function standBackForChange(
  hosts: RemoteHosts,
  speaker: RemoteHost,
  live: PacemakerConfiguration,
  wanted: PacemakerConfiguration,
): Promise<Redriven[]> {
  const clones = redrivenClones(live, wanted);
  if (clones.length === 0) return [];
  const status = await queryStatus(speaker);
  const redriven = clones.flatMap((clone): Redriven[] => {
    const [promoted] = promotedNodes(status, clone.id);
    const nodes = status.resources.filter((one) => one.clone === clone.id).flatMap((one) => one.nodes);
    if (promoted === undefined) return [];
    const members = membersOf(hosts, clone.cluster, nodes);
    const control = controlPacemaker({ cluster: clone.cluster, addressKinds: clone.addressKinds, members });
    return [{ clone, control, members, promoted, nodes: [...new Set(nodes)], idle: idleNodes(status, clone.cluster) }];
  });
  for (const { control } of redriven) await control.standBack(0);
  return redriven;
}

/** The other side of it, once Pacemaker has its new configuration: what the agent before it left is removed, and it manages again. */
export async function manageAfterChange(redriven: readonly Redriven[]): Promise<void> {
  for (const { clone, control, members, promoted, nodes, idle } of redriven) {
    await Promise.all(members.map((member) => clean(member, clone)));
    await control.manageAgain({ primaryNode: promoted, runningNodes: nodes, idleNodes: idle });
  }
}

/** The agent pgsql took over what runs: it knows of its primary only by its own files. */
export async function settleNewlyDriven(
  hosts: RemoteHosts,
  speaker: RemoteHost,
  live: PacemakerConfiguration,
  wanted: PacemakerConfiguration,
): Promise<void> {
  const clones = newlyDriven(live, wanted);
  if (clones.length === 0) return;
  const status = await queryStatus(speaker);
  for (const { id, cluster, resource } of clones) {
    const [promoted] = promotedNodes(status, id);
    const nodes = status.resources.filter((one) => one.clone === id).flatMap((one) => one.nodes);
    if (promoted !== undefined) await settlePgsqlFiles(resource, promoted, membersOf(hosts, cluster, nodes));
  }
}

/** Under Pacemaker a member has its host's name. */
function membersOf(hosts: RemoteHosts, cluster: string, nodes: readonly string[]): PgsqlMember[] {
  return [...new Set(nodes)].map((node) => ({
    host: hosts.host(node),
    memberFile: memberPaths(cluster, node).memberFile,
  }));
}

async function clean({ host }: PgsqlMember, { cluster, leaves }: DrivenClone): Promise<void> {
  if (leaves === undefined) return;
  const { tmpdir, configuration, everything } = leaves;
  await host.must({
    argv: [
      "sh",
      "-c",
      cleanScript,
      "sh",
      tmpdir,
      configuration,
      memberPaths(cluster, host.name).repMode,
      everything ? "everything" : "rep_mode",
    ],
    limitSeconds: 30,
    purpose: `remove what the agent pgsql left on ${host.name}`,
  });
}

/* Only files that the agent makes, by their names; the directory where nothing else is in it. */
const cleanScript = `
set -eu
directory=$1 configuration=$2 rep_mode=$3 what=$4
rm -f -- "$directory/rep_mode.conf" "$rep_mode"
[ "$what" = everything ] || exit 0
rm -f -- "$directory/PGSQL.lock" "$directory/recovery.conf" "$directory"/xlog_note.*
[ ! -d "$directory" ] || rmdir --ignore-fail-on-non-empty -- "$directory"
[ ! -e "$configuration" ] || : > "$configuration"
`;
