import type { PacemakerConfiguration } from "./configuration.ts";
import type { RunningStatus } from "./status.ts";

/** What of the configuration Pacemaker has not brought about, a sentence each. Empty: everything runs. */
export function lacksOf(
  { clones, groups, fencing }: Pick<PacemakerConfiguration, "clones" | "groups" | "fencing">,
  status: RunningStatus,
): string[] {
  const instances = (id: string) => status.resources.filter((instance) => instance.id === id);
  const lacks: string[] = [];
  for (const [id, { resource, meta }] of Object.entries(clones)) {
    const own = instances(resource);
    const promoted = own.filter(({ role }) => role === "Promoted").flatMap(({ nodes }) => nodes);
    const running = own.filter(({ role }) => role === "Unpromoted").length + promoted.length;
    if (promoted.length !== 1) lacks.push(`${id}: ${promoted.join(", ") || "nobody"} is promoted, expected one`);
    if (running < Number(meta["clone-max"])) lacks.push(`${id}: ${running} of ${meta["clone-max"]} instances run`);
  }
  for (const id of [...Object.values(groups).flatMap(({ members }) => members), ...Object.keys(fencing)]) {
    if (instances(id).some(({ role, nodes }) => role === "Started" && nodes.length === 1)) continue;
    lacks.push(`${id} does not run`);
  }
  const own = [...Object.values(clones).map(({ resource }) => resource), ...Object.keys(fencing)];
  return [
    ...lacks,
    ...status.failedActions
      .filter(({ operation }) => own.some((id) => operation.startsWith(`${id}_`)))
      .map(
        ({ operation, node, exitStatus, reason }) =>
          `${operation} on ${node}: ${exitStatus}${reason === "" ? "" : `: ${reason}`}`,
      ),
  ];
}
