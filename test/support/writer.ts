import { randomBytes, randomUUID } from "node:crypto";
import { createWriteStream, type WriteStream } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { scramVerifier } from "../../model/scram.ts";
import type { SqlSession } from "../../remote/postgres.ts";
import {
  type Acknowledgement,
  findGaps,
  findLost,
  findTwoWriters,
  type Gap,
  type TwoWriters,
} from "./acknowledgements.ts";
import { dialWritable, hangUp, type Login, type ProbeServer, type WritableSession } from "./dial.ts";

export interface WriterOptions {
  /** The servers in the order in which a client would list them; or one, a virtual IP. */
  readonly servers: readonly ProbeServer[];
  readonly password: string;
  /** The writer ends by itself after so long, whatever happens. */
  readonly limitSeconds: number;
  /** From one insert to the next, while they are answered faster than that. Default 5. */
  readonly intervalMilliseconds?: number;
  /** How long one server may take to give a session. Default 300. Counts within the gap. */
  readonly connectLimitMilliseconds?: number;
  /** How long an insert may take; then its session is given up and its row is not counted. Default 500. Counts within the gap. */
  readonly statementLimitMilliseconds?: number;
  /**
   * Also keeps one slow writer for each of these alone, so that a second writable server is found even if no client of the
   * list ever reaches it. Their rows count as acknowledged, not for gaps. Default: none.
   */
  readonly watchedServers?: readonly ProbeServer[];
  /** How long the first row may take, the table's creation included. Default 20. */
  readonly firstRowLimitSeconds?: number;
  /** Every acknowledged row is written there too, one JSON object on a line. Default: only in memory. */
  readonly recordFile?: string;
}

export interface WriterResult {
  /** Names this run's rows in the table. */
  readonly run: string;
  readonly acknowledged: number;
  /** The longest stretch without an acknowledgement. */
  readonly maxGap: Gap;
  /** All stretches of 50 ms and more. */
  readonly gaps: readonly Gap[];
  /** Inserts that failed or were given up, by message. */
  readonly errors: Readonly<Record<string, number>>;
  /** Numbers of rows that were acknowledged and are missing in the table. */
  readonly lost: readonly number[];
  readonly twoWritersAtOnce: readonly TwoWriters[];
  /** In the order of their arrival. */
  readonly acknowledgements: readonly Acknowledgement[];
}

/** Whatever can ask the server that the record is compared with: a session of remote/postgres.ts, or a pg client. */
export type Asker = Pick<SqlSession, "query" | "select">;

export interface Writer {
  readonly run: string;
  /** How many rows were acknowledged until now. */
  acknowledged(): number;
  /** The longest stretch that reaches beyond this moment (milliseconds since 1970), the running one included. */
  longestGap(since: number): Gap;
  /** All stretches of 50 ms and more that reach beyond this moment, the running one included. */
  gapsSince(since: number): Gap[];
  /** Returns once a row that was sent after this call is acknowledged. */
  waitForAcknowledgement(limitSeconds: number): Promise<void>;
  /**
   * Ends the writing and compares: `asker` is a session in database probe on the server that counts as primary now.
   * Default: the first of the list that takes writes.
   */
  stop(asker?: Asker): Promise<WriterResult>;
}

export const probeRole = "probe";
export const probeDatabase = "probe";

const compareLimitSeconds = 30;
/** Between one fruitless walk through the list and the next. */
const redialMilliseconds = 5;
const watchMilliseconds = 200;
const gapMilliseconds = 50;

const createTable = `create table if not exists acknowledged
  (run text not null, number bigint not null, written_at timestamptz not null default clock_timestamp(), primary key (run, number))`;
const insert = `insert into acknowledged (run, number) values ($1, $2)
  returning ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as timeline,
    current_setting('cluster_name') as member`;

/**
 * Makes role, password and database of the writer, through a superuser's session on the primary. May be repeated; the
 * role then gets the new password. Clients must be allowed in by the cluster's clientNetworks.
 */
export async function prepareProbe(superuser: Asker, password: string): Promise<void> {
  const [roles, databases] = [
    await superuser.select(z.unknown(), "select 1 from pg_roles where rolname = $1", [probeRole]),
    await superuser.select(z.unknown(), "select 1 from pg_database where datname = $1", [probeDatabase]),
  ];
  const verb = roles.length === 0 ? "create" : "alter";
  // The verifier, not the password: statements end up in logs.
  await superuser.query(`${verb} role ${probeRole} login password '${scramVerifier(password, randomBytes(16))}'`);
  if (databases.length === 0) await superuser.query(`create database ${probeDatabase} owner ${probeRole}`);
}

/** Milliseconds since 1970 on the monotonic clock. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Everything that the loops of one writer share. */
interface Shared {
  readonly run: string;
  readonly login: Login;
  readonly endsAt: number;
  readonly connectLimitMilliseconds: number;
  readonly statementLimitMilliseconds: number;
  readonly stopping: AbortController;
  readonly errors: Map<string, number>;
  readonly dialFailures: Map<string, string>;
  readonly record: WriteStream | undefined;
  lastNumber: number;
}

/** Starts writing; returns once the first row is acknowledged, or tells why none was in time. */
export async function startWriter(options: WriterOptions): Promise<Writer> {
  const shared: Shared = {
    run: randomUUID(),
    login: { user: probeRole, database: probeDatabase, password: options.password },
    endsAt: now() + options.limitSeconds * 1000,
    connectLimitMilliseconds: options.connectLimitMilliseconds ?? 300,
    statementLimitMilliseconds: options.statementLimitMilliseconds ?? 500,
    stopping: new AbortController(),
    errors: new Map(),
    dialFailures: new Map(),
    record: options.recordFile === undefined ? undefined : createWriteStream(options.recordFile, { flags: "a" }),
    lastNumber: 0,
  };
  const firstRowLimitSeconds = options.firstRowLimitSeconds ?? 20;
  await withWritable(shared, options.servers, firstRowLimitSeconds, (asker) => asker.query(createTable));
  const mine: Acknowledgement[] = [];
  const watched: Acknowledgement[] = [];
  const loops = [writeOn(shared, options.servers, options.intervalMilliseconds ?? 5, mine)];
  for (const server of options.watchedServers ?? []) loops.push(writeOn(shared, [server], watchMilliseconds, watched));
  const ended = Promise.all(loops);
  const writer = createWriter(shared, options, { mine, watched, ended });
  try {
    await writer.waitForAcknowledgement(firstRowLimitSeconds);
  } catch (error) {
    shared.stopping.abort();
    await ended;
    throw error;
  }
  return writer;
}

function createWriter(
  shared: Shared,
  options: WriterOptions,
  rows: { mine: Acknowledgement[]; watched: Acknowledgement[]; ended: Promise<unknown> },
): Writer {
  const { mine, watched } = rows;
  const untilNow = () => Math.min(now(), shared.endsAt);
  const longest = (until: number, since: number): Gap => {
    const gaps = findGaps(mine, until, 0, since);
    const last = mine.at(-1);
    const none: Gap = { milliseconds: 0, startedAt: since, from: last?.server ?? "", to: last?.server };
    return gaps.reduce((worst, gap) => (gap.milliseconds > worst.milliseconds ? gap : worst), none);
  };
  return {
    run: shared.run,
    acknowledged: () => mine.length + watched.length,
    longestGap: (since) => longest(untilNow(), since),
    gapsSince: (since) => findGaps(mine, untilNow(), gapMilliseconds, since),
    async waitForAcknowledgement(limitSeconds) {
      const since = now();
      while ((mine.at(-1)?.sentAt ?? 0) < since) {
        if (now() - since > limitSeconds * 1000 || now() > shared.endsAt) throw new Error(noRow(shared, limitSeconds));
        await pause(2);
      }
    },
    async stop(asker) {
      const until = untilNow();
      shared.stopping.abort();
      await rows.ended;
      shared.record?.end();
      const all = [...mine, ...watched].sort((one, other) => one.acknowledgedAt - other.acknowledgedAt);
      const present = await readNumbers(shared, options.servers, asker);
      return {
        run: shared.run,
        acknowledged: all.length,
        maxGap: longest(until, 0),
        gaps: findGaps(mine, until, gapMilliseconds),
        errors: Object.fromEntries(shared.errors),
        lost: findLost(all, present),
        twoWritersAtOnce: findTwoWriters(all),
        acknowledgements: all,
      };
    },
  };
}

function noRow(shared: Shared, limitSeconds: number): string {
  const dials = [...shared.dialFailures].map(([server, reason]) => `${server}: ${reason}`);
  const reasons = [...dials, ...shared.errors.keys()].join("; ") || "no answer";
  return `writer: waited ${limitSeconds} s for an acknowledged row; last seen: ${reasons}`;
}

/** Inserts row after row, on one session at a time, until the writer is stopped or its time is over. */
async function writeOn(
  shared: Shared,
  servers: readonly ProbeServer[],
  intervalMilliseconds: number,
  acknowledgements: Acknowledgement[],
): Promise<void> {
  let session: WritableSession | undefined;
  while (!shared.stopping.signal.aborted && now() < shared.endsAt) {
    session ??= await dial(shared, servers);
    if (session === undefined) {
      await pause(servers.length === 1 ? intervalMilliseconds : redialMilliseconds);
      continue;
    }
    const number = ++shared.lastNumber;
    const sentAt = now();
    try {
      const { timeline, member } = await insertRow(shared, session, number);
      const row = { number, server: member, timeline, sentAt, acknowledgedAt: now() };
      acknowledgements.push(row);
      shared.record?.write(`${JSON.stringify({ run: shared.run, ...row })}\n`);
      await pause(Math.max(0, sentAt + intervalMilliseconds - now()));
    } catch (error) {
      const message = `${session.server}: ${error instanceof Error ? error.message : String(error)}`;
      shared.errors.set(message, (shared.errors.get(message) ?? 0) + 1);
      hangUp(session.client);
      session = undefined;
    }
  }
  if (session !== undefined) hangUp(session.client);
}

function dial(shared: Shared, servers: readonly ProbeServer[]): Promise<WritableSession | undefined> {
  return dialWritable(servers, {
    login: shared.login,
    connectLimitMilliseconds: shared.connectLimitMilliseconds,
    onFailure: (server, reason) => shared.dialFailures.set(server, reason),
  });
}

/** Behind a virtual IP stands now one member and now another: the server says itself which it is. */
async function insertRow(
  shared: Shared,
  session: WritableSession,
  number: number,
): Promise<{ timeline: number; member: string }> {
  const { statementLimitMilliseconds } = shared;
  const limit = setTimeout(() => {
    session.client.connection.stream.destroy(new Error(`no answer within ${statementLimitMilliseconds} ms`));
  }, statementLimitMilliseconds);
  try {
    const config = { name: "acknowledged", text: insert, values: [shared.run, number] };
    const { rows } = await session.client.query<{ timeline: number; member?: string }>(config);
    return { timeline: rows[0]?.timeline ?? 0, member: rows[0]?.member || session.server };
  } finally {
    clearTimeout(limit);
  }
}

/** A session on the first server that takes writes, asked for until there is one. */
async function withWritable<T>(
  shared: Shared,
  servers: readonly ProbeServer[],
  limitSeconds: number,
  use: (asker: Asker) => Promise<T>,
): Promise<T> {
  const deadline = now() + limitSeconds * 1000;
  for (;;) {
    const session = await dial(shared, servers);
    if (session !== undefined) {
      const ask = (text: string, values?: readonly unknown[]) => session.client.query(text, values && [...values]);
      const asker: Asker = {
        query: async (text, values) => void (await ask(text, values)),
        select: async (row, text, values) => z.array(row).parse((await ask(text, values)).rows),
      };
      try {
        return await use(asker);
      } finally {
        hangUp(session.client);
      }
    }
    if (now() > deadline) throw new Error(noRow(shared, limitSeconds));
    await pause(redialMilliseconds);
  }
}

async function readNumbers(
  shared: Shared,
  servers: readonly ProbeServer[],
  asker: Asker | undefined,
): Promise<number[]> {
  const read = async (from: Asker) => {
    const row = z.object({ number: z.string() });
    const rows = await from.select(row, "select number from acknowledged where run = $1", [shared.run]);
    return rows.map((row) => Number(row.number));
  };
  return asker === undefined ? withWritable(shared, servers, compareLimitSeconds, read) : read(asker);
}
