import { z } from "zod";
import { steadyRole } from "../model/rendering.ts";
import type { SqlSession } from "../remote/postgres.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { layRole, reloadConfiguration } from "./configuration.ts";
import { streamingStandbys, waitUntilReplayed, waitUntilStreaming } from "./streaming.ts";

/** For each of these waits; the primary is left as it is when one takes longer. */
const quietLimitSeconds = 20;

/**
 * Everything that makes the outage short and can be done while writes go on: the target retries at once, the others
 * follow the target already, and both ends have checkpointed, so that the shutdown checkpoint has little to write.
 */
export async function quietDown(
  access: ClusterAccess,
  sessions: { readonly old: SqlSession; readonly target: SqlSession },
  target: MemberAccess,
  rePointed: readonly MemberAccess[],
): Promise<void> {
  await Promise.all([
    applyRole(access, target, { ...steadyRole, hurried: true }),
    ...rePointed.map((member) => applyRole(access, member, { ...steadyRole, upstream: target.name, hurried: true })),
    sessions.old.query("checkpoint"),
    sessions.target.query("checkpoint"),
  ]);
  await waitUntilStreaming(
    () => streamingStandbys(sessions.target),
    target.name,
    rePointed.map((member) => member.name),
    quietLimitSeconds,
  );
  // A fresh segment has little behind it to copy at the promotion; nothing may wait for a standby here.
  await sessions.old.query("set synchronous_commit = local");
  const { lsn } = await sessions.old.selectOne(z.object({ lsn: z.string() }), "select pg_switch_wal() as lsn");
  await waitUntilReplayed(sessions.target, target.name, lsn, quietLimitSeconds);
  await checkpointUntilCheap(sessions.old);
  await waitUntilCommitsPass(sessions.old);
}

/** Short enough to be what the shutdown checkpoint will cost; a busy primary may never get there. */
const cheapMilliseconds = 100;
const checkpointRounds = 4;

/** Last of all, because every moment afterwards makes pages dirty that the shutdown checkpoint must write. */
async function checkpointUntilCheap(old: SqlSession): Promise<void> {
  for (let round = 0; round < checkpointRounds; round++) {
    if ((await millisecondsOf(old.query("checkpoint"))) < cheapMilliseconds) return;
  }
}

const quickCommitMilliseconds = 20;
const commitRounds = 20;

/** A fresh segment and a checkpoint let commits wait; what clients still wait for then would count as outage too. */
async function waitUntilCommitsPass(old: SqlSession): Promise<void> {
  const distance = await millisecondsOf(old.query("reset synchronous_commit"));
  for (let round = 0; round < commitRounds; round++) {
    // It needs no table.
    const commit = await millisecondsOf(old.query("select pg_logical_emit_message(true, 'pgha', 'switchover')"));
    if (commit < distance + quickCommitMilliseconds) return;
  }
}

async function millisecondsOf(work: Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work;
  return performance.now() - began;
}

/** Back to the steady state, for members that answer. */
export async function undoQuiet(access: ClusterAccess, members: readonly MemberAccess[]): Promise<void> {
  await Promise.allSettled(members.map((member) => applyRole(access, member, steadyRole)));
}

export async function applyRole(
  access: ClusterAccess,
  member: MemberAccess,
  role: Parameters<typeof layRole>[2],
): Promise<void> {
  await layRole(access, member, role);
  // Also when the file was so already: an earlier run may have ended before its reload.
  await reloadConfiguration(member);
}
