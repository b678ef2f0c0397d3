import { z } from "zod";
import type { Measurement, Measurements, Software } from "../model/measurement.ts";
import type { LiveSetting } from "../model/parameters.ts";
import { RemoteError, SqlFailed } from "../remote/errors.ts";
import type { SqlSession } from "../remote/postgres.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";

async function measureSwitchover(access: ClusterAccess, from: string, to: string): Promise<Measurements> {
  const { querySeconds } = access.group.limits;
  const old = access.member(from);
  const ofPrimary = withSession(old, async (session) => {
    const measured = await measureMember(session, querySeconds);
    return { measured, databases: await listDatabases(session) };
  });
  const ofTarget = withSession(access.member(to), async (session) => {
    const measured = await measureMember(session, querySeconds);
    const primary = await ofPrimary;
    const preloaded = [...primary.measured.preloaded.shared, ...primary.measured.preloaded.session];
    const software = await compareSoftware(old, primary.databases, preloaded, session);
    return { measured, software };
  });
  const [primary, target] = await Promise.all([ofPrimary, ofTarget]);
  return { primary: primary.measured, target: target.measured, software: target.software };
}

/** What the checks of a switchover ask of both members beside the observation, or why one of them did not answer. */
export async function measureOrTell(
  access: ClusterAccess,
  from: string,
  to: string,
): Promise<Measurements | { readonly failed: string }> {
  try {
    return await measureSwitchover(access, from, to);
  } catch (error) {
    if (error instanceof RemoteError) return { failed: firstLine(error.message) };
    throw error;
  }
}

const running = z
  .object({ pid: z.number(), user: z.string(), seconds: z.number() })
  .nullish()
  .transform((value) => value ?? undefined);

const setting: z.ZodType<LiveSetting> = z.object({
  setting: z.string(),
  unit: z.string().nullable(),
  vartype: z.string(),
});

const measurementSchema: z.ZodType<Measurement> = z.object({
  clients: z.object({ open: z.number(), most: z.number() }),
  transactions: z.number(),
  oldestTransaction: running,
  longQueries: z.object({ count: z.number(), longest: running }),
  prepared: z.object({ count: z.number(), oldestSeconds: z.number() }),
  archiver: z.object({ failing: z.boolean(), waitingFiles: z.number() }),
  settings: z.record(z.string(), setting),
  preloaded: z.object({ shared: z.array(z.string()), session: z.array(z.string()) }),
  pendingRestart: z.record(z.string(), z.string().nullable()),
  replayDelaySeconds: z.number(),
});

/** Settings that are a member's own, or of this session alone; the rest is meant to be the same everywhere. */
const notCompared = [
  "application_name",
  "client_encoding",
  "cluster_name",
  "config_file",
  "data_directory",
  "external_pid_file",
  "hba_file",
  "ident_file",
  "listen_addresses",
  "log_directory",
  "port",
  "primary_conninfo",
  "primary_slot_name",
  "recovery_min_apply_delay",
  "statement_timeout",
  "synchronized_standby_slots",
  "transaction_deferrable",
  "transaction_isolation",
  "transaction_read_only",
  "unix_socket_directories",
  "wal_retrieve_retry_interval",
];

/*
 * One statement, so that it is one round trip. Sessions of pgha itself are not clients. Of a text setting only a hash
 * leaves the host. A pending text is left out for the same reason. A setting that was changed and changed back counts as
 * pending for PostgreSQL when no file names it any more.
 */
const measurement = `
with client as materialized (
  select pid, usename as "user", state, extract(epoch from clock_timestamp() - xact_start)::float as transaction,
      extract(epoch from clock_timestamp() - query_start)::float as query
    from pg_stat_activity where backend_type = 'client backend' and application_name <> 'pgha')
select json_build_object(
  'clients', json_build_object('open', (select count(*) from client),
    'most', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true)::int, 0)),
  'transactions', (select count(*) from client where transaction is not null),
  'oldestTransaction', (select json_build_object('pid', pid, 'user', "user", 'seconds', transaction)
    from client where transaction is not null order by transaction desc limit 1),
  'longQueries', json_build_object(
    'count', (select count(*) from client where state = 'active' and query > $1),
    'longest', (select json_build_object('pid', pid, 'user', "user", 'seconds', query)
      from client where state = 'active' and query > $1 order by query desc limit 1)),
  'prepared', (select json_build_object('count', count(*),
      'oldestSeconds', coalesce(max(extract(epoch from clock_timestamp() - prepared)), 0)) from pg_prepared_xacts),
  'archiver', json_build_object(
    'failing', (select coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
      from pg_stat_archiver),
    'waitingFiles', case current_setting('archive_mode') when 'off' then 0
      else (select count(*) from pg_ls_archive_statusdir() where name like '%.ready') end),
  'settings', (select json_object_agg(name, json_build_object('setting',
      case vartype when 'string' then hashtextextended(coalesce(reset_val, ''), 0)::text else reset_val end,
      'unit', unit, 'vartype', vartype)) from pg_settings where context <> 'internal' and name <> all($2)),
  'preloaded', json_build_object(
    'shared', (select coalesce(json_agg(trim(both ' "' from library)), '[]')
      from unnest(string_to_array(nullif(current_setting('shared_preload_libraries'), ''), ',')) library),
    'session', (select coalesce(json_agg(trim(both ' "' from library)), '[]')
      from unnest(string_to_array(nullif(current_setting('session_preload_libraries'), ''), ',')) library)),
  'pendingRestart', (select coalesce(json_object_agg(name, next), '{}') from (
    select name, setting, case when vartype <> 'string' then coalesce((select f.setting from pg_file_settings f
        where lower(f.name) = lower(s.name) order by f.seqno desc limit 1), boot_val) end as next
      from pg_settings s where pending_restart) waiting where next is distinct from setting),
  'replayDelaySeconds', (select setting::float / 1000 from pg_settings where name = 'recovery_min_apply_delay')
) as measured`;

async function measureMember(session: SqlSession, querySeconds: number): Promise<Measurement> {
  const row = z.object({ measured: measurementSchema });
  return (await session.selectOne(row, measurement, [querySeconds, notCompared])).measured;
}

/**
 * Databases of the primary that are looked into at the same time. With the observation beside them these are three
 * sessions: as many as PostgreSQL reserves for superusers when clients have taken all others.
 */
const sessionsAtOnce = 2;

interface UsedByDatabase {
  readonly database: string;
  readonly extensions: readonly { readonly name: string; readonly version: string }[];
  readonly libraries: readonly string[];
}

/** What the primary's databases use, and what of it the target's host has. Every database has to be asked by itself. */
async function compareSoftware(
  primary: MemberAccess,
  databases: readonly string[],
  preloaded: readonly string[],
  target: SqlSession,
): Promise<Software> {
  const used: UsedByDatabase[] = [];
  const unread: Record<string, string> = {};
  const left = [...databases];
  const worker = async () => {
    for (let database = left.shift(); database !== undefined; database = left.shift()) {
      try {
        used.push(await usedBy(primary, database));
      } catch (error) {
        if (!(error instanceof RemoteError)) throw error;
        // Dropped meanwhile: then nothing in it is needed.
        if (!(error instanceof SqlFailed && error.code === "3D000")) unread[database] = firstLine(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: sessionsAtOnce }, worker));
  const extensions = joinDatabases(used);
  const libraries = [...new Set([...preloaded, ...used.flatMap((one) => one.libraries)])].sort();
  const { offered, missing } = await target.selectOne(inventorySchema, inventory, [
    [...new Set(extensions.map((extension) => extension.name))],
    libraries,
  ]);
  return { extensions, offered, libraries, missingLibraries: missing, unread };
}

async function listDatabases(session: SqlSession): Promise<string[]> {
  const rows = await session.select(
    z.object({ datname: z.string() }),
    "select datname from pg_database where datallowconn and not datistemplate order by datname",
  );
  return rows.map((row) => row.datname);
}

const inventorySchema = z.object({
  offered: z.record(z.string(), z.array(z.string())),
  missing: z.array(z.string()),
});

const usedSchema = z.object({
  extensions: z.array(z.object({ name: z.string(), version: z.string() })),
  libraries: z.array(z.string()),
});

/** Functions of PostgreSQL itself lie below 16384, in libraries that come with the server. */
async function usedBy(primary: MemberAccess, database: string): Promise<UsedByDatabase> {
  const use = async (session: SqlSession) => {
    const used = await session.selectOne(
      usedSchema,
      `
      select (select coalesce(json_agg(json_build_object('name', extname, 'version', extversion) order by extname), '[]')
          from pg_extension) as extensions,
        (select coalesce(json_agg(distinct probin), '[]') from pg_proc
          where probin is not null and probin <> '' and oid >= 16384) as libraries`,
    );
    return { database, ...used };
  };
  return withSession(primary, use, { database });
}

function joinDatabases(used: readonly UsedByDatabase[]): Software["extensions"] {
  const joined = new Map<string, { name: string; version: string; databases: string[] }>();
  for (const { database, extensions } of used) {
    for (const { name, version } of extensions) {
      const key = `${name} ${version}`;
      const entry = joined.get(key) ?? { name, version, databases: [] };
      entry.databases.push(database);
      joined.set(key, entry);
    }
  }
  return [...joined.values()].map((entry) => ({ ...entry, databases: entry.databases.sort() }));
}

/* Looks for a library as the server itself does: src/backend/utils/fmgr/dfmgr.c, expand_dynamic_library_name. */
const inventory = `
with place as (select setting as libdir from pg_config where name = 'PKGLIBDIR'),
file as (
  select name, case when name like '%/%' then replace(name, '$libdir', libdir)
      else replace(trim(directory), '$libdir', libdir) || '/' || name end as path
    from place, unnest($2::text[]) name, unnest(string_to_array(current_setting('dynamic_library_path'), ':')) directory)
select
  (select coalesce(json_object_agg(name, versions), '{}') from (select name, json_agg(version order by version) as versions
    from pg_available_extension_versions where name = any($1::text[]) group by name) offered) as offered,
  (select coalesce(json_agg(name order by name), '[]') from unnest($2::text[]) name
    where not exists (select from file where file.name = name.name
      and coalesce((pg_stat_file(path, true)).size, (pg_stat_file(path || '.so', true)).size) is not null)) as missing`;

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}
