import { UserError } from "../model/fault.ts";
import { steadyRole } from "../model/rendering.ts";
import { seconds } from "../model/report.ts";
import type { SqlSession } from "../remote/postgres.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { waitUntilSettled } from "./converge.ts";
import { removeJournal } from "./journal.ts";
import type { ClusterLock } from "./lock.ts";
import { type ArmedOutage, armOutage, type OutageResult, runOutage, Undone } from "./outage.ts";
import { applyRole, quietDown, undoQuiet } from "./quiet.ts";
import { type Reporter, stopIfCancelled } from "./reporter.ts";
import { resetSlots } from "./roles.ts";
import { waitForService } from "./service.ts";

interface Parties {
  readonly old: MemberAccess;
  readonly target: MemberAccess;
  /** Members that follow the target before the primary stops. */
  readonly rePointed: readonly MemberAccess[];
  readonly needsOldPrimary: boolean;
  readonly seen: { readonly timeline: number; readonly systemIdentifier: string };
}

/** The old primary is primary again. */
export class SwitchoverUndone extends UserError {
  constructor(
    message: string,
    /** From the certainty that nobody was promoted until the old primary accepted connections. */
    readonly writableAfterMilliseconds: number,
  ) {
    super(message);
  }
}

/** A checkpoint of a large busy primary takes its time; nobody waits for it. */
const checkpointLimitSeconds = 1800;

/**
 * Steps 4 to 9, after the lock and the journal. Until the order to stop, whatever fails leaves the primary as it is;
 * afterwards the hosts finish or undo it by themselves, and this only listens.
 */
export async function handOver(
  access: ClusterAccess,
  parties: Parties,
  lock: ClusterLock,
  reporter: Reporter,
): Promise<OutageResult & { readonly began: number }> {
  const { old, target, rePointed } = parties;
  reporter.progress(`${old.name} and ${target.name} stand ready`);
  let armed: ArmedOutage | undefined;
  try {
    armed = await armOutage(access, { ...parties, changed: [target, ...rePointed] }, lock);
    await access.manager.standBack(lock);
    reporter.progress(`quieting ${old.name} and ${target.name}`);
    await withSessions([old, target], checkpointLimitSeconds, ([oldSession, targetSession]) =>
      quietDown(access, { old: oldSession, target: targetSession }, target, rePointed),
    );
    lock.assertHeld();
    stopIfCancelled(reporter, "before the primary was stopped");
  } catch (error) {
    end(armed);
    throw await leaveQuiet(access, parties, lock, error);
  }
  reporter.progress(`handing over ${old.name} -> ${target.name}`);
  const began = performance.now();
  try {
    return { ...(await runOutage(old, armed)), began };
  } catch (error) {
    // Its journal stays: whoever comes next has to know what the hosts may still be doing.
    if (!(error instanceof Undone)) throw error;
    reporter.progress(`undone: ${error.message}`);
    await waitForService(old, 300);
    const writableAfter = performance.now() - error.decidedAt;
    const undone = new SwitchoverUndone(
      `switchover ${old.name} -> ${target.name} undone: ${error.message}.\n  ${old.name} is primary again (writable ${seconds(writableAfter)} after the decision). Find the cause and run \`pulumi up\` again.`,
      writableAfter,
    );
    throw await leaveQuiet(access, parties, lock, undone);
  } finally {
    end(armed);
  }
}

function end(armed: ArmedOutage | undefined): void {
  armed?.give.end();
  armed?.take.end();
}

/** Opens one session on each, uses them, closes them whatever happens. */
async function withSessions(
  members: readonly [MemberAccess, MemberAccess],
  statementLimitSeconds: number,
  use: (sessions: readonly [SqlSession, SqlSession]) => Promise<void>,
): Promise<void> {
  const [first, second] = members;
  const one = await first.connect({ statementLimitSeconds });
  try {
    const other = await second.connect({ statementLimitSeconds });
    try {
      await use([one, other]);
    } finally {
      await other.close();
    }
  } finally {
    await one.close();
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
  await Promise.allSettled([removeJournal([old], lock.epoch, lock), removeJournal([target], lock.epoch, lock)]);
  return cause;
}

/** Steps 9 to 11: slots and roles as in the steady state, and everybody of `expected` streams. */
export async function settleAfterwards(
  access: ClusterAccess,
  { old, target }: Pick<Parties, "old" | "target">,
  expected: ReadonlySet<string>,
  lock: ClusterLock,
  reporter: Reporter,
): Promise<void> {
  reporter.progress(`${old.name} follows ${target.name}`);
  lock.assertHeld();
  await waitForService(old, 300);
  lock.assertHeld();
  const others = access.members.filter((member) => member !== old && member !== target);
  await Promise.all([
    resetSlots(access, old, lock, reporter),
    applyRole(access, old, steadyRole),
    applyRole(access, target, steadyRole),
    ...others.map((member) => applyRole(access, member, steadyRole).catch(() => undefined)),
  ]);
  await waitUntilSettled(access, target.name, reporter, expected);
}
