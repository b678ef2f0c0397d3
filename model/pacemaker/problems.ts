import type { DeclaredPacemaker } from "./clusterState.ts";
import { pacemakerProblems } from "./explain.ts";
import { brokenRings } from "./rings.ts";
import { type RunningStatus, runningStatus } from "./status.ts";

/** What one node's crm_mon and corosync-cfgtool printed; undefined where nobody answered. */
export interface NodeAnswer {
  readonly host: string;
  readonly status: string | undefined;
  readonly rings: string | undefined;
}

/** What keeps Corosync and Pacemaker from their work on what is declared, a sentence each. Maintenance is told elsewhere. */
export function clusterProblems(
  declared: Pick<DeclaredPacemaker, "nodes" | "clones" | "groups" | "fencing">,
  answers: readonly NodeAnswer[],
): string[] {
  const statuses = answers.flatMap(({ status }) => runningStatus(status) ?? []);
  const status = statuses.find(({ quorum }) => quorum) ?? statuses[0];
  const own = [
    ...Object.values(declared.clones).map(({ resource }) => resource),
    ...Object.values(declared.groups).flatMap(({ members }) => members),
    ...Object.keys(declared.fencing),
  ];
  const said = answers.flatMap(({ host, rings }) => (rings === undefined ? [] : [[host, rings] as const]));
  return [
    ...(status === undefined ? [] : pacemakerProblems(withoutMaintenance(status), own)),
    ...brokenRings(declared.nodes, Object.fromEntries(said)),
  ];
}

function withoutMaintenance(status: RunningStatus): RunningStatus {
  return {
    ...status,
    resources: status.resources.map((resource) =>
      resource.maintenance ? { ...resource, maintenance: false, managed: true } : resource,
    ),
  };
}
