import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";

/** One server that clients know by address. */
export interface ProbeServer {
  /** Member or host name; it stands in every record. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface Login {
  readonly user: string;
  readonly database: string;
  readonly password: string;
}

/** A session on a server that said it takes writes. */
export interface WritableSession {
  readonly server: string;
  readonly client: pg.Client;
}

export interface DialOptions {
  readonly login: Login;
  /** From the first packet to "ready for query", of one server. */
  readonly connectLimitMilliseconds: number;
  /** Told of every attempt that did not end in a session. */
  readonly onFailure?: (server: string, reason: string) => void;
}

/** A server that stays silent for so long lets the next one of the list be tried beside it. */
const staggerMilliseconds = 40;

/**
 * Goes once through the ordered list, as libpq does with several hosts and target_session_attrs=read-write: the first
 * server that takes writes wins, a read-only one is left at once. A silent server delays the others by the stagger only,
 * and itself gets no more than its connect limit. Undefined when none takes writes.
 */
export async function dialWritable(
  servers: readonly ProbeServer[],
  options: DialOptions,
): Promise<WritableSession | undefined> {
  const dialling = new Set<pg.Client>();
  let won: WritableSession | undefined;
  let announce: (() => void) | undefined;
  const winner = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const attempts: Promise<void>[] = [];
  for (const server of servers) {
    const attempt = dialServer(server, options, dialling).then((session) => {
      if (session === undefined) return;
      if (won === undefined) {
        won = session;
        announce?.();
      } else hangUp(session.client);
    });
    attempts.push(attempt);
    await Promise.race([attempt, pause(staggerMilliseconds)]);
    if (won !== undefined) break;
  }
  await Promise.race([winner, Promise.all(attempts)]);
  for (const client of dialling) hangUp(client);
  return won;
}

async function dialServer(
  server: ProbeServer,
  options: DialOptions,
  dialling: Set<pg.Client>,
): Promise<WritableSession | undefined> {
  const client = new pg.Client({
    host: server.address,
    port: server.port,
    ...options.login,
    ssl: false,
    application_name: "probe",
    connectionTimeoutMillis: options.connectLimitMilliseconds,
  });
  // Without a listener, an error of an idle session would end the process; the next statement tells of it.
  client.on("error", () => undefined);
  const told = new Map<string, string>();
  client.connection.on("parameterStatus", (status: { parameterName: string; parameterValue: string }) => {
    told.set(status.parameterName, status.parameterValue);
  });
  dialling.add(client);
  try {
    await client.connect();
    if (!(await takesWrites(client, told))) throw new Error("read-only");
    return { server: server.name, client };
  } catch (error) {
    options.onFailure?.(server.name, error instanceof Error ? error.message : String(error));
    hangUp(client);
    return undefined;
  } finally {
    dialling.delete(client);
  }
}

/** What target_session_attrs=read-write looks at; servers before PostgreSQL 14 do not tell and are asked. */
async function takesWrites(client: pg.Client, told: ReadonlyMap<string, string>): Promise<boolean> {
  if (told.has("in_hot_standby")) {
    return told.get("in_hot_standby") === "off" && told.get("default_transaction_read_only") !== "on";
  }
  const { rows } = await client.query<{ writable: boolean }>(
    "select not pg_is_in_recovery() and not current_setting('default_transaction_read_only')::bool as writable",
  );
  return rows[0]?.writable === true;
}

/** Ends a session politely where that is possible, and in any case soon. */
export function hangUp(client: pg.Client): void {
  const { stream } = client.connection;
  client.end().catch(() => undefined);
  setTimeout(() => stream.destroy(), 200);
}
