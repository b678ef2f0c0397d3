import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { lsnValue, segmentBytes, shutdownCheckpointEnd } from "../model/lsn.ts";
import type { SqlSession } from "../remote/postgres.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { type AgentConversation, converseWithAgent } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";

/** Steps 6 to 8, the only ones during which writes wait: everything they need stands open before they begin. */
export interface ArmedOutage {
  readonly demoter: AgentConversation;
  readonly target: SqlSession;
  readonly probe: SqlSession;
  /** A new session on the target, when the others broke. */
  readonly reconnect: () => Promise<SqlSession>;
}

export interface OutageResult {
  readonly checkpointLsn: string;
  readonly moments: readonly Moment[];
  /**
   * The first commit that the new primary's synchronous rule acknowledges ends the outage. Where the rule needs the old
   * primary, that comes only once it follows.
   */
  readonly acknowledged: Promise<Moment>;
}

/** Counted from the order to stop. */
export interface Moment {
  readonly what: string;
  readonly milliseconds: number;
}

/** The outage began and failed before the target was seen writable. `promoteSent`: it may be, or may become so. */
export class OutageFailed extends UserError {
  constructor(
    readonly promoteSent: boolean,
    message: string,
  ) {
    super(message);
  }
}

const proofLimitMilliseconds = 3_000;
const promoteLimitMilliseconds = 60_000;

/**
 * Stands the demoting helper beside the primary; until it hears `go` it does nothing, and without us it goes away. A `go`
 * that arrives when the lock is no longer ours does nothing either.
 */
export async function armDemoter(
  access: ClusterAccess,
  old: MemberAccess,
  lock: Pick<ClusterLock, "epoch">,
): Promise<AgentConversation> {
  const limitSeconds = access.group.limits.stopSeconds;
  const { paths, declaration } = old;
  const demoter = await converseWithAgent(
    old.host,
    "demote",
    {
      dataDirectory: declaration.dataDirectory,
      unit: paths.unit,
      limitSeconds,
      lock: paths.lock,
      epoch: lock.epoch,
    },
    { limitSeconds: limitSeconds + 3600, purpose: `demote ${old.name}` },
  );
  const answer = await demoter.answer(20);
  if (answer.result !== "armed") throw new Error(`${old.name}: the demoting helper said ${JSON.stringify(answer)}`);
  return demoter;
}

const shutDown = z.object({
  result: z.literal("shut down"),
  systemIdentifier: z.string(),
  checkpointLsn: z.string(),
  timeline: z.number(),
  milliseconds: z.number(),
});

export async function runOutage(
  access: ClusterAccess,
  armed: ArmedOutage,
  expected: { readonly timeline: number; readonly systemIdentifier: string },
  lock: ClusterLock,
): Promise<OutageResult> {
  const began = performance.now();
  const moments: Moment[] = [];
  const momentOf = (what: string): Moment => ({ what, milliseconds: performance.now() - began });
  const mark = (what: string) => moments.push(momentOf(what));

  armed.demoter.say("go");
  const limitSeconds = access.group.limits.stopSeconds;
  const said = await before(() => armed.demoter.answer(limitSeconds + 10));
  if (said.result === "lock lost") throw new OutageFailed(false, `${said.holder} took the cluster over`);
  const answer = shutDown.safeParse(said);
  if (!answer.success) throw new OutageFailed(false, `the primary did not shut down within ${limitSeconds} s`);
  const stopped = answer.data;
  mark("shut down");
  if (stopped.timeline !== expected.timeline || stopped.systemIdentifier !== expected.systemIdentifier) {
    throw new OutageFailed(
      false,
      `the old primary stopped on timeline ${stopped.timeline}, expected ${expected.timeline}`,
    );
  }
  await before(() => proveReceived(access, armed.target, stopped.checkpointLsn));
  mark("proved");
  // What cannot be undone: somebody who took the lock over may have put the old primary back.
  await before(async () => lock.assertHeld());

  let probe = armed.probe;
  try {
    await armed.target.query("select pg_promote(false)");
    await waitUntilWritable(armed.target);
  } catch (error) {
    // A broken connection says nothing of the promotion: a target that is writable is the primary, and is never stopped for it.
    const writable = await writableAfterAll(armed.reconnect);
    if (writable === undefined) throw new OutageFailed(true, messageOf(error));
    probe = writable;
  }
  // From here on only forward: the target is primary.
  mark("writable");
  const acknowledged = probe
    .query("select pg_logical_emit_message(true, 'pgha', 'switchover')") // it needs no table
    .then(() => momentOf("acknowledged"));
  acknowledged.catch(() => undefined);
  return { checkpointLsn: stopped.checkpointLsn, moments, acknowledged };
}

async function before<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof OutageFailed ? error : new OutageFailed(false, messageOf(error));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The target's flushed WAL must reach the end, not only the start, of the old primary's shutdown checkpoint record. */
async function proveReceived(access: ClusterAccess, target: SqlSession, checkpointLsn: string): Promise<void> {
  const end = shutdownCheckpointEnd(checkpointLsn, segmentBytes(access.group.walSegmentSize));
  const missing = (found: string) =>
    new OutageFailed(false, `${found}, but the old primary's shutdown checkpoint is at ${checkpointLsn}`);
  let received = "nothing yet";
  const poll = async () => {
    const deadline = performance.now() + proofLimitMilliseconds;
    do {
      const rows = await target.query<{ lsn: string | null }>("select pg_last_wal_receive_lsn()::text as lsn");
      received = rows[0]?.lsn ?? "0/0";
      if (lsnValue(received) >= end) return;
    } while (performance.now() < deadline);
    throw missing(`the target received WAL up to ${received}`);
  };
  await within(poll(), proofLimitMilliseconds + 1000, () => missing("the target does not answer"));
}

/** A target that stands still must not keep the old primary from coming back. */
async function within<T>(work: Promise<T>, milliseconds: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), milliseconds);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

const secondLookMilliseconds = 15_000;

/** A session on the target if it turns out to be writable, whatever became of the session that asked for it. */
async function writableAfterAll(reconnect: () => Promise<SqlSession>): Promise<SqlSession | undefined> {
  const deadline = performance.now() + secondLookMilliseconds;
  while (performance.now() < deadline) {
    try {
      const session = await reconnect();
      const rows = await session.query<{ recovering: boolean }>("select pg_is_in_recovery() as recovering");
      if (rows[0]?.recovering === false) return session;
    } catch {
      // Not yet: the host may be cut off, or PostgreSQL still on its way.
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return undefined;
}

async function waitUntilWritable(target: SqlSession): Promise<void> {
  const deadline = performance.now() + promoteLimitMilliseconds;
  for (;;) {
    const rows = await target.query<{ recovering: boolean }>("select pg_is_in_recovery() as recovering");
    if (rows[0]?.recovering === false) return;
    if (performance.now() > deadline) throw new Error("the target did not leave recovery within 60 s of its promotion");
  }
}
