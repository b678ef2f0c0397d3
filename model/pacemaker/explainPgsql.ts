import { infinity, scoreOf } from "./status.ts";

/*
 * What the agent pgsql writes about each node, as a sentence's end: "pg2 …". The names of the attributes begin with the
 * resource's: pgha-orders-status, pgha-orders-data-status, pgha-orders-master-baseline, master-pgha-orders.
 */

const statuses: Readonly<Record<string, string>> = {
  PRI: "runs as the primary",
  "HS:sync": "runs as a standby, and commits wait for it",
  "HS:async": "runs as a standby, and no commit waits for it",
  "HS:potential": "runs as a standby that becomes synchronous when the one before it is lost",
  "HS:connected": "runs as a standby that is connected and does not stream yet: it catches up, or is being copied",
  "HS:alone": "runs as a standby that no primary has seen: nobody is primary, or it does not stream",
  STOP: "does not run: it was stopped, or its start was refused",
  UNKNOWN: "has not answered when it was to be stopped: whether its PostgreSQL runs is not known",
};

/** What `RESOURCE-status` says: how the agent last saw this node's instance. */
export function explainPgsqlStatus(text: string | undefined): string {
  if (text === undefined || text === "") return "has no status: the agent has not looked at it since its host started";
  return statuses[text] ?? `has the status ${text}, which the agent does not give: set by hand`;
}

const dataStatuses: Readonly<Record<string, string>> = {
  LATEST: "was the primary",
  "STREAMING|SYNC": "had every acknowledged row",
  "STREAMING|ASYNC": "streamed, and may have lacked the newest rows",
  "STREAMING|POTENTIAL": "streamed behind the synchronous standby, and may have lacked the newest rows",
  "STREAMING|QUORUM": "streamed as one of a quorum, which the agent does not know: it promotes none of them",
  DISCONNECT: "did not stream from the primary, and lacks rows: it must not be promoted",
};

/** What `RESOURCE-data-status` says. It outlives restarts, and is history: nothing of it proves what the data is now. */
export function explainDataStatus(text: string | undefined): string {
  if (text === undefined || text === "") return "has no record of its data: no primary has ever seen it";
  const known = dataStatuses[text];
  if (known !== undefined) return `${known}, when a primary last looked`;
  const [state, kind] = text.split("|");
  if (kind === undefined || state === undefined) {
    return `has the record ${text} of its data, which the agent does not give: set by hand`;
  }
  return `was connected and did not stream (${state.toLowerCase()}), when a primary last looked`;
}

/** What `RESOURCE-master-baseline` says: 16 digits. */
export function explainBaseline(text: string | undefined): string {
  if (text === undefined || text === "") return "was not told of a promotion since its host started";
  const digits = /^([0-9A-F]{8})([0-9A-F]{8})$/i.exec(text);
  if (digits === null) return `has the baseline ${text}, which is no position: set by hand`;
  const number = (hex = "") => Number.parseInt(hex, 16).toString(16).toUpperCase();
  return `had WAL up to ${number(digits[1])}/${number(digits[2])} when the last primary was lost or made`;
}

/** What its promotion score says; the agent's is forgotten when a host starts. */
export function explainPgsqlScore(text: string | undefined): string {
  if (text === undefined || text === "") return "has no promotion score: the agent has not looked at it yet";
  const score = scoreOf(text);
  if (Number.isNaN(score)) return `has the promotion score ${text}, which is no number: set by hand`;
  if (score === 1000) return "is the primary, or the newest of all where nobody is";
  if (score === 100) return "is promoted when the primary is lost";
  if (score <= -infinity) return "must not be promoted: it is not known to have every row";
  return `has the promotion score ${text}, which the agent does not give: set by hand`;
}

/** Everything that the agent has written about one node, as a sentence. `attributes`: of that node, by name. */
export function explainPgsqlNode(resource: string, attributes: Readonly<Record<string, string>>): string {
  const baseline = attributes[`${resource}-master-baseline`];
  return [
    explainPgsqlStatus(attributes[`${resource}-status`]),
    explainDataStatus(attributes[`${resource}-data-status`]),
    // Most nodes have none, which says nothing.
    ...(baseline === undefined ? [] : [explainBaseline(baseline)]),
    explainPgsqlScore(attributes[`master-${resource}`]),
  ].join("; ");
}
