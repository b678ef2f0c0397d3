import { explainPgsqlNode } from "./explainPgsql.ts";
import { infinity, type PacemakerNode, type PacemakerStatus, type RunningStatus, scoreOf } from "./status.ts";

/** The node attribute in which the agent keeps the promotion score of a resource. It outlives restarts. */
export function scoreAttribute(resource: string): string {
  return `master-${resource}`;
}

/** The node attribute in which its host keeps why it last refused a promotion, until it is promoted or boots. */
export function refusedAttribute(resource: string): string {
  return `${resource}-refused`;
}

/**
 * What a promotion score of the agent PAF means, as a sentence's end: "pg2 …". It is a hint of the last look at the
 * primary; who is promoted is decided by the members' positions at that moment.
 */
export function explainScore(text: string | undefined): string {
  if (text === undefined || text === "") {
    return "has no promotion score: no primary has seen it yet, and Pacemaker does not promote it";
  }
  const score = scoreOf(text);
  if (Number.isNaN(score)) return `has the promotion score ${text}, which is no number: set by hand`;
  if (score === 1001) return "was the primary when it was last looked at";
  if (score === 1) {
    return "waits for its turn: it was shut down as the primary before the cluster's first start, or an election found a better member";
  }
  if (score === -1) return "is being copied or has just begun to stream, and must not be promoted";
  if (score === -1000)
    return "does not stream from the primary (or lags by more than maxlag), and must not be promoted";
  if (isRank(score)) return `streams from the primary, number ${rankOf(score)} in the order of promotion`;
  if (isRank(-score)) return "lags behind the primary by more than maxlag, and must not be promoted";
  if (Math.abs(score) >= infinity) {
    return score > 0
      ? "is to be promoted before all others: a score set by hand"
      : "must never be promoted: a score set by hand";
  }
  return `has the promotion score ${text}, which the agent does not give: set by hand`;
}

/** 1000, 990, 980, … */
function isRank(score: number): boolean {
  return score > 1 && score <= 1000 && score % 10 === 0;
}

function rankOf(score: number): number {
  return (1000 - score) / 10 + 1;
}

/** Standbys that would not be promoted if the primary died now, and why, as the primary's last look at them has it. */
export function unpromotable(status: RunningStatus, resources: readonly string[]): string[] {
  return status.resources
    .filter(({ id, clone, role }) => resources.includes(id) && clone !== undefined && role === "Unpromoted")
    .flatMap(({ id, agent, nodes }) =>
      nodes.flatMap((node) => {
        const attributes = status.nodeAttributes[node] ?? {};
        const score = attributes[scoreAttribute(id)];
        if (scoreOf(score ?? "") > 0) return [];
        const why = agent === "ocf:heartbeat:pgsql" ? explainPgsqlNode(id, attributes) : explainScore(score);
        return [`${node} ${why}`];
      }),
    );
}

/**
 * Everything that keeps Pacemaker from doing its work on these resources, one sentence each; empty when all is well.
 * `resources`: ids of primitives.
 */
export function pacemakerProblems(status: PacemakerStatus, resources: readonly string[]): string[] {
  if (!status.running) return [`Pacemaker does not run here: ${status.reason}`];
  return [
    ...clusterProblems(status),
    ...status.nodes.flatMap(nodeProblems),
    ...fencingProblems(status),
    ...resourceProblems(status, resources),
    ...banProblems(status, resources),
    ...refusals(status, resources),
    ...failures(status, resources),
  ];
}

function clusterProblems(status: RunningStatus): string[] {
  if (status.coordinator === undefined) return ["no node is elected to decide (no DC): nothing is repaired"];
  const problems: string[] = [];
  if (!status.quorum) problems.push("no quorum: fewer than half of the nodes see each other, nothing may run");
  if (status.maintenance) problems.push("the whole cluster is in maintenance: nothing is watched or repaired");
  return problems;
}

function nodeProblems(node: PacemakerNode): string[] {
  if (node.unclean) return [`${node.name} is unclean: it must be fenced before what ran there runs elsewhere`];
  if (node.pending) return [`${node.name} is joining`];
  if (!node.online) return [`${node.name} is offline`];
  const problems: string[] = [];
  if (node.standby) problems.push(`${node.name} is in standby: nothing may run there`);
  if (node.maintenance) problems.push(`${node.name} is in maintenance: what runs there is not watched or repaired`);
  if (node.shutdown) problems.push(`${node.name} is shutting down`);
  return problems;
}

/** Under way, or failed and not done since. */
function fencingProblems(status: RunningStatus): string[] {
  const targets = [...new Set(status.fencing.map((event) => event.target))];
  return targets.flatMap((target) => {
    const events = status.fencing.filter((event) => event.target === target);
    const [newest] = events;
    if (newest?.status === "pending") return [`fencing of ${target} (${newest.action}) is under way`];
    if (newest?.status !== "failed") return [];
    return [`fencing of ${target} (${newest.action}) failed: ${newest.reason ?? "no reason given"}`];
  });
}

function resourceProblems(status: RunningStatus, resources: readonly string[]): string[] {
  return status.resources
    .filter((resource) => resources.includes(resource.id))
    .flatMap((resource) => {
      const where = resource.nodes.length === 0 ? "" : ` on ${resource.nodes.join(" and ")}`;
      const what = `${resource.id}${where}`;
      const problems: string[] = [];
      if (resource.blocked)
        problems.push(
          `${what} is blocked: Pacemaker knows no way on by itself (usually a stop that failed, without fencing)`,
        );
      else if (resource.failed) problems.push(`${what} has failed`);
      if (resource.maintenance) problems.push(`${what} is in maintenance: it is not watched or repaired`);
      // What is blocked is not managed either.
      else if (!resource.managed && !resource.blocked)
        problems.push(`${what} is not managed: Pacemaker does nothing with it`);
      // A monitor that begins ("Monitoring") changes nothing.
      if (resource.role.endsWith("ing")) problems.push(`${what}: ${resource.role.toLowerCase()}`);
      return problems;
    });
}

function banProblems(status: RunningStatus, resources: readonly string[]): string[] {
  const own = status.resources.filter(({ id }) => resources.includes(id));
  return status.bans
    .filter(({ resource, score }) => score <= -infinity && own.some(({ id, clone }) => [id, clone].includes(resource)))
    .map(({ id, resource, node, promotedOnly }) => {
      return `${resource} may not ${promotedOnly ? "be promoted" : "run"} on ${node} (constraint ${id})`;
    });
}

/** Why nobody is promoted, as the members' own hosts have it. What a host refused before somebody was promoted is history. */
function refusals({ resources: instances, nodeAttributes }: RunningStatus, resources: readonly string[]): string[] {
  return resources
    .filter((id) => !instances.some((instance) => instance.id === id && instance.role === "Promoted"))
    .flatMap((id) =>
      Object.entries(nodeAttributes).flatMap(([node, { [refusedAttribute(id)]: reason }]) =>
        reason === undefined ? [] : [`${node} is not promoted: ${reason}`],
      ),
    );
}

function failures(status: RunningStatus, resources: readonly string[]): string[] {
  const actions = status.failedActions
    .filter(({ operation }) => resources.some((resource) => operation.startsWith(`${resource}_`)))
    .map(({ operation, node, exitStatus, reason, status: how }) => {
      const ended = ["Done", "complete", ""].includes(how) ? exitStatus : `${exitStatus}, ${how}`;
      return `${operation} failed on ${node}: ${ended}${reason === "" ? "" : `: ${reason}`}`;
    });
  const counts = status.failCounts
    .filter(({ resource }) => resources.includes(resource))
    .map(({ resource, node, count, threshold }) => {
      // One start or stop that failed is enough.
      if (count >= infinity) {
        return `${resource} may not run on ${node}: it could not be started or stopped there; ${atOnce(resource, node)}`;
      }
      if (count >= threshold) {
        return `${resource} may not run on ${node}: it failed ${times(count)}, ${threshold} is the limit; ${atOnce(resource, node)}`;
      }
      const then = threshold >= infinity ? "" : `; at ${threshold} it may not run there any more`;
      return `${resource} failed ${times(count)} on ${node}${then}`;
    });
  return [...actions, ...counts];
}

function atOnce(resource: string, node: string): string {
  return `once the cause is gone, \`crm_resource --cleanup --resource ${resource} --node ${node}\` has it tried again at once`;
}

function times(count: number): string {
  return count === 1 ? "1 time" : `${count} times`;
}
