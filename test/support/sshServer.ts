import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2, { type Connection, type ParsedKey, type ServerChannel } from "ssh2";
import type { SshTarget } from "../../model/sshTarget.ts";

/** A key pair as files and as text. */
export interface KeyPair {
  readonly privateKeyFile: string;
  readonly privateKey: string;
  /** "ssh-ed25519 AAAA…" */
  readonly publicKey: string;
}

export function makeKeyPair(directory: string, name: string, passphrase?: string): KeyPair {
  const make = () =>
    passphrase === undefined
      ? ssh2.utils.generateKeyPairSync("ed25519")
      : ssh2.utils.generateKeyPairSync("ed25519", { passphrase, cipher: "aes256-ctr", rounds: 1 });
  let pair = make();
  // One in 256 keys that ssh2 makes is malformed.
  while (ssh2.utils.parseKey(pair.private, passphrase) instanceof Error) pair = make();
  const privateKeyFile = join(directory, name);
  writeFileSync(privateKeyFile, pair.private, { mode: 0o600 });
  return { privateKeyFile, privateKey: pair.private, publicKey: pair.public.trim() };
}

export interface SshServerOptions {
  /** More host keys besides the ed25519 one: private keys. */
  readonly otherHostKeys?: readonly string[];
  /** As sshd's MaxSessions. Default 10. */
  readonly maxSessions?: number;
  /** The public key that may log in. Default: one made for this server, whose private half is in `target`. */
  readonly userKey?: string;
  /** Whether the client's key is accepted. Default true. */
  readonly acceptsLogin?: boolean;
  /** Whether Unix sockets can be reached. Default true. */
  readonly forwardsSockets?: boolean;
  /** A command starts, and its start is answered, when this has settled. Default: at once. */
  readonly beforeStart?: (command: string) => Promise<void>;
  /** A Unix socket is reached when this has settled. Default: at once. */
  readonly beforeForward?: () => Promise<void>;
  /** Runs nothing: every command ends with this exit code, told in the same packet as its start. */
  readonly exitsAtOnce?: number;
  /** Put in front of PATH: programs to find instead of the machine's. */
  readonly programs?: string;
}

/** An SSH server in this process, on a port of loopback; commands run in a local `sh`. */
export interface SshServer {
  readonly target: SshTarget;
  readonly directory: string;
  readonly hostKey: KeyPair;
  readonly userKey: KeyPair;
  /** The logins so far. */
  logins(): number;
  /** The texts handed to the shell so far. */
  readonly commands: readonly string[];
  /** How many sessions were refused so far because of `maxSessions`. */
  refusedSessions(): number;
  /** How many are open now. */
  sessions(): number;
  /** The most sessions that were open at the same time. */
  mostSessions(): number;
  /** Cuts every connection, as a network failure does. */
  cut(): void;
  close(): Promise<void>;
}

export async function startSshServer(options: SshServerOptions = {}): Promise<SshServer> {
  const directory = mkdtempSync(join(tmpdir(), "pgha-ssh-"));
  const hostKey = makeKeyPair(directory, "host");
  const userKey = makeKeyPair(directory, "user");
  const connections = new Set<Connection>();
  const children = new Set<ChildProcess>();
  const commands: string[] = [];
  const count = { logins: 0, sessions: 0, mostSessions: 0, refusedSessions: 0 };

  const server = new ssh2.Server({ hostKeys: [hostKey.privateKey, ...(options.otherHostKeys ?? [])] }, (connection) => {
    const socket = socketOf(connection);
    socket.setNoDelay(true);
    connections.add(connection);
    connection.on("error", () => {});
    connection.on("close", () => connections.delete(connection));
    connection.on("authentication", (attempt) => {
      const known = ssh2.utils.parseKey(options.userKey ?? userKey.publicKey) as ParsedKey;
      if (attempt.method !== "publickey" || options.acceptsLogin === false) return attempt.reject(["publickey"]);
      if (!attempt.key.data.equals(known.getPublicSSH())) return attempt.reject(["publickey"]);
      if (attempt.signature !== undefined) {
        if (!known.verify(attempt.blob ?? "", attempt.signature, attempt.hashAlgo))
          return attempt.reject(["publickey"]);
        count.logins += 1;
      }
      return attempt.accept();
    });
    connection.on("session", (accept, refuse) => {
      if (count.sessions >= (options.maxSessions ?? 10)) {
        count.refusedSessions += 1;
        return refuse();
      }
      count.sessions += 1;
      count.mostSessions = Math.max(count.mostSessions, count.sessions);
      const session = accept();
      session.on("close", () => {
        count.sessions -= 1;
      });
      session.on("exec", async (acceptExec, _refuse, info) => {
        commands.push(info.command);
        await options.beforeStart?.(info.command);
        if (options.exitsAtOnce !== undefined) {
          socket.cork();
          const channel = acceptExec();
          channel.exit(options.exitsAtOnce);
          channel.end();
          socket.uncork();
          return;
        }
        children.add(runLocally(acceptExec(), info.command, options.programs));
      });
    });
    connection.on("tcpip", (accept, refuse, info) => {
      const socket = connect(info.destPort, info.destIP);
      socket.on("connect", () => {
        const channel = accept();
        channel.pipe(socket).pipe(channel);
      });
      socket.on("error", () => refuse());
    });
    connection.on("openssh.streamlocal", async (accept, refuse, info) => {
      await options.beforeForward?.();
      if (options.forwardsSockets === false) return refuse();
      const socket = connect(info.socketPath);
      socket.on("error", () => refuse());
      socket.on("connect", () => {
        const channel = accept();
        channel.on("data", (chunk: Buffer) => socket.write(chunk));
        channel.on("end", () => socket.end());
        socket.on("data", (chunk) => channel.write(chunk));
        // As sshd does: the end of the server's side closes only one direction.
        socket.on("end", () => channel.eof());
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    target: {
      name: "pg1",
      address: "127.0.0.1",
      port,
      user: "root",
      hostKey: hostKey.publicKey,
      privateKeyFile: userKey.privateKeyFile,
    },
    directory,
    hostKey,
    userKey,
    logins: () => count.logins,
    commands,
    sessions: () => count.sessions,
    mostSessions: () => count.mostSessions,
    refusedSessions: () => count.refusedSessions,
    cut() {
      for (const connection of connections) socketOf(connection).destroy();
    },
    close() {
      for (const child of children) child.kill("SIGKILL");
      for (const connection of connections) connection.end();
      rmSync(directory, { recursive: true, force: true });
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** ssh2 has no public way to the TCP connection. */
function socketOf(connection: Connection): Socket {
  return (connection as Connection & { readonly _sock: Socket })._sock;
}

function runLocally(channel: ServerChannel, command: string, programs: string | undefined): ChildProcess {
  const path = programs === undefined ? process.env.PATH : `${programs}:${process.env.PATH}`;
  const child = spawn("sh", ["-c", command], { env: { ...process.env, PATH: path } });
  child.stdin.on("error", () => {});
  channel.pipe(child.stdin);
  child.stdout.on("data", (chunk) => channel.write(chunk));
  child.stderr.on("data", (chunk) => channel.stderr.write(chunk));
  child.on("close", (code, signal) => {
    if (signal === null) channel.exit(code ?? 0);
    else channel.exit(signal, false, "");
    channel.end();
  });
  return child;
}
