import { z } from "zod";
import { endpointsOf } from "../model/group.ts";
import { segmentBytes } from "../model/lsn.ts";
import {
  type MemberObservation,
  type ReachedMember,
  reachedMembers,
  type SourceFacts,
  type StrayFacts,
} from "../model/observation.ts";
import { observePrimary } from "../model/observedPrimary.ts";
import { ownStretches } from "../model/ownWal.ts";
import { strayMembers } from "../model/rejoinFacts.ts";
import { parseHistory, segmentStart, waldumpRecordEnd, walFileName } from "../model/timeline.ts";
import { RemoteError } from "../remote/errors.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { askAgent } from "./agent.ts";
import { observeMembers } from "./observe.ts";

/**
 * Everything about every member, and of those that do not follow the confirmed primary what decides how they return; never
 * throws for what hosts are like.
 */
export async function observeWithStrays(access: ClusterAccess): Promise<MemberObservation[]> {
  const observations = await observeMembers(access);
  const observed = observePrimary(observations, endpointsOf(access.group));
  if (observed.kind !== "known") return observations;
  return (await orNothing(lookAtStrays(access, observed.member, observations))) ?? observations;
}

/**
 * Asks the hosts of members that do not follow for their WAL, and the primary for what it can give. Costs nothing while
 * everybody follows. A member whose host fails to answer keeps its observation without these facts.
 * Errors: `RemoteError` when the primary cannot be asked.
 */
export async function lookAtStrays(
  access: ClusterAccess,
  primaryName: string,
  observations: readonly MemberObservation[],
): Promise<MemberObservation[]> {
  const strays = strayMembers(primaryName, observations);
  const primary = reachedMembers(observations).find((seen) => seen.member === primaryName);
  if (strays.length === 0 || primary?.postgres === undefined) return [...observations];
  const looked = await Promise.all(
    strays.map(
      async (seen) => [seen.member, await orNothing(readStray(access, access.member(seen.member), seen))] as const,
    ),
  );
  // After the members: what one of them has received cannot lie behind what the primary then has written.
  const source = await readSource(access, access.member(primaryName));
  const facts = new Map(looked);
  return Promise.all(
    observations.map(async (seen) => {
      if (!seen.reached) return seen;
      if (seen.member === primaryName) return { ...seen, source };
      const stray = facts.get(seen.member);
      if (stray === undefined) return seen;
      const ownTransactions = await orNothing(countOwn(access, access.member(seen.member), stray, source));
      return { ...seen, stray: { ...stray, ownTransactions } };
    }),
  );
}

async function orNothing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof RemoteError) return undefined;
    throw error;
  }
}

const straySchema = z.object({
  busy: z.boolean(),
  besideBytes: z.number().nullable(),
  dataBytes: z.number(),
  keptBytes: z.number(),
  neverStarted: z.boolean(),
  timeline: z.number(),
  history: z.string().nullable(),
  oldestFile: z.string().nullable(),
  lastRecord: z.string().nullable(),
  partialTo: z.string().nullable(),
  redoLsn: z.string().nullable(),
  minRecoveryLsn: z.string().nullable(),
  canBeRewound: z.boolean(),
});

async function readStray(access: ClusterAccess, member: MemberAccess, seen: ReachedMember): Promise<StrayFacts> {
  const { declaration, paths } = member;
  const size = segmentBytes(access.group.walSegmentSize);
  // PostgreSQL that runs knows its timeline and the end of its WAL itself, but where it may only ask for more.
  const running = seen.postgres?.asksFromLsn === undefined ? seen.postgres : undefined;
  const said = await askAgent(
    member.host,
    "stray",
    {
      dataDirectory: declaration.dataDirectory,
      walDirectory: declaration.walDirectory ?? "",
      programs: member.programs,
      work: paths.rejoinLock,
      kept: paths.kept,
      segmentBytes: size,
      timeline: running?.timeline ?? 0,
    },
    straySchema,
    { limitSeconds: 120, purpose: `look at the WAL of ${member.name}` },
  );
  const { busy, dataBytes, keptBytes, neverStarted, timeline, canBeRewound } = said;
  return {
    timeline,
    past: said.history === null ? undefined : parseHistory(said.history),
    endLsn: running === undefined ? waldumpRecordEnd(said.lastRecord ?? "", size) : running.lsn,
    partialToLsn: said.partialTo ?? undefined,
    minRecoveryLsn: said.minRecoveryLsn ?? "0/0",
    oldestLsn: said.oldestFile === null ? undefined : segmentStart(`00000000${said.oldestFile}`, size),
    redoLsn: said.redoLsn ?? "0/0",
    canBeRewound,
    neverStarted,
    busy,
    besideBytes: said.besideBytes ?? undefined,
    dataBytes,
    keptBytes,
  };
}

const sourceSchema = z.object({
  timeline: z.number(),
  past: z.string().nullable(),
  lsn: z.string(),
  oldest: z.string(),
  databaseBytes: z.number(),
  tablespaces: z.array(z.string()),
});

const sourceStatement = `
select json_build_object(
  'timeline', timeline,
  'past', pg_read_file('pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history', 0, 10000000, true),
  'lsn', pg_current_wal_lsn(),
  'oldest', (select min(substr(name, 9)) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'),
  'databaseBytes', (select sum(pg_database_size(oid)) from pg_database) + (select sum(size) from pg_ls_waldir()),
  'tablespaces', (select coalesce(json_agg(pg_tablespace_location(oid) order by spcname), '[]') from pg_tablespace
    where spcname not in ('pg_default', 'pg_global'))
) as facts
from (select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as timeline) as now`;

async function readSource(access: ClusterAccess, primary: MemberAccess): Promise<SourceFacts> {
  const { facts: read } = await withSession(
    primary,
    (session) => session.selectOne(z.object({ facts: sourceSchema }), sourceStatement),
    { statementLimitSeconds: 60 },
  );
  const { past, oldest, ...facts } = read;
  const size = segmentBytes(access.group.walSegmentSize);
  return { ...facts, past: parseHistory(past ?? "") ?? [], oldestLsn: segmentStart(`00000000${oldest}`, size) };
}

/** Transactions that the member committed after it had parted from the primary; undefined when it did not. */
async function countOwn(
  access: ClusterAccess,
  member: MemberAccess,
  stray: StrayFacts,
  source: SourceFacts,
): Promise<number | undefined> {
  const stretches = ownStretches(stray, source);
  const [first] = stretches;
  if (first === undefined) return undefined;
  const { transactions } = await askAgent(
    member.host,
    "commits",
    {
      dataDirectory: member.declaration.dataDirectory,
      programs: member.programs,
      firstFile: walFileName(first.timeline, first.fromLsn, segmentBytes(access.group.walSegmentSize)),
      pieces: stretches.map(({ timeline, fromLsn, toLsn }) => `${timeline} ${fromLsn} ${toLsn}`),
    },
    z.object({ transactions: z.number().nullable() }),
    { limitSeconds: 600, purpose: `count the transactions of ${member.name}` },
  );
  return transactions ?? undefined;
}
