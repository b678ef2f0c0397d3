import { z } from "zod";
import type { HeldLock } from "../model/checks/check.ts";
import { UserError } from "../model/fault.ts";
import type { LockState } from "../model/observation.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { type AgentConversation, converseWithAgent } from "./agent.ts";

const renewEverySeconds = 5;
/** A hold that was not confirmed for so long is not relied on: half of the time after which hosts take it for dead. */
const relyOnSeconds = 15;
/** Longest time for which one orchestration may hold the lock: longer than the longest clone. Its helper ends then. */
const holdLimitSeconds = 30 * 3600;

/** One orchestrator at a time: a file on every reachable member, with an epoch that only grows. */
export interface ClusterLock {
  readonly epoch: number;
  /** Names of the members on which it is held: nothing may be written on another one. */
  readonly members: ReadonlySet<string>;
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
 * The first member by name is asked alone: of two orchestrators that come at once exactly one gets it, and with it the rest.
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
  const [first, ...others] = [...members].sort((one, two) => (one.name < two.name ? -1 : 1));
  if (first === undefined) throw new UserError(`${access.group.cluster}: no member can be reached to lock it.`);
  const take = (member: MemberAccess) => hold(access, member, epoch, holder, since);
  const held = [await take(first)];
  const attempts = await Promise.allSettled(others.map(take));
  held.push(...attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : [])));
  const failed = attempts.find((attempt) => attempt.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(held.map(releaseOne));
    throw failed.reason;
  }
  return keepLock(access, epoch, held);
}

/** Said when somebody else is at work; `doing` names what, when it is known. */
export function heldText(access: ClusterAccess, other: HeldLock, doing?: string): string {
  const what = doing === undefined ? "." : `: ${doing}.`;
  return `${access.group.cluster}: ${other.holder} holds the cluster since ${other.since} (seen on ${other.member})${what}\n  Nothing was touched. Wait for it to end, then run this again; a dead one loses its hold after 30 s.`;
}

const refusedSchema = z.object({ epoch: z.number(), holder: z.string(), since: z.string(), alive: z.boolean() });

async function hold(
  access: ClusterAccess,
  member: MemberAccess,
  epoch: number,
  holder: string,
  since: string,
): Promise<Holding> {
  const conversation = await converseWithAgent(
    member.host,
    "hold",
    { path: member.paths.lock, epoch, holder, since },
    { limitSeconds: holdLimitSeconds, purpose: `lock member ${member.name}` },
  );
  const answer = await conversation.answer(20);
  if (answer.result === "held") return { member, conversation };
  conversation.end();
  const other = refusedSchema.parse(answer);
  if (other.alive) throw new UserError(heldText(access, { member: member.name, ...other }));
  throw new UserError(
    `${access.group.cluster}: somebody else was quicker to hold the cluster (seen on ${member.name}), and has ended.\n  Nothing was touched. Run this again.`,
  );
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
    members: new Set(held.map(({ member }) => member.name)),
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
