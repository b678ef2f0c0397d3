import type { Duplex } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { z } from "zod";
import { faultText } from "../model/fault.ts";
import { messageOf } from "./connection.ts";
import { startDeadline } from "./deadline.ts";
import { NoListener, NoPostgres, RemoteError, RemoteTimeout, SqlFailed } from "./errors.ts";
import type { RemoteHost } from "./host.ts";

/** Where the server is on its host, and how a session behaves. */
export interface PostgresAddress {
  /** "/var/run/postgresql" */
  readonly socketDirectory: string;
  readonly port: number;
  /** The role, by peer authentication: pg_ident.conf must map the SSH user to it. Default "postgres". */
  readonly user?: string;
  /** Default "postgres". */
  readonly database?: string;
  readonly applicationName: string;
  /** `statement_timeout` on the server; when even that brings no answer within 2 s more, the session is given up. */
  readonly statementLimitSeconds: number;
  /** From the call to "ready for query": the way to the socket, and PostgreSQL's own start of a session. */
  readonly connectLimitSeconds: number;
}

/** One session. Statements run one after another, in the order of the calls. */
export interface SqlSession {
  /** The server process, as pg_stat_activity.pid. */
  readonly processId: number;
  /**
   * One statement; values stand for $1, $2 …. What it returns is passed over.
   * Throws `SqlFailed`, `NoPostgres` when the server ended, `Unreachable` when the connection broke, `RemoteTimeout`.
   */
  query(text: string, values?: readonly unknown[]): Promise<void>;
  /** One statement whose rows are read, each as `row` says. bigint and numeric come as strings, json parsed. Throws as `query` does. */
  select<Row>(row: z.ZodType<Row>, text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** The same of a statement that always returns one row. */
  selectOne<Row>(row: z.ZodType<Row>, text: string, values?: readonly unknown[]): Promise<Row>;
  /** Says goodbye; never throws. */
  close(): Promise<void>;
}

/** How much later than the server's own statement_timeout we give a session up. */
const answerGraceSeconds = 2;

/** too_many_connections: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const tooManyConnections = "53300";
const slotPauseSeconds = 0.25;

/**
 * Opens a session over the host's SSH connection: no port, no password. Where the server has no connection slot left, that is
 * waited for within the connect limit: those of superusers are few, and whoever watches the server takes them for a moment.
 */
export async function connectPostgres(host: RemoteHost, address: PostgresAddress): Promise<SqlSession> {
  const deadline = startDeadline(address.connectLimitSeconds);
  let limitSeconds = address.connectLimitSeconds;
  for (;;) {
    try {
      return await openSession(host, address, limitSeconds);
    } catch (error) {
      const isFull = error instanceof SqlFailed && error.code === tooManyConnections;
      if (!isFull || deadline.remainingSeconds() <= slotPauseSeconds) throw error;
      await pause(slotPauseSeconds * 1000);
      limitSeconds = Number(deadline.remainingSeconds().toFixed(1));
    }
  }
}

async function openSession(
  host: RemoteHost,
  address: PostgresAddress,
  connectLimitSeconds: number,
): Promise<SqlSession> {
  const path = `${address.socketDirectory}/.s.PGSQL.${address.port}`;
  const deadline = startDeadline(connectLimitSeconds);
  const channel = await openChannel(host, path, connectLimitSeconds);
  const client = new pg.Client({
    stream: () => asSocket(channel),
    ssl: false,
    user: address.user ?? "postgres",
    database: address.database ?? "postgres",
    application_name: address.applicationName,
    options: `-c statement_timeout=${Math.round(address.statementLimitSeconds * 1000)} -c client_encoding=UTF8`,
    password: () => {
      throw passwordAsked(host.name, path);
    },
  });
  let failure: unknown;
  client.on("error", (error) => {
    failure ??= error;
  });
  /** Ends the session from this side: everything that waits for it gets this error. */
  function giveUp(error: RemoteError): void {
    channel.emit("error", error);
    channel.destroy();
  }
  try {
    await limited(client.connect(), deadline.remainingSeconds(), () =>
      giveUp(noAnswer(host.name, path, connectLimitSeconds)),
    );
  } catch (error) {
    channel.destroy();
    throw explain(host.name, path, error);
  }

  let last: Promise<unknown> = Promise.resolve();
  function send(text: string, values?: readonly unknown[]): Promise<pg.QueryResult> {
    const limitSeconds = address.statementLimitSeconds + answerGraceSeconds;
    const result = last.then(() => {
      if (failure !== undefined) throw explain(host.name, path, failure);
      const answer = client.query(text, values && [...values]);
      return limited(answer, limitSeconds, () => giveUp(noAnswer(host.name, path, limitSeconds))).catch((error) => {
        throw explain(host.name, path, error);
      });
    });
    last = result.catch(() => {});
    return result;
  }

  return {
    processId: processIdOf(client),
    async query(text, values) {
      await send(text, values);
    },
    async select(row, text, values) {
      const { rows } = await send(text, values);
      return z.array(row).parse(rows);
    },
    async selectOne(row, text, values) {
      const { rows } = await send(text, values);
      return z.tuple([row]).parse(rows)[0];
    },
    close: () => closeClient(client, channel, failure !== undefined),
  };
}

async function openChannel(host: RemoteHost, path: string, limitSeconds: number): Promise<Duplex> {
  try {
    return await host.socket(path, limitSeconds);
  } catch (error) {
    if (!(error instanceof NoListener)) throw error;
    const found = "no PostgreSQL server";
    const remedy = "Start the instance, or correct its port.";
    throw new NoPostgres(
      host.name,
      faultText({ path: [host.name, path], found, expected: "one that listens", remedy }),
    );
  }
}

/** What pg expects of a socket and a channel does not have. The channel is connected already. */
function asSocket(channel: Duplex): Duplex {
  return Object.assign(channel, {
    connect: () => process.nextTick(() => channel.emit("connect")),
    setNoDelay: () => channel,
    setKeepAlive: () => channel,
    ref: () => channel,
    unref: () => channel,
  });
}

/** pg's type declarations leave out where the process id is. */
function processIdOf(client: pg.Client & { processID?: number }): number {
  return client.processID ?? 0;
}

async function limited<T>(work: Promise<T>, limitSeconds: number, expire: () => void): Promise<T> {
  const limit = setTimeout(expire, limitSeconds * 1000);
  try {
    return await work;
  } finally {
    clearTimeout(limit);
  }
}

/** A session that hangs is cut off after a while, so that closing always ends. */
async function closeClient(client: pg.Client, channel: Duplex, failed: boolean): Promise<void> {
  if (failed) {
    channel.destroy();
    return;
  }
  await new Promise<void>((resolve) => {
    const limit = setTimeout(() => {
      channel.destroy();
      resolve();
    }, 1000);
    client.end().then(
      () => {
        clearTimeout(limit);
        resolve();
      },
      () => resolve(),
    );
  });
}

/** By SQLSTATE. */
const remedies: Readonly<Record<string, string>> = {
  "28000": "Map the SSH user to that role: peer authentication in pg_hba.conf, the map in pg_ident.conf.",
  [tooManyConnections]: "End sessions that hang, or raise superuser_reserved_connections.",
};

/** Our own errors stay as they are; PostgreSQL's keep their SQLSTATE; what else can happen is that the server went away. */
function explain(hostName: string, path: string, error: unknown): RemoteError {
  if (error instanceof RemoteError) return error;
  if (error instanceof pg.DatabaseError) {
    const code = error.code ?? "XX000";
    const more = [error.detail, error.hint].filter((text) => text !== undefined).join(" ");
    const remedy = remedies[code];
    return new SqlFailed(
      hostName,
      `${hostName}: PostgreSQL: ${error.message} (${code})${more && `. ${more}`}.${remedy === undefined ? "" : ` ${remedy}`}`,
      code,
    );
  }
  const found = `the session ended by the server (${messageOf(error)})`;
  const remedy = "See its log; it was stopped, or it crashed.";
  return new NoPostgres(hostName, faultText({ path: [hostName, path], found, expected: "that it lasts", remedy }));
}

function passwordAsked(hostName: string, path: string): SqlFailed {
  const remedy = 'Put "local all postgres peer map=pgha" first in its pg_hba.conf.';
  const fault = { path: [hostName, path], found: "a request for a password", expected: "peer authentication", remedy };
  return new SqlFailed(hostName, faultText(fault), "28000");
}

function noAnswer(hostName: string, path: string, limitSeconds: number): RemoteTimeout {
  const found = `no answer of PostgreSQL within ${limitSeconds} s`;
  const remedy = "Check the host's load and the server's log.";
  return new RemoteTimeout(hostName, faultText({ path: [hostName, path], found, expected: "one", remedy }));
}
