import { expect, it } from "vitest";
import {
  explainBaseline,
  explainDataStatus,
  explainPgsqlNode,
  explainPgsqlScore,
  explainPgsqlStatus,
} from "./explainPgsql.ts";

it.each([
  ["PRI", "runs as the primary"],
  ["HS:sync", "runs as a standby, and commits wait for it"],
  ["HS:async", "runs as a standby, and no commit waits for it"],
  ["HS:potential", "runs as a standby that becomes synchronous when the one before it is lost"],
  ["HS:connected", "runs as a standby that is connected and does not stream yet: it catches up, or is being copied"],
  ["HS:alone", "runs as a standby that no primary has seen: nobody is primary, or it does not stream"],
  ["STOP", "does not run: it was stopped, or its start was refused"],
  ["UNKNOWN", "has not answered when it was to be stopped: whether its PostgreSQL runs is not known"],
  [undefined, "has no status: the agent has not looked at it since its host started"],
  ["HS:odd", "has the status HS:odd, which the agent does not give: set by hand"],
])("the status %s says: pg2 %s", (text, said) => {
  expect(explainPgsqlStatus(text)).toBe(said);
});

it.each([
  ["LATEST", "was the primary, when a primary last looked"],
  ["STREAMING|SYNC", "had every acknowledged row, when a primary last looked"],
  ["STREAMING|ASYNC", "streamed, and may have lacked the newest rows, when a primary last looked"],
  [
    "STREAMING|POTENTIAL",
    "streamed behind the synchronous standby, and may have lacked the newest rows, when a primary last looked",
  ],
  [
    "STREAMING|QUORUM",
    "streamed as one of a quorum, which the agent does not know: it promotes none of them, when a primary last looked",
  ],
  [
    "DISCONNECT",
    "did not stream from the primary, and lacks rows: it must not be promoted, when a primary last looked",
  ],
  ["CATCHUP|ASYNC", "was connected and did not stream (catchup), when a primary last looked"],
  ["BACKUP|ASYNC", "was connected and did not stream (backup), when a primary last looked"],
  [undefined, "has no record of its data: no primary has ever seen it"],
  ["FINE", "has the record FINE of its data, which the agent does not give: set by hand"],
])("the record of the data %s says: pg2 %s", (text, said) => {
  expect(explainDataStatus(text)).toBe(said);
});

it.each([
  ["0000000103000148", "had WAL up to 1/3000148 when the last primary was lost or made"],
  [undefined, "was not told of a promotion since its host started"],
  ["near", "has the baseline near, which is no position: set by hand"],
])("the baseline %s says: pg2 %s", (text, said) => {
  expect(explainBaseline(text)).toBe(said);
});

it.each([
  ["1000", "is the primary, or the newest of all where nobody is"],
  ["100", "is promoted when the primary is lost"],
  ["-INFINITY", "must not be promoted: it is not known to have every row"],
  ["1001", "has the promotion score 1001, which the agent does not give: set by hand"],
  ["near", "has the promotion score near, which is no number: set by hand"],
  [undefined, "has no promotion score: the agent has not looked at it yet"],
])("the score %s says: pg2 %s", (text, said) => {
  expect(explainPgsqlScore(text)).toBe(said);
});

it("a node is explained by all that the agent wrote about it", () => {
  const attributes = {
    "pgha-orders-status": "HS:alone",
    "pgha-orders-data-status": "DISCONNECT",
    "pgha-orders-master-baseline": "0000000103000148",
    "master-pgha-orders": "-INFINITY",
    "pgha-invoices-status": "PRI",
  };
  expect(explainPgsqlNode("pgha-orders", attributes)).toBe(
    "runs as a standby that no primary has seen: nobody is primary, or it does not stream; did not stream from the primary, and lacks rows: it must not be promoted, when a primary last looked; had WAL up to 1/3000148 when the last primary was lost or made; must not be promoted: it is not known to have every row",
  );
});
