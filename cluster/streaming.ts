import { z } from "zod";
import { lsnValue } from "../model/lsn.ts";
import type { SqlSession } from "../remote/postgres.ts";
import { waitFor } from "./waitFor.ts";

/** Who streams from the member of this session, by application name: backups, subscriptions and other tools too. */
export async function streamingStandbys(session: SqlSession): Promise<string[]> {
  const rows = await session.select(
    z.object({ application_name: z.string() }),
    "select application_name from pg_stat_replication where state = 'streaming'",
  );
  return rows.map((row) => row.application_name);
}

/** Returns once everybody wanted is among those that `read` tells to stream from this member. */
export async function waitUntilStreaming(
  read: () => Promise<readonly string[]>,
  from: string,
  wanted: readonly string[],
  limitSeconds: number,
): Promise<void> {
  if (wanted.length === 0) return;
  await waitFor(`${wanted.join(", ")} to stream from ${from}`, limitSeconds, async () => {
    const streaming = await read();
    if (wanted.every((name) => streaming.includes(name))) return { done: true };
    return { lastSeen: `streaming: ${streaming.join(", ") || "nobody"}` };
  });
}

/** Returns once the member of this session, a standby, has replayed its WAL up to this position. */
export async function waitUntilReplayed(
  session: SqlSession,
  member: string,
  lsn: string,
  limitSeconds: number,
): Promise<void> {
  await waitFor(`${member} to replay its WAL up to ${lsn}`, limitSeconds, async () => {
    const read = await session.selectOne(
      z.object({ replayed: z.string().nullable() }),
      "select pg_last_wal_replay_lsn()::text as replayed",
    );
    const replayed = read.replayed ?? "0/0";
    return lsnValue(replayed) >= lsnValue(lsn) ? { done: true } : { lastSeen: `replayed up to ${replayed}` };
  });
}
