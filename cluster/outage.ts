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
}

export interface OutageResult {
  readonly checkpointLsn: string;
  readonly outageMilliseconds: number;
  readonly moments: readonly { readonly what: string; readonly milliseconds: number }[];
}

/** The outage began and failed. `promoteSent`: the target may be, or may become, writable. */
export class OutageFailed extends UserError {
  constructor(
    readonly promoteSent: boolean,
    message: string,
  ) {
    super(message);
  }
}

const proofLimitMilliseconds = 5_000;
const promoteLimitMilliseconds = 60_000;

/** Stands the demoting helper beside the primary; until it hears `go` it does nothing, and without us it goes away. */
export async function armDemoter(access: ClusterAccess, old: MemberAccess): Promise<AgentConversation> {
  const limitSeconds = access.group.limits.stopSeconds;
  const demoter = await converseWithAgent(
    old.host,
    "demote",
    { dataDirectory: old.declaration.dataDirectory, unit: old.paths.unit, limitSeconds },
    { limitSeconds: limitSeconds + 120, purpose: `demote ${old.name}` },
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
  const moments: { what: string; milliseconds: number }[] = [];
  const mark = (what: string) => moments.push({ what, milliseconds: performance.now() - began });

  armed.demoter.say("go");
  const answer = shutDown.safeParse(await before(() => armed.demoter.answer(access.group.limits.stopSeconds + 10)));
  if (!answer.success)
    throw new OutageFailed(false, `the primary did not shut down within ${access.group.limits.stopSeconds} s`);
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

  try {
    await armed.target.query("select pg_promote(false)");
    await waitUntilWritable(armed.target);
    mark("writable");
    // The first commit that the synchronous rule acknowledges ends the outage: it needs no table.
    await armed.probe.query("select pg_logical_emit_message(true, 'pgha', 'switchover')");
    mark("acknowledged");
  } catch (error) {
    throw new OutageFailed(true, messageOf(error));
  }
  return { checkpointLsn: stopped.checkpointLsn, outageMilliseconds: performance.now() - began, moments };
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
  const deadline = performance.now() + proofLimitMilliseconds;
  for (;;) {
    const rows = await target.query<{ lsn: string | null }>("select pg_last_wal_receive_lsn()::text as lsn");
    const received = rows[0]?.lsn ?? "0/0";
    if (lsnValue(received) >= end) return;
    if (performance.now() > deadline) {
      throw new OutageFailed(
        false,
        `the target received WAL up to ${received}, but the old primary's shutdown checkpoint is at ${checkpointLsn}`,
      );
    }
  }
}

async function waitUntilWritable(target: SqlSession): Promise<void> {
  const deadline = performance.now() + promoteLimitMilliseconds;
  for (;;) {
    const rows = await target.query<{ recovering: boolean }>("select pg_is_in_recovery() as recovering");
    if (rows[0]?.recovering === false) return;
    if (performance.now() > deadline) throw new Error("the target did not leave recovery within 60 s of its promotion");
  }
}
