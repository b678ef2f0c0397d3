import { type Check, checkSwitchover } from "../model/checks.ts";
import { UserError } from "../model/fault.ts";
import { endpointsOf } from "../model/group.ts";
import { planSwitchover, type SwitchoverPlan } from "../model/handover.ts";
import { type MemberObservation, streamingMembers } from "../model/observation.ts";
import { observePrimary } from "../model/observedPrimary.ts";
import { type Prediction, predictOutage } from "../model/prediction.ts";
import { steadyRole } from "../model/rendering.ts";
import { checksText, type SwitchoverReport, seconds } from "../model/report.ts";
import type { SqlSession } from "../remote/postgres.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { layRole } from "./configuration.ts";
import { waitUntilSettled } from "./converge.ts";
import { recordEvidence } from "./evidence.ts";
import { removeJournal, writeJournal } from "./journal.ts";
import { type ClusterLock, heldByOther } from "./lock.ts";
import { observeMembers, readLocks } from "./observe.ts";
import { armDemoter, type Moment, OutageFailed, type OutageResult, runOutage } from "./outage.ts";
import { applyRole, quietDown, undoQuiet } from "./quiet.ts";
import { type Reporter, stopIfCancelled } from "./reporter.ts";
import { restoreOldPrimary, stopPromotedOrPromoting } from "./restore.ts";
import { resetSlots } from "./roles.ts";
import { startService, stopService } from "./service.ts";
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
  const [observations, locks] = await Promise.all([
    observeMembers(access),
    lock === undefined ? readLocks(access) : new Map<string, never>(),
  ]);
  const roundTrip = await measureRoundTrip(access.member(to));
  return {
    plan: planSwitchover(access.group, from, to, streamingMembers(observations)),
    checks: checkSwitchover(access.group, from, to, observations, heldByOther(locks)),
    prediction: predictOutage(access.group, from, to, streamingMembers(observations), roundTrip),
    observations,
  };
}

async function measureRoundTrip(target: MemberAccess): Promise<number> {
  try {
    return await withSession(target, async (session) => {
      let shortest = Number.POSITIVE_INFINITY;
      for (let round = 0; round < 5; round++) {
        const began = performance.now();
        await session.query("select 1");
        shortest = Math.min(shortest, performance.now() - began);
      }
      return shortest;
    });
  } catch {
    return 0; // The checks say that the target does not answer.
  }
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
  stopIfCancelled(reporter, "before anything was touched");

  const old = access.member(from);
  const target = access.member(to);
  const sessions = openSessions();
  try {
    await writeJournal([old, target], {
      operation: "switchover",
      from,
      to,
      epoch: lock.epoch,
      ...seen,
      startedAt: new Date().toISOString(),
      holder: holderName(),
    });
    const rePointed = ready.plan.rePointed.map((name) => access.member(name));
    const outage = await handOver(access, { old, target, rePointed, sessions }, seen, lock, reporter);
    const followed = await follow(access, old, target, outage, lock, {
      reporter,
      expected: new Set([from, to, ...streamingMembers(ready.observations)]),
    });
    await removeJournal([old, target], lock.epoch);
    const evidence = await recordEvidence(access, target, outage.checkpointLsn, seen.timeline);
    const timeline = await newTimeline(target);
    return {
      from,
      to,
      oldTimeline: seen.timeline,
      newTimeline: timeline,
      checkpointLsn: outage.checkpointLsn,
      evidence,
      outageMilliseconds: followed.acknowledged.milliseconds,
      predictedMilliseconds: ready.prediction.totalMilliseconds,
      moments: [...outage.moments, followed.acknowledged],
      streamingAgainMilliseconds: followed.streamingAgainMilliseconds,
    };
  } finally {
    await sessions.close();
  }
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
export function refuseBlocked(
  access: ClusterAccess,
  from: string,
  to: string,
  observations: readonly MemberObservation[],
): void {
  refuseIfBlocked(access, checkSwitchover(access.group, from, to, observations, undefined));
}

function refuseIfBlocked(access: ClusterAccess, checks: readonly Check[]): void {
  const blocked = checks.filter((check) => check.verdict === "block");
  if (blocked.length === 0) return;
  throw new UserError(
    `switchover of ${access.group.cluster} blocked by ${blocked.length} check${blocked.length === 1 ? "" : "s"}:\n${checksText(blocked)}\n  Nothing was touched.`,
  );
}

/** The sessions of a handover: opened before the outage, closed after it whatever happens. */
function openSessions() {
  const opened: SqlSession[] = [];
  return {
    async open(member: MemberAccess, statementLimitSeconds: number): Promise<SqlSession> {
      const session = await member.connect({ statementLimitSeconds });
      opened.push(session);
      return session;
    },
    async close(): Promise<void> {
      await Promise.all(opened.map((session) => session.close()));
    },
  };
}

interface Parties {
  readonly old: MemberAccess;
  readonly target: MemberAccess;
  readonly rePointed: readonly MemberAccess[];
  readonly sessions: ReturnType<typeof openSessions>;
}

/** A checkpoint of a large busy primary takes its time; nobody waits for it. */
const checkpointLimitSeconds = 1800;
/** The first commit may have to wait until the old primary has come back and streams. */
const firstCommitLimitSeconds = 420;

/** Steps 5 to 8. Whatever fails before the target is primary puts the old one back. */
async function handOver(
  access: ClusterAccess,
  parties: Parties,
  seen: Seen,
  lock: ClusterLock,
  reporter: Reporter,
): Promise<OutageResult & { readonly began: number }> {
  const { old, target, rePointed, sessions } = parties;
  try {
    const [oldSession, targetSession, probe] = await Promise.all([
      sessions.open(old, checkpointLimitSeconds),
      sessions.open(target, 60),
      sessions.open(target, firstCommitLimitSeconds),
    ]);
    reporter.progress(`quieting ${old.name} and ${target.name}`);
    const demoter = await armDemoter(access, old, lock);
    try {
      await quietDown(access, { old: oldSession, target: targetSession }, target, rePointed);
      lock.assertHeld();
      stopIfCancelled(reporter, "before the primary was stopped");
    } catch (error) {
      demoter.end();
      throw error;
    }
    reporter.progress(`handing over ${old.name} -> ${target.name}`);
    const reconnect = () => sessions.open(target, firstCommitLimitSeconds);
    const began = performance.now();
    const result = await runOutage(access, { demoter, target: targetSession, probe, reconnect }, seen, lock);
    return { ...result, began };
  } catch (error) {
    if (!(error instanceof OutageFailed)) throw await leaveQuiet(access, parties, lock, error);
    reporter.progress(`undoing: ${error.message}`);
    if (error.promoteSent) await stopPromotedOrPromoting(target, seen, error.message);
    const milliseconds = await restoreOldPrimary(old, lock);
    reporter.progress(`undoing: ${old.name} is primary again, and ${target.name} returns to its steady state`);
    if (error.promoteSent) await startService(target, 60);
    const undone = new UserError(
      `switchover ${old.name} -> ${target.name} undone: ${error.message}.\n  ${old.name} is primary again (writable ${seconds(milliseconds)} after the decision). Find the cause and run \`pulumi up\` again.`,
    );
    throw await leaveQuiet(access, parties, lock, undone);
  }
}

/** Back to the steady state. What cannot be put back now keeps its journal, and the next `up` finds it there. */
async function leaveQuiet(
  access: ClusterAccess,
  { old, target, rePointed }: Parties,
  lock: ClusterLock,
  cause: unknown,
): Promise<unknown> {
  try {
    lock.assertHeld();
  } catch {
    return cause; // Whoever took the cluster over has put it in order, or will.
  }
  await undoQuiet(access, [target, ...rePointed]);
  await Promise.allSettled([removeJournal([old], lock.epoch), removeJournal([target], lock.epoch)]);
  return cause;
}

/** Steps 9 and 11: the old primary follows, the others go back to the steady state. Times count from the order to stop. */
async function follow(
  access: ClusterAccess,
  old: MemberAccess,
  target: MemberAccess,
  outage: { readonly began: number; readonly acknowledged: Promise<Moment> },
  lock: ClusterLock,
  { reporter, expected }: { readonly reporter: Reporter; readonly expected: ReadonlySet<string> },
): Promise<{ readonly acknowledged: Moment; readonly streamingAgainMilliseconds: number }> {
  reporter.progress(`${old.name} follows ${target.name}`);
  lock.assertHeld();
  await applyRoleWhileDown(access, old);
  await startService(old, 300);
  const others = access.members.filter((member) => member !== old && member.name !== target.name);
  await Promise.all([
    resetSlots(access, old),
    applyRole(access, target, steadyRole),
    ...others.map((member) => applyRole(access, member, steadyRole).catch(() => undefined)),
  ]);
  // One that did not stream before is not this handover's to repair: the report is not lost for it.
  await waitUntilSettled(access, target.name, reporter, expected);
  const streamingAgainMilliseconds = performance.now() - outage.began;
  return { acknowledged: await outage.acknowledged, streamingAgainMilliseconds };
}

/** The stop may still be ending: systemd waits for the postmaster, whose last act was to write pg_control. */
async function applyRoleWhileDown(access: ClusterAccess, old: MemberAccess): Promise<void> {
  await stopService(old, 120);
  await layRole(access, old, steadyRole);
}

async function newTimeline(target: MemberAccess): Promise<number> {
  return withSession(target, async (session) => {
    const rows = await session.query<{ timeline: number }>(
      "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as timeline",
    );
    return rows[0]?.timeline ?? 0;
  });
}
