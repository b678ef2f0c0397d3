import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type SshServer, type SshServerOptions, startSshServer } from "../test/support/sshServer.ts";
import { ForwardingRefused, NoPostgres, RemoteTimeout, SqlFailed, Unreachable } from "./errors.ts";
import type { RemoteHost } from "./host.ts";
import { openRemoteHosts } from "./pool.ts";
import { connectPostgres } from "./postgres.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(options?: SshServerOptions) {
  const ssh = await startSshServer(options);
  cleanups.push(() => ssh.close());
  const hosts = openRemoteHosts([ssh.target]);
  cleanups.push(() => hosts.close());
  return { ssh, host: hosts.host("pg1") };
}

function session(host: RemoteHost, ssh: SshServer, connectLimitSeconds = 0.5) {
  return connectPostgres(host, {
    socketDirectory: ssh.directory,
    port: 5432,
    applicationName: "pgha",
    statementLimitSeconds: 0.2,
    connectLimitSeconds,
  });
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error("it did not fail"),
    (error: Error) => error,
  );
}

function message(type: string, ...parts: (string | number[] | Buffer)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === "string" ? Buffer.from(`${part}\0`) : Buffer.from(part))),
  );
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const ready = message("Z", Buffer.from("I"));
const hello = Buffer.concat([message("R", [0, 0, 0, 0]), message("K", [0, 0, 16, 225, 0, 0, 0, 1]), ready]);
const passwordRequest = message("R", [0, 0, 0, 3]);

/**
 * As much of a PostgreSQL server as a session needs: `select 1` is answered, `bad` is an error, anything else never. The first
 * sessions get these greetings in their order, the later ones the last of them.
 */
async function fakePostgres(directory: string, greeting: Buffer | readonly Buffer[] | undefined = hello) {
  const greetings = [greeting].flat();
  const sockets = new Set<Socket>();
  const statements: string[] = [];
  let startup = "";
  let ended = 0;
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      ended += 1;
    });
    socket.once("data", (asked) => {
      startup = asked.toString("latin1");
      const [first] = greetings.length > 1 ? greetings.splice(0, 1) : greetings;
      if (first !== undefined) socket.write(first);
      socket.on("data", (chunk) => {
        const text = chunk.toString("utf8", 5, chunk.length - 1);
        if (chunk[0] !== "Q".charCodeAt(0)) return;
        statements.push(text);
        if (text === "select 1") {
          const columns = message("T", [0, 1], "a", [0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0]);
          socket.write(Buffer.concat([columns, message("D", [0, 1, 0, 0, 0, 1, 49]), message("C", "SELECT 1"), ready]));
        } else if (text === "bad") {
          socket.write(Buffer.concat([message("E", "SERROR", "C42601", 'Msyntax error at or near "bad"', [0]), ready]));
        }
      });
    });
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(join(directory, ".s.PGSQL.5432"), resolve));
  return {
    statements,
    startup: () => startup,
    /** How many connections came and went. */
    ended: () => ended,
    kill() {
      for (const socket of sockets) socket.end();
    },
  };
}

describe("a session", () => {
  it("answers, knows its process, and says who it is and how long a statement may take", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    expect(sql.processId).toBe(4321);
    expect(await sql.select(z.object({ a: z.number() }), "select 1")).toEqual([{ a: 1 }]);
    await expect(sql.select(z.object({ a: z.string() }), "select 1")).rejects.toThrow(
      "expected string, received number",
    );
    expect(await sql.selectOne(z.object({ a: z.number() }), "select 1")).toEqual({ a: 1 });
    expect(await sql.query("select 1")).toBeUndefined();
    expect(postgres.startup()).toContain("user\0postgres\0database\0postgres\0application_name\0pgha\0");
    expect(postgres.startup()).toContain("options\0-c statement_timeout=200 -c client_encoding=UTF8\0");
    await sql.close();
  });

  it("keeps the order of statements that are sent together", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    const answers = await Promise.allSettled([sql.query("select 1"), sql.query("bad"), sql.query("select 1")]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(postgres.statements).toEqual(["select 1", "bad", "select 1"]);
  });

  it("that PostgreSQL refuses a statement of keeps the SQLSTATE, and not the statement", async () => {
    const { ssh, host } = await setUp();
    await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    const error = await failureOf(sql.query("bad"));
    expect(error).toBeInstanceOf(SqlFailed);
    expect(error).toMatchObject({ code: "42601", host: "pg1" });
    expect(error.message).toBe('pg1: PostgreSQL: syntax error at or near "bad" (42601).');
  });

  it("ends at once, for what waits and for what comes later, when the server is killed", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    const pending = failureOf(sql.query("never"));
    await expect.poll(() => postgres.statements, { interval: 1 }).toEqual(["never"]);
    const began = performance.now();
    postgres.kill();
    expect(await pending).toBeInstanceOf(NoPostgres);
    expect(performance.now() - began).toBeLessThan(150);
    expect(await failureOf(sql.query("select 1"))).toBeInstanceOf(NoPostgres);
    await sql.close();
  });

  it("ends as unreachable when the connection breaks", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    const pending = failureOf(sql.query("never"));
    await expect.poll(() => postgres.statements, { interval: 1 }).toEqual(["never"]);
    ssh.cut();
    expect(await pending).toBeInstanceOf(Unreachable);
    expect(await failureOf(sql.query("select 1"))).toBeInstanceOf(Unreachable);
    await sql.close();
  });

  it("is given up when the server does not even obey its own statement limit", async () => {
    const { ssh, host } = await setUp();
    await fakePostgres(ssh.directory);
    const sql = await session(host, ssh);
    const error = await failureOf(sql.query("never"));
    expect(error).toBeInstanceOf(RemoteTimeout);
    expect(error.message).toBe(
      `pg1.${ssh.directory}/.s.PGSQL.5432: found no answer of PostgreSQL within 2.2 s, expected one. ` +
        "Check the host's load and the server's log.",
    );
  });
});

describe("no session begins", () => {
  it("when nothing listens at the socket", async () => {
    const { ssh, host } = await setUp();
    const error = await failureOf(session(host, ssh));
    expect(error).toBeInstanceOf(NoPostgres);
    expect(error.message).toBe(
      `pg1.${ssh.directory}/.s.PGSQL.5432: found no PostgreSQL server, expected one that listens. ` +
        "Start the instance, or correct its port.",
    );
  });

  it("when sshd does not forward Unix sockets, though a server listens", async () => {
    const { ssh, host } = await setUp({ forwardsSockets: false });
    await fakePostgres(ssh.directory);
    const error = await failureOf(session(host, ssh));
    expect(error).toBeInstanceOf(ForwardingRefused);
    expect(error.message).toContain("Set AllowStreamLocalForwarding yes");
  });

  it("when the server does not answer within the limit", async () => {
    const { ssh, host } = await setUp();
    await fakePostgres(ssh.directory, Buffer.alloc(0));
    expect(await failureOf(session(host, ssh))).toBeInstanceOf(RemoteTimeout);
  });

  it("when sshd does not open the way to the socket within the limit, and the way that opens later is closed", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { ssh, host } = await setUp({ beforeForward: () => gate });
    const postgres = await fakePostgres(ssh.directory);
    const error = await failureOf(session(host, ssh));
    expect(error).toEqual(
      new RemoteTimeout(
        "pg1",
        `pg1.${ssh.directory}/.s.PGSQL.5432: found no answer of sshd within 0.5 s, expected a stream to that socket. Check the host's load.`,
      ),
    );
    open();
    await expect.poll(() => postgres.ended()).toBe(1);
  });

  it("when the way to the socket has used up most of the limit and the server does not answer in the rest", async () => {
    const { ssh, host } = await setUp({ beforeForward: () => new Promise((resolve) => setTimeout(resolve, 1200)) });
    await fakePostgres(ssh.directory, Buffer.alloc(0));
    const began = performance.now();
    const error = await failureOf(session(host, ssh, 1.5));
    expect(error.message).toContain("found no answer of PostgreSQL within 1.5 s");
    expect(performance.now() - began).toBeLessThan(2500);
  });

  it("when the server asks for a password, whatever PGPASSWORD says", async () => {
    const { ssh, host } = await setUp();
    await fakePostgres(ssh.directory, passwordRequest);
    process.env.PGPASSWORD = "secret";
    cleanups.push(() => delete process.env.PGPASSWORD);
    const error = await failureOf(session(host, ssh));
    expect(error).toMatchObject({ name: "SqlFailed", code: "28000" });
    expect(error.message).toContain("found a request for a password, expected peer authentication");
  });

  it("when the server is still starting, which its SQLSTATE tells", async () => {
    const { ssh, host } = await setUp();
    const starting = message("E", "SFATAL", "C57P03", "Mthe database system is starting up", [0]);
    await fakePostgres(ssh.directory, starting);
    expect(await failureOf(session(host, ssh))).toMatchObject({ name: "SqlFailed", code: "57P03" });
  });

  const full = message("E", "SFATAL", "C53300", "Msorry, too many clients already", [0]);

  it("waits until the server has a connection slot again", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory, [full, full, hello]);
    const sql = await session(host, ssh, 5);
    expect(await sql.query("select 1")).toBeUndefined();
    expect(postgres.ended()).toBe(2);
  });

  it("when the server has none within the limit: what it said, and the way out", async () => {
    const { ssh, host } = await setUp();
    const postgres = await fakePostgres(ssh.directory, full);
    const error = await failureOf(session(host, ssh, 0.7));
    expect(error).toMatchObject({ name: "SqlFailed", code: "53300" });
    expect(error.message).toBe(
      "pg1: PostgreSQL: sorry, too many clients already (53300). End sessions that hang, or raise superuser_reserved_connections.",
    );
    expect(postgres.ended()).toBeGreaterThan(1);
  });
});
