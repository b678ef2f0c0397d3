import { createHash, sign } from "node:crypto";
import { rmdirSync, rmSync, statSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import ssh2, { type ParsedKey } from "ssh2";
import { faultText, UserError } from "../model/fault.ts";
import { expandHome } from "./login.ts";

/** An SSH agent that answers at a Unix socket. */
export interface LocalAgent {
  readonly socketPath: string;
  /** Stops answering and removes the socket, if it is ours. */
  close(): void;
}

/** The protocol's message numbers (draft-miller-ssh-agent). */
const failure = 5;
const requestIdentities = 11;
const identitiesAnswer = 12;
const signRequest = 13;
const signResponse = 14;
const signWithSha256 = 2;
const signWithSha512 = 4;

/** No request is longer; whoever announces more is not talking to an agent. */
const longestMessageBytes = 256 * 1024;

/**
 * Where the agent of a stack answers: the same on every machine, because it stands in the state. Stacks of one name with
 * different keys (two checkouts) have different ones.
 */
export function agentSocketPath(stack: { project: string; stack: string }, privateKeyFile: string): string {
  const key = createHash("sha256").update(privateKeyFile).digest("hex").slice(0, 8);
  return join(tmpdir(), `pgha-${stack.project}-${stack.stack}-${key}`, "agent.sock");
}

/**
 * Serves one private key to programs that can only speak to an agent, so that they never get the key itself.
 * The socket has mode 0600 in a directory of mode 0700. A stale socket is replaced; a live agent that holds the same key is
 * used as long as it lives, and then replaced. It does not keep this process alive.
 */
export async function serveAgent(options: { privateKeyFile: string; socketPath: string }): Promise<LocalAgent> {
  const { socketPath } = options;
  const key = await readKey(options.privateKeyFile);
  let closed = false;
  let closeOwn = () => {};

  async function begin(): Promise<void> {
    const held = await identitiesAt(socketPath);
    if (held === undefined) {
      closeOwn = await serve(key, socketPath);
      if (closed) closeOwn();
    } else if (held.includes(key.getPublicSSH())) {
      closeOwn = whenEnded(socketPath, () => void begin().catch(() => {}));
      if (closed) closeOwn();
    } else {
      const fault = { path: [socketPath], found: "an agent with another key", expected: "none, or one with our key" };
      throw new UserError(faultText({ ...fault, remedy: "Stop the program that serves it." }));
    }
  }
  await begin();
  return {
    socketPath,
    close() {
      closed = true;
      closeOwn();
    },
  };
}

/** Returns what ends it. */
async function serve(key: ParsedKey, socketPath: string): Promise<() => void> {
  const server = createServer((socket) => answer(socket, key));
  await listen(server, socketPath);
  server.unref();
  const { ino } = await stat(socketPath);
  return () => {
    server.close();
    try {
      if (statSync(socketPath).ino !== ino) return;
      rmSync(socketPath);
      rmdirSync(dirname(socketPath));
    } catch {
      // Gone already, or something else lies in the directory.
    }
  };
}

/** Calls back when the process that answers at the socket is gone; returns what ends the watching. */
function whenEnded(socketPath: string, ended: () => void): () => void {
  const watching = connect(socketPath);
  watching.unref();
  watching.on("error", () => {});
  watching.on("close", ended);
  return () => {
    watching.off("close", ended);
    watching.destroy();
  };
}

/** Stops unless an agent of ours can serve the key. */
export async function requireServableKey(privateKeyFile: string): Promise<void> {
  await readKey(privateKeyFile);
}

async function readKey(file: string): Promise<ParsedKey> {
  const path = expandHome(file);
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => error);
  const parsed = text instanceof Error ? text : ssh2.utils.parseKey(text);
  if (!(parsed instanceof Error) && parsed.isPrivateKey()) return parsed;
  const found = parsed instanceof Error ? parsed.message : "a public key";
  const remedy = "Correct privateKeyFile, or use an agent of your own (SSH_AUTH_SOCK).";
  throw new UserError(faultText({ path: [path], found, expected: "a private key without passphrase", remedy }));
}

/** Binds in a private directory and moves the socket to its place, so that nobody else can connect at any moment. */
async function listen(server: Server, socketPath: string): Promise<void> {
  await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
  const privateDirectory = await mkdtemp(join(dirname(socketPath), ".agent-"));
  const bound = join(privateDirectory, "s");
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(bound, resolve);
    });
    await chmod(bound, 0o600);
    await rename(bound, socketPath);
  } finally {
    await rm(privateDirectory, { recursive: true, force: true });
  }
}

/** Answers the requests of one client, in their order; what it does not know gets a failure, as the protocol wants. */
function answer(socket: Socket, key: ParsedKey): void {
  let received = Buffer.alloc(0);
  socket.unref();
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4) {
      const length = received.readUInt32BE(0);
      if (length === 0 || length > longestMessageBytes) {
        socket.destroy();
        return;
      }
      if (received.length < 4 + length) return;
      socket.write(field(reply(received.subarray(4, 4 + length), key)));
      received = received.subarray(4 + length);
    }
  });
}

function reply(request: Buffer, key: ParsedKey): Buffer {
  const refusal = Buffer.from([failure]);
  if (request[0] === requestIdentities) {
    const one = Buffer.alloc(5);
    one[0] = identitiesAnswer;
    one.writeUInt32BE(1, 1);
    return Buffer.concat([one, field(key.getPublicSSH()), field(Buffer.from("pgha"))]);
  }
  if (request[0] !== signRequest) return refusal;
  const blob = takeField(request, 1);
  const data = blob && takeField(request, blob.end);
  if (blob === undefined || data === undefined || data.end + 4 > request.length) return refusal;
  if (!blob.value.equals(key.getPublicSSH())) return refusal;
  const signature = signData(key, data.value, request.readUInt32BE(data.end));
  return signature === undefined ? refusal : Buffer.concat([Buffer.from([signResponse]), field(signature)]);
}

/** The signature with its algorithm in front; undefined when the key cannot. */
function signData(key: ParsedKey, data: Buffer, flags: number): Buffer | undefined {
  const pem = key.getPrivatePEM();
  switch (key.type) {
    case "ssh-ed25519":
      return named("ssh-ed25519", sign(null, data, pem));
    case "ssh-rsa":
      if ((flags & signWithSha512) !== 0) return named("rsa-sha2-512", sign("sha512", data, pem));
      if ((flags & signWithSha256) !== 0) return named("rsa-sha2-256", sign("sha256", data, pem));
      return undefined;
    case "ecdsa-sha2-nistp256":
    case "ecdsa-sha2-nistp384":
    case "ecdsa-sha2-nistp521": {
      const hash = { p256: "sha256", p384: "sha384", p521: "sha512" }[key.type.slice(-4)] ?? "sha512";
      const both = sign(hash, data, { key: pem, dsaEncoding: "ieee-p1363" });
      const half = both.length / 2;
      return named(key.type, Buffer.concat([integer(both.subarray(0, half)), integer(both.subarray(half))]));
    }
    default:
      return undefined;
  }
}

function named(algorithm: string, signature: Buffer): Buffer {
  return Buffer.concat([field(Buffer.from(algorithm)), field(signature)]);
}

/** A positive number as the protocol writes it: no leading zeros, but one before a set highest bit. */
function integer(digits: Buffer): Buffer {
  let from = 0;
  while (from < digits.length - 1 && digits[from] === 0) from += 1;
  const trimmed = digits.subarray(from);
  return field((trimmed[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), trimmed]) : trimmed);
}

function field(value: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([length, value]);
}

function takeField(buffer: Buffer, at: number): { readonly value: Buffer; readonly end: number } | undefined {
  if (at + 4 > buffer.length) return undefined;
  const end = at + 4 + buffer.readUInt32BE(at);
  return end > buffer.length ? undefined : { value: buffer.subarray(at + 4, end), end };
}

/** The answer of a live agent at that socket, to look for a key in it; undefined when none answers. */
function identitiesAt(socketPath: string): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let received = Buffer.alloc(0);
    const finish = (answered: Buffer | undefined) => {
      clearTimeout(limit);
      socket.destroy();
      resolve(answered);
    };
    const limit = setTimeout(() => finish(undefined), 1000);
    socket.on("connect", () => socket.write(field(Buffer.from([requestIdentities]))));
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      const whole = received.length >= 5 && received.length >= 4 + received.readUInt32BE(0);
      if (whole) finish(received[4] === identitiesAnswer ? received : undefined);
    });
    socket.on("error", () => finish(undefined));
    socket.on("close", () => finish(undefined));
  });
}
