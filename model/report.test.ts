import { expect, it } from "vitest";
import { group } from "../test/support/shapes.ts";
import type { Check } from "./checks/check.ts";
import { planSwitchover } from "./handover.ts";
import { predictOutage } from "./prediction.ts";
import { checksText, planText, reportText } from "./report.ts";

const good: Check = { name: "same history", verdict: "ok", measured: "timeline 1", limit: "one timeline", remedy: "" };
const doubtful: Check = {
  name: "open transactions",
  verdict: "warn",
  measured: "oldest 61 s, 0 prepared",
  limit: "60 s, none prepared",
  remedy: "Open ones are cut off and rolled back; prepared ones survive.",
};
const bad: Check = {
  name: "replay runs",
  verdict: "block",
  measured: "paused",
  limit: "running",
  remedy: "On pg2: select pg_wal_replay_resume()",
};

const streaming = new Set(["pg2", "pg3"]);
const plan = planSwitchover(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", streaming);
const prediction = predictOutage(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", streaming, {
  transactions: 0,
  archiving: false,
});

it("the checks are a table: what stops comes first, with a way out under each that is not ok", () => {
  expect(checksText([good, doubtful, bad])).toBe(`\
  BLOCK replay runs        paused                   (running)
        -> On pg2: select pg_wal_replay_resume()
  WARN  open transactions  oldest 61 s, 0 prepared  (60 s, none prepared)
        -> Open ones are cut off and rolled back; prepared ones survive.
  ok    same history       timeline 1               (one timeline)`);
});

it("a long measurement does not push the others apart, and what is too long for a line is broken between words", () => {
  const long = "max_connections 100 on pg2, 200 on pg1";
  expect(checksText([good, { ...bad, measured: long, remedy: "" }])).toBe(`\
  BLOCK replay runs   max_connections 100 on pg2, 200 on pg1  (running)
  ok    same history  timeline 1                          (one timeline)`);
  const longer = `${long}, max_locks_per_transaction 64 on pg2, 128 on pg1, max_wal_senders 10 on pg2, 20 on pg1`;
  const remedy = `Restart pg2 with ${"the declared parameters ".repeat(4)}and look again.`;
  expect(checksText([good, { ...bad, measured: longer, remedy }])).toBe(`\
  BLOCK replay runs   max_connections 100 on pg2, 200 on pg1, max_locks_per_transaction 64 on
                      pg2, 128 on pg1, max_wal_senders 10 on pg2, 20 on pg1 (running)
        -> Restart pg2 with the declared parameters the declared parameters the declared
           parameters the declared parameters and look again.
  ok    same history  timeline 1                          (one timeline)`);
});

it("the plan: verdict and outage first, then checks, steps and what the prediction is made of", () => {
  expect(planText(plan, [good], prediction)).toBe(`\
switchover pg1 -> pg2: checks all ok, outage about 0.11 s
checks (limit)
  ok    same history  timeline 1  (one timeline)
steps (* = writes wait)
   1   observe    lock the members, read each of them
   2   pre-flight run the checks above again
   3   plan       compare with what preview saw; refuse if the primary or the timeline moved
   4   arm        write the journal, let pg1 and pg2 stand ready
   5   quiet      checkpoint pg1 and pg2, let pg3 follow pg2
   6 * demote     stop pg1 (fast) and make it a standby
   7 * prove      pg2 has the whole shutdown checkpoint of pg1; otherwise pg1 comes back
   8 * promote    promote pg2
   9   follow     pg1 follows pg2 without rewind, the others without restart
  10   resume     nothing to resume: no failover manager
  11   verify     everybody streams, the synchronous rule holds
predicted outage 0.11 s (ms: fast stop 35, ticket and proof 5, promotion 20, copy of a 16MB
                        segment 27, first acknowledged commit 20)`);
});

it.each([
  [[good, good], "checks all ok"],
  [[good, doubtful, doubtful], "checks 2 warned"],
  [[doubtful, bad], "checks 1 BLOCKED"],
])("the plan's first line tells the worst verdict", (checks, verdict) => {
  expect(planText(plan, checks, prediction).split("\n")[0]).toBe(
    `switchover pg1 -> pg2: ${verdict}, outage about 0.11 s`,
  );
});

it("the report: outage, timelines, prediction beside the measurement, and the evidence", () => {
  expect(
    reportText({
      from: "pg1",
      to: "pg2",
      oldTimeline: 1,
      newTimeline: 2,
      checkpointLsn: "0/5000028",
      evidence: "rmgr: XLOG len (rec/tot): 114/114, lsn: 0/05000028, desc: CHECKPOINT_SHUTDOWN",
      outageMilliseconds: 128.4,
      predictedMilliseconds: 138,
      moments: [
        { what: "shut down", milliseconds: 31.4 },
        { what: "promoted", milliseconds: 90.6 },
      ],
      streamingAgainMilliseconds: 1204,
    }),
  ).toBe(`\
switchover pg1 -> pg2 done: outage 0.13 s
  primary    pg1 (timeline 1) -> pg2 (timeline 2)
  outage     0.13 s measured, 0.14 s predicted (ms: shut down +31, promoted +91)
  proof      pg2 had the whole shutdown checkpoint 0/5000028 of pg1 before it was promoted
             rmgr: XLOG len (rec/tot): 114/114, lsn: 0/05000028, desc: CHECKPOINT_SHUTDOWN
  streaming  every standby again 1.20 s after the order to stop`);
});
