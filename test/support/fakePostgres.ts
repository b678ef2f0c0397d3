import { createServer, type Server, type Socket } from "node:net";

/** A server that speaks enough of PostgreSQL's protocol for the writer, and misbehaves on demand. */
export interface FakePostgres {
  readonly port: number;
  /** Row numbers of the table, as committed; a test takes some away. */
  readonly rows: Set<number>;
  /** What clients are told: in_hot_standby is its opposite. Sessions go on, as on a promotion. */
  writable: boolean;
  timeline: number;
  /** Connections are accepted and nothing is ever answered, as by a host that stalls. */
  silent: boolean;
  /** Ends every session with 57P01 and refuses new ones, as a fast shutdown does. */
  stop(): Promise<void>;
}

export async function startFakePostgres(options: { writable: boolean; rows?: Set<number> }): Promise<FakePostgres> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    converse(socket, fake);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: FakePostgres = {
    port: portOf(server),
    rows: options.rows ?? new Set(),
    writable: options.writable,
    timeline: 1,
    silent: false,
    async stop() {
      for (const socket of sockets) {
        socket.end(message("E", cstrings("SFATAL", "C57P01", "Mterminating connection", "")));
        socket.destroySoon();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function message(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function cstrings(...texts: string[]): Buffer {
  return Buffer.concat(texts.map((text) => Buffer.from(`${text}\0`)));
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

const ready = message("Z", Buffer.from("I"));

function greeting(fake: FakePostgres): Buffer {
  return Buffer.concat([
    message("R", int32(0)),
    message("S", cstrings("in_hot_standby", fake.writable ? "off" : "on")),
    message("S", cstrings("default_transaction_read_only", "off")),
    message("K", int32(1), int32(1)),
    ready,
  ]);
}

/** Reads messages off the socket and answers each. */
function converse(socket: Socket, fake: FakePostgres): void {
  const statements = new Map<string, string>();
  let bound: { text: string; values: string[] } = { text: "", values: [] };
  let greeted = false;
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const lengthAt = greeted ? 1 : 0;
      if (pending.length < lengthAt + 4) return;
      const end = lengthAt + pending.readInt32BE(lengthAt);
      if (pending.length < end) return;
      const type = greeted ? String.fromCharCode(pending[0] ?? 0) : "startup";
      const body = pending.subarray(lengthAt + 4, end);
      pending = pending.subarray(end);
      if (fake.silent) continue;
      if (type === "startup") {
        greeted = true;
        socket.write(greeting(fake));
      } else if (type === "P") {
        const [name = "", text = ""] = body.toString().split("\0");
        statements.set(name, text);
        socket.write(message("1"));
      } else if (type === "B") {
        const bind = readBind(body);
        bound = { text: statements.get(bind.statement) ?? "", values: bind.values };
        socket.write(message("2"));
      } else if (type === "D") socket.write(message("T", int16(1), columnDescription(bound.text)));
      else if (type === "E") socket.write(execute(fake, bound.text, bound.values));
      else if (type === "S") socket.write(ready);
      else if (type === "Q") socket.write(Buffer.concat([message("C", cstrings("OK")), ready]));
      else if (type === "X") socket.end();
    }
  });
}

function readBind(body: Buffer): { statement: string; values: string[] } {
  const portalEnd = body.indexOf(0);
  const statementEnd = body.indexOf(0, portalEnd + 1);
  const statement = body.toString("utf8", portalEnd + 1, statementEnd);
  let at = statementEnd + 1;
  at += 2 + 2 * body.readInt16BE(at);
  const count = body.readInt16BE(at);
  at += 2;
  const values: string[] = [];
  for (let index = 0; index < count; index++) {
    const length = body.readInt32BE(at);
    values.push(body.toString("utf8", at + 4, at + 4 + length));
    at += 4 + length;
  }
  return { statement, values };
}

/** One column; the writer asks for `timeline`, an integer, when it inserts, and for `number`, a bigint, when it compares. */
function columnDescription(text: string): Buffer {
  const [name, type, size] = text.startsWith("insert") ? (["timeline", 23, 4] as const) : (["number", 20, 8] as const);
  return Buffer.concat([cstrings(name), int32(0), int16(0), int32(type), int16(size), int32(-1), int16(0)]);
}

function execute(fake: FakePostgres, text: string, values: readonly string[]): Buffer {
  const row = (value: number) => {
    const bytes = Buffer.from(String(value));
    return message("D", int16(1), int32(bytes.length), bytes);
  };
  const done = message("C", cstrings("DONE"));
  if (!text.startsWith("insert")) return Buffer.concat([...[...fake.rows].map(row), done]);
  fake.rows.add(Number(values[1]));
  return Buffer.concat([row(fake.timeline), done]);
}
