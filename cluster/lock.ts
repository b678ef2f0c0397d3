import type { HeldLock } from "../model/checks.ts";
import { UserError } from "../model/fault.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { type AgentConversation, converseWithAgent } from "./agent.ts";
import type { LockState } from "./observe.ts";

const renewEverySeconds = 5;
/** A hold that was not confirmed for so long is not relied on: half of the time after which hosts take it for dead. */
const relyOnSeconds = 15;
/** Longest time for which one orchestration may hold the lock at a stretch: the remote helper is killed then. */
const holdLimitSeconds = 24 * 3600;

/** One orchestrator at a time: a file on every reachable member, with an epoch that only grows. */
export interface ClusterLock {
  readonly epoch: number;
  /** Throws when a member refused a renewal, or when none was confirmed of late: somebody else may have taken over. */
  assertHeld(): void;
  release(): Promise<void>;
}

interface Holding {
  readonly member: MemberAccess;
  readonly conversation: AgentConversation;
}

/** The lock of somebody else that is alive, if there is one. */
export function heldByOther(locks: ReadonlyMap<string, LockState>): HeldLock | undefined {
  for (const [member, lock] of locks) {
    if (lock.alive) return { member, holder: lock.holder, since: lock.since };
  }
  return undefined;
}

/**
 * Takes the lock on all given members or on none. A lock that was not renewed for 30 s, by its host's boot clock, is dead.
 * Errors: `UserError` naming the holder when another orchestrator is alive or quicker.
 */
export async function acquireLock(
  access: ClusterAccess,
  members: readonly MemberAccess[],
  locks: ReadonlyMap<string, LockState>,
  holder: string,
): Promise<ClusterLock> {
  const epoch = Math.max(0, ...[...locks.values()].map((lock) => lock.epoch)) + 1;
  const since = new Date().toISOString();
  const attempts = await Promise.allSettled(members.map((member) => hold(member, epoch, holder, since)));
  const held = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  const failed = attempts.find((attempt) => attempt.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(held.map(releaseOne));
    throw failed.reason;
  }
  return keepLock(access, epoch, held);
}

async function hold(member: MemberAccess, epoch: number, holder: string, since: string): Promise<Holding> {
  const conversation = await converseWithAgent(
    member.host,
    "hold",
    { path: member.paths.lock, epoch, holder, since },
    { limitSeconds: holdLimitSeconds, purpose: `lock member ${member.name}` },
  );
  const answer = await conversation.answer(20);
  if (answer.result === "held") return { member, conversation };
  conversation.end();
  const who =
    answer.alive === true
      ? `${answer.holder} holds the cluster since ${answer.since}`
      : `epoch ${answer.epoch} was quicker`;
  throw new UserError(`${member.name}: ${who}. Nothing was touched. Run \`pulumi up\` again when it has ended.`);
}

function keepLock(access: ClusterAccess, epoch: number, held: readonly Holding[]): ClusterLock {
  let lost: string | undefined;
  // The wall clock, because it alone goes on while this machine sleeps.
  let confirmedAt = Date.now();
  const renew = async () => {
    const askedAt = Date.now();
    await Promise.all(
      held.map(async ({ member, conversation }) => {
        try {
          conversation.say("renew");
          const answer = await conversation.answer(renewEverySeconds * 2);
          if (answer.result !== "renew") lost ??= `${member.name} refused to renew it`;
        } catch (error) {
          lost ??= `${member.name}: ${error instanceof Error ? error.message : String(error)}`;
        }
      }),
    );
    if (lost === undefined) confirmedAt = askedAt;
  };
  let renewing = Promise.resolve();
  const timer = setInterval(() => {
    renewing = renewing.then(renew);
  }, renewEverySeconds * 1000);
  timer.unref();
  return {
    epoch,
    assertHeld() {
      const age = (Date.now() - confirmedAt) / 1000;
      if (lost === undefined && age <= relyOnSeconds) return;
      const reason = lost ?? `no member confirmed it for ${age.toFixed(0)} s`;
      throw new UserError(`the lock of cluster ${access.group.cluster} was lost: ${reason}`);
    },
    async release() {
      clearInterval(timer);
      await renewing;
      await Promise.all(held.map(releaseOne));
    },
  };
}

/** Never throws: a lock that cannot be released runs out by itself. */
async function releaseOne({ conversation }: Holding): Promise<void> {
  try {
    conversation.say("release");
    await conversation.answer(5);
  } catch {
    // The host is gone or the helper ended: nothing is left to release.
  }
  conversation.end();
}
