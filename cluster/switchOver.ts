import { z } from "zod";
import type { Check } from "../model/checks/check.ts";
import { checkSwitchover } from "../model/checks.ts";
import { UserError } from "../model/fault.ts";
import { endpointsOf } from "../model/group.ts";
import { planSwitchover, type SwitchoverPlan } from "../model/handover.ts";
import { type MemberObservation, streamingMembers } from "../model/observation.ts";
import { observePrimary } from "../model/observedPrimary.ts";
import { activityOf, type Prediction, predictOutage } from "../model/prediction.ts";
import { needsOldPrimary } from "../model/quorum.ts";
import { checksText, type SwitchoverReport } from "../model/report.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { recordEvidence } from "./evidence.ts";
import { handOver, settleAfterwards } from "./handOver.ts";
import { removeJournal, writeJournal } from "./journal.ts";
import { type ClusterLock, heldByOther } from "./lock.ts";
import { measureOrTell } from "./measure.ts";
import { locksOf, observeMembers } from "./observe.ts";
import type { Moment } from "./outage.ts";
import { type Reporter, stopIfCancelled } from "./reporter.ts";
import { holderName } from "./underLock.ts";

/** What the diff saw; `up` refuses when the world is no longer so. */
export interface Seen {
  readonly timeline: number;
  readonly systemIdentifier: string;
}

/** What may be known of a switchover before it begins. */
export interface Assessment {
  readonly plan: SwitchoverPlan;
  readonly checks: readonly Check[];
  readonly prediction: Prediction;
  readonly observations: readonly MemberObservation[];
}

/** Steps 1 to 3: looks, checks and plans; touches nothing. Preview ends here. `lock`: ours, when we hold it already. */
export async function assessSwitchover(
  access: ClusterAccess,
  from: string,
  to: string,
  lock?: ClusterLock,
): Promise<Assessment> {
  const [observations, measured] = await Promise.all([observeMembers(access), measureOrTell(access, from, to)]);
  const heldLock = lock === undefined ? heldByOther(locksOf(observations)) : undefined;
  return {
    plan: planSwitchover(access.group, from, to, streamingMembers(observations)),
    checks: checkSwitchover({ group: access.group, from, to, observations, heldLock, measured }),
    prediction: predictOutage(access.group, from, to, streamingMembers(observations), activityOf(measured)),
    observations,
  };
}

/** The planned switchover, steps 1 to 11, under `lock`. On return the new primary is writable and everybody streams from it. */
export async function switchOver(
  access: ClusterAccess,
  from: string,
  to: string,
  seen: Seen,
  lock: ClusterLock,
  reporter: Reporter,
): Promise<SwitchoverReport> {
  reporter.progress("checks");
  const ready = await assessSwitchover(access, from, to, lock);
  refuseIfMoved(access, from, seen, ready.observations);
  refuseIfBlocked(access, ready.checks);
  tellWarnings(reporter, from, to, ready.checks);
  stopIfCancelled(reporter, "before anything was touched");

  const old = access.member(from);
  const target = access.member(to);
  const streaming = streamingMembers(ready.observations);
  const startedAt = new Date().toISOString();
  const journal = { operation: "switchover", from, to, epoch: lock.epoch, ...seen, startedAt } as const;
  await writeJournal([old, target], { ...journal, holder: holderName() }, lock);
  const outage = await handOver(
    access,
    {
      old,
      target,
      rePointed: ready.plan.rePointed.map((name) => access.member(name)),
      needsOldPrimary: needsOldPrimary(access.group, from, to, streaming),
      seen,
    },
    lock,
    reporter,
  );
  // One that did not stream before is not this handover's to repair: the report is not lost for it.
  await settleAfterwards(access, { old, target }, new Set([from, to, ...streaming]), lock, reporter);
  const streamingAgainMilliseconds = performance.now() - outage.began;
  await removeJournal([old, target], lock.epoch, lock);
  const evidence = await recordEvidence(access, target, outage.checkpointLsn, seen.timeline);
  return {
    from,
    to,
    oldTimeline: seen.timeline,
    newTimeline: await newTimeline(target),
    checkpointLsn: outage.checkpointLsn,
    evidence,
    outageMilliseconds: outageOf(outage.moments),
    predictedMilliseconds: ready.prediction.totalMilliseconds,
    moments: outage.moments,
    streamingAgainMilliseconds,
  };
}

function refuseIfMoved(
  access: ClusterAccess,
  from: string,
  seen: Seen,
  observations: readonly MemberObservation[],
): void {
  const observed = observePrimary(observations, endpointsOf(access.group));
  if (observed.kind === "known" && observed.member === from && observed.timeline === seen.timeline) return;
  const now = observed.kind === "known" ? `${observed.member} on timeline ${observed.timeline}` : observed.kind;
  throw new UserError(
    `primary: the diff saw ${from} on timeline ${seen.timeline}, but now it is ${now}.\n  Nothing was touched. Run \`pulumi preview\` again and look.`,
  );
}

/** What blocks under the lock blocks before it as well: then not even a lock file was touched. */
export async function refuseBlocked(
  access: ClusterAccess,
  from: string,
  to: string,
  observations: readonly MemberObservation[],
): Promise<void> {
  const measured = await measureOrTell(access, from, to);
  refuseIfBlocked(
    access,
    checkSwitchover({ group: access.group, from, to, observations, heldLock: undefined, measured }),
  );
}

function refuseIfBlocked(access: ClusterAccess, checks: readonly Check[]): void {
  const blocked = checks.filter((check) => check.verdict === "block");
  if (blocked.length === 0) return;
  throw new UserError(
    `switchover of ${access.group.cluster} blocked by ${blocked.length} check${blocked.length === 1 ? "" : "s"}:\n${checksText(blocked)}\n  Nothing was touched.`,
  );
}

/** What was seen under the lock may be newer than what preview showed. */
function tellWarnings(reporter: Reporter, from: string, to: string, checks: readonly Check[]): void {
  const warnings = checks.filter((check) => check.verdict === "warn");
  if (warnings.length === 0) return;
  reporter.warn(`switchover ${from} -> ${to} goes on with ${warnings.length} warned\n${checksText(warnings)}`);
}

/** Up to the first acknowledged commit; up to the promotion when none was acknowledged as long as somebody listened. */
function outageOf(moments: readonly Moment[]): number {
  const end = moments.find(({ what }) => what === "acknowledged") ?? moments.find(({ what }) => what === "promoted");
  return end?.milliseconds ?? 0;
}

async function newTimeline(target: MemberAccess): Promise<number> {
  return withSession(target, async (session) => {
    const { timeline } = await session.selectOne(
      z.object({ timeline: z.number() }),
      "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as timeline",
    );
    return timeline;
  });
}
