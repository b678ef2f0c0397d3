import { z } from "zod";
import {
  type Journal,
  type LocalFacts,
  type LockState,
  type Marker,
  type MemberObservation,
  type PostgresFacts,
  reachedMembers,
} from "../model/observation.ts";
import { relaxedAttribute } from "../model/pacemaker/names.ts";
import { type PacemakerStatus, parseStatus } from "../model/pacemaker/status.ts";
import { ownSettings } from "../model/settings.ts";
import { HostKeyRefused, RemoteError } from "../remote/errors.ts";
import type { SqlSession } from "../remote/postgres.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { askAgent } from "./agent.ts";

const markerSchema: z.ZodType<Marker> = z.object({
  cluster: z.string(),
  member: z.string(),
  state: z.enum(["creating", "cloning", "ready", "erasing", "rewinding", "swapping"]),
  systemIdentifier: z.string().optional(),
  dataDirectory: z.string(),
  token: z.string().optional(),
  beside: z.string().optional(),
  replaced: z.string().optional(),
});

const journalSchema: z.ZodType<Journal> = z.object({
  operation: z.literal("switchover"),
  from: z.string(),
  to: z.string(),
  epoch: z.number(),
  systemIdentifier: z.string(),
  timeline: z.number(),
  startedAt: z.string(),
  holder: z.string(),
});

const givenUpSchema = z.object({ epoch: z.number() });

const lockSchema: z.ZodType<LockState> = z.object({
  epoch: z.number(),
  holder: z.string(),
  since: z.string(),
  alive: z.boolean(),
});

const directoryKind = z.enum(["missing", "empty", "data", "foreign"]);

const localSchema = z.object({
  marker: z.string().nullable(),
  journal: z.string().nullable(),
  givenUp: z.string().nullable(),
  lock: lockSchema,
  ticket: z.object({ epoch: z.number(), state: z.enum(["armed", "consumed", "promoted", "revoked"]) }).nullable(),
  switch: z.object({ epoch: z.number(), state: z.enum(["armed", "stopping", "restored", "followed"]) }).nullable(),
  gate: z.string().nullable(),
  channelKey: z.string().nullable(),
  authorized: z.string().nullable(),
  dataDirectory: directoryKind,
  dataToken: z.string().nullable(),
  walDirectory: z
    .object({ kind: directoryKind, token: z.string().nullable(), path: z.string(), pgWal: z.string().nullable() })
    .nullable(),
  standbySignal: z.boolean(),
  controlData: z
    .object({
      state: z.string(),
      systemIdentifier: z.string(),
      timeline: z.number(),
      began: z.object({ timeline: z.number(), endLsn: z.string() }).nullable(),
      checkpointLsn: z.string(),
    })
    .nullable(),
  unit: z.string(),
  unitEnabled: z.boolean(),
  files: z.record(z.string(), z.string()),
  freeBytes: z.number(),
  walFreeBytes: z.number(),
  failoverManagers: z.array(z.string()),
  pacemaker: z.string().nullable(),
  rings: z.string().nullable(),
  relaxed: z.record(z.string(), z.string()),
  now: z.number(),
});

/** What a member's host tells without PostgreSQL. */
async function observeLocal(
  access: ClusterAccess,
  member: MemberAccess,
  { withManager = true }: { readonly withManager?: boolean } = {},
): Promise<LocalFacts> {
  const { paths, declaration } = member;
  const asksManager = withManager && access.group.failover.manager === "pacemaker";
  const askedAt = Date.now() / 1000;
  const answer = await askAgent(
    member.host,
    "observe",
    {
      dataDirectory: declaration.dataDirectory,
      walDirectory: declaration.walDirectory ?? "",
      unit: paths.unit,
      files: [paths.postgresqlConf, paths.hba, paths.ident, paths.roleConf, paths.memberFile, paths.knownHosts],
      ...{ ticket: paths.ticket, switch: paths.switch, gateReason: paths.gateReason },
      ...{ channelKey: paths.channelKey, authorized: paths.authorized },
      marker: paths.marker,
      journal: paths.journal,
      givenUp: paths.givenUp,
      lock: paths.lock,
      programs: member.programs,
      pacemaker: asksManager ? 1 : 0,
      relaxed: asksManager ? relaxedAttribute(access.group.cluster) : "",
    },
    localSchema,
    { limitSeconds: 20, purpose: `observe member ${member.name} of ${access.group.cluster}` },
  );
  const answeredAt = Date.now() / 1000;
  const { marker, journal, givenUp, controlData, dataToken, walDirectory, ...more } = answer;
  const { ticket, switch: switched, gate, channelKey, authorized, now, pacemaker, rings, ...rest } = more;
  return {
    ...rest,
    dataToken: dataToken ?? undefined,
    walDirectory:
      walDirectory === null
        ? undefined
        : {
            ...walDirectory,
            directory: declaration.walDirectory ?? "",
            token: walDirectory.token ?? undefined,
            pgWal: walDirectory.pgWal ?? undefined,
          },
    marker: parseOwn(member, paths.marker, marker, markerSchema),
    journal: parseOwn(member, paths.journal, journal, journalSchema),
    givenUp: parseOwn(member, paths.givenUp, givenUp, givenUpSchema)?.epoch,
    controlData: controlData === null ? undefined : { ...controlData, began: controlData.began ?? undefined },
    ticket: ticket ?? undefined,
    switch: switched ?? undefined,
    gate: gate ?? undefined,
    channelKey: channelKey ?? undefined,
    authorized: authorized ?? undefined,
    pacemaker: pacemaker === null ? undefined : pacemakerStatus(pacemaker),
    rings: rings ?? undefined,
    clock: {
      aheadSeconds: now - (askedAt + answeredAt) / 2,
      uncertainSeconds: (answeredAt - askedAt) / 2,
    },
  };
}

/** What cannot be read is no answer: who is primary does not depend on it. */
function pacemakerStatus(text: string): PacemakerStatus {
  try {
    return parseStatus(text);
  } catch (error) {
    return { running: false, reason: messageOf(error) };
  }
}

/** A file of ours on the host; one that cannot be read makes its member unknown, for nobody may guess what it said. */
function parseOwn<T>(member: MemberAccess, path: string, text: string | null, schema: z.ZodType<T>): T | undefined {
  if (text === null) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    throw new RemoteError(
      member.host.name,
      `${member.name}: found ${path} damaged, expected what pgha wrote there. Look at it on the host; if its data is sound, correct it by hand.`,
    );
  }
}

/** Everything about one member; never throws for what the host or PostgreSQL is like. */
async function observeMember(access: ClusterAccess, member: MemberAccess): Promise<MemberObservation> {
  const postgres = observePostgres(access, member).then(
    (facts) => ({ facts, silent: undefined }),
    (error: unknown) => ({ facts: undefined, silent: messageOf(error) }),
  );
  try {
    const local = await observeLocal(access, member);
    const answered = await postgres;
    return {
      member: member.name,
      reached: true,
      local,
      postgres: answered.facts,
      postgresSilent: answered.silent,
    };
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    await postgres;
    const wrongHostKey = error instanceof HostKeyRefused ? ({ wrongHostKey: true } as const) : {};
    return { member: member.name, reached: false, reason: messageOf(error), ...wrongHostKey };
  }
}

export function observeMembers(access: ClusterAccess): Promise<MemberObservation[]> {
  return Promise.all(access.members.map((member) => observeMember(access, member)));
}

/** The lock of every member that was reached. */
export function locksOf(observations: readonly MemberObservation[]): Map<string, LockState> {
  return new Map(reachedMembers(observations).map(({ member, local }) => [member, local.lock]));
}

/** The lock file of every member that answers; PostgreSQL is not asked. */
export async function readLocks(access: ClusterAccess): Promise<Map<string, LockState>> {
  const entries = await Promise.allSettled(
    access.members.map(
      async (member) => [member.name, (await observeLocal(access, member, { withManager: false })).lock] as const,
    ),
  );
  return new Map(entries.flatMap((entry) => (entry.status === "fulfilled" ? [entry.value] : [])));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}

const optionalText = z
  .string()
  .nullish()
  .transform((value) => value ?? undefined);
const lsn = optionalText;

const postgresSchema: z.ZodType<PostgresFacts> = z.object({
  inRecovery: z.boolean(),
  systemIdentifier: z.string(),
  timeline: z.number(),
  version: z.number(),
  lsn,
  asksFromLsn: lsn,
  replayPaused: z.boolean(),
  walReceiver: z
    .object({ status: z.string(), senderHost: z.string(), senderPort: z.number(), timeline: z.number() })
    .nullish()
    .transform((value) => value ?? undefined),
  walSenders: z.array(
    z.object({
      name: z.string(),
      pid: z.number(),
      state: z.string(),
      connectedSeconds: z.number(),
      syncState: z.string(),
      slot: optionalText,
      logical: z.boolean(),
      sentLsn: lsn,
      writeLsn: lsn,
      flushLsn: lsn,
      replayLsn: lsn,
      replayLagSeconds: z.number(),
      silentSeconds: z.number(),
    }),
  ),
  slots: z.array(
    z.object({
      name: z.string(),
      kind: z.enum(["physical", "logical"]),
      active: z.boolean(),
      temporary: z.boolean(),
      failover: z.boolean(),
      synced: z.boolean(),
      restartLsn: lsn,
      walStatus: optionalText,
    }),
  ),
  settings: z.record(z.string(), z.object({ setting: z.string(), unit: z.string().nullable(), vartype: z.string() })),
  alterSystem: z.array(z.string()),
  roles: z.array(z.string()),
});

/*
 * One statement, so that it is one round trip and one snapshot. to_jsonb(row) has the columns that this version has.
 * pg_last_wal_receive_lsn() is at first where the standby asked to begin: the begin of a file, which lies behind everything
 * that it has where it asks for the rest of a record.
 */
const observation = `
with receiver as (
  select *, receive_start_lsn = pg_last_wal_receive_lsn() and receive_start_lsn > pg_last_wal_replay_lsn() as asks
  from pg_stat_wal_receiver
), position as (
  select pg_last_wal_receive_lsn() as received, pg_last_wal_replay_lsn() as replayed,
    pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
      and (pg_last_wal_receive_lsn() - '0/0') % (select setting::numeric from pg_settings where name = 'wal_segment_size') = 0
      and not exists (select from receiver where not asks) as may_only_ask
)
select json_build_object(
  'inRecovery', pg_is_in_recovery(),
  'systemIdentifier', (select system_identifier::text from pg_control_system()),
  'timeline', case when pg_is_in_recovery()
    then greatest((select timeline_id from pg_control_checkpoint()),
                  (select min_recovery_end_timeline from pg_control_recovery()),
                  (select received_tli from receiver where not asks))
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
  'version', current_setting('server_version_num')::int,
  'lsn', case when pg_is_in_recovery()
    then (select case when may_only_ask then replayed else greatest(received, replayed) end from position)
    else pg_current_wal_lsn() end,
  'asksFromLsn', (select received from position where may_only_ask and pg_is_in_recovery()),
  'replayPaused', case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end,
  'walReceiver', (select json_build_object('status', case when asks then 'asking' else status end,
      'senderHost', coalesce(sender_host, ''), 'senderPort', coalesce(sender_port, 0),
      'timeline', coalesce(received_tli, 0)) from receiver),
  'walSenders', (select coalesce(json_agg(json_build_object('name', application_name, 'pid', pid, 'state', state,
      'connectedSeconds', extract(epoch from clock_timestamp() - backend_start), 'syncState', sync_state,
      'slot', slot_name, 'logical', coalesce(slot_type = 'logical', false),
      'sentLsn', sent_lsn, 'writeLsn', write_lsn, 'flushLsn', flush_lsn, 'replayLsn', replay_lsn,
      'replayLagSeconds', coalesce(extract(epoch from replay_lag), 0),
      'silentSeconds', coalesce(extract(epoch from clock_timestamp() - reply_time), 0))
      order by application_name, pid), '[]')
    from pg_stat_replication left join pg_replication_slots on active_pid = pid),
  'slots', (select coalesce(json_agg(json_build_object('name', slot_name, 'kind', slot_type, 'active', active,
      'temporary', temporary, 'failover', coalesce((to_jsonb(slot)->>'failover')::boolean, false),
      'synced', coalesce((to_jsonb(slot)->>'synced')::boolean, false), 'restartLsn', restart_lsn,
      'walStatus', case when to_jsonb(slot)->>'invalidation_reason' is not null
          or (to_jsonb(slot)->>'conflicting')::boolean then 'lost' else wal_status end)
      order by slot_name), '[]') from pg_replication_slots slot),
  'settings', (select coalesce(json_object_agg(name, json_build_object('setting', setting, 'unit', unit,
      'vartype', vartype)), '{}') from pg_settings where lower(name) = any($1)),
  'alterSystem', (select coalesce(json_agg(distinct name), '[]') from pg_file_settings
    where sourcefile like '%/postgresql.auto.conf'),
  'roles', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles where rolname !~ '^pg_')
) as facts`;

async function observePostgres(access: ClusterAccess, member: MemberAccess): Promise<PostgresFacts> {
  return withSession(member, (session) => readPostgres(access, session));
}

async function readPostgres(access: ClusterAccess, session: SqlSession): Promise<PostgresFacts> {
  const names = [
    ...new Set([...Object.keys(access.group.parameters).map((name) => name.toLowerCase()), ...ownSettings]),
  ];
  return (await session.selectOne(z.object({ facts: postgresSchema }), observation, [names])).facts;
}
