import { hostname, userInfo } from "node:os";
import { UserError } from "../model/fault.ts";
import type { MemberObservation } from "../model/observation.ts";
import { openJournal } from "../model/unfinished.ts";
import type { ClusterAccess } from "./access.ts";
import { settleAddresses } from "./addresses.ts";
import { acquireLock, type ClusterLock, heldByOther, heldText } from "./lock.ts";
import { observeMembers, readLocks } from "./observe.ts";
import type { Reporter } from "./reporter.ts";

/**
 * Holds the cluster's lock on every member that can be reached while `work` runs. Whatever writes on members runs in here,
 * and acts on what it is given: on what was seen before, somebody else may have worked since.
 * Errors: `UserError` when somebody else holds the cluster, naming him and since when.
 */
export async function underLock<T>(
  access: ClusterAccess,
  reporter: Reporter,
  work: (lock: ClusterLock, observations: readonly MemberObservation[]) => Promise<T>,
): Promise<T> {
  const locks = await readLocks(access);
  const other = heldByOther(locks);
  if (other !== undefined) throw new UserError(heldText(access, other, await whatMayRun(access)));
  const reached = access.members.filter((member) => locks.has(member.name));
  reporter.progress("locking the members");
  const lock = await acquireLock(access, reached, locks, holderName());
  try {
    const before = await observeMembers(access);
    refuseUnlocked(access, lock, before);
    return await withManagerBack(access, lock, before, reporter, async () => {
      if (!access.manager.acts(before)) return work(lock, before);
      reporter.progress("waiting for the failover manager to end what it began");
      await access.manager.standBack(lock);
      const after = await observeMembers(access);
      refuseUnlocked(access, lock, after);
      return work(lock, after);
    });
  } finally {
    await lock.release();
  }
}

/** Whatever `work` let the failover manager stand back for, or one before it that was cut off: he manages again afterwards. */
async function withManagerBack<T>(
  access: ClusterAccess,
  lock: ClusterLock,
  before: readonly MemberObservation[],
  reporter: Reporter,
  work: () => Promise<T>,
): Promise<T> {
  const { manager } = access;
  const resume = async () => {
    if (!manager.standsBack(before)) return;
    lock.assertHeld();
    const seen = await observeMembers(access);
    await settleAddresses(access, seen, lock);
    await manager.resume(seen, reporter);
  };
  let result: T;
  try {
    result = await work();
  } catch (error) {
    // Why the work failed is what a person needs to know; whoever took the cluster over lets the manager resume.
    await resume().catch((left: unknown) => reporter.warn(left instanceof Error ? left.message : String(left)));
    throw error;
  }
  await resume();
  return result;
}

async function whatMayRun(access: ClusterAccess): Promise<string | undefined> {
  const journal = openJournal(await observeMembers(access));
  return journal === undefined ? undefined : `the switchover ${journal.from} -> ${journal.to} may still run`;
}

/** One that came back while the others were locked may be somebody else's. */
function refuseUnlocked(access: ClusterAccess, lock: ClusterLock, observations: readonly MemberObservation[]): void {
  const unlocked = observations.filter((seen) => seen.reached && !lock.members.has(seen.member));
  if (unlocked.length === 0) return;
  throw new UserError(
    `${access.group.cluster}: ${unlocked.map((seen) => seen.member).join(", ")} came back while the others were being locked.\n  Nothing was touched. Run this again.`,
  );
}

/** Who holds a lock, for people: "root@deploy-1, pid 4711". */
export function holderName(): string {
  return `${userInfo().username}@${hostname()}, pid ${process.pid}`;
}
