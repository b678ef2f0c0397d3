import type { Duplex } from "node:stream";
import { Client } from "ssh2";
import { faultText } from "../model/fault.ts";
import { type SshTarget, connectLimitSeconds as usualLimitSeconds } from "../model/sshTarget.ts";
import { HostKeyRefused, type RemoteError, Unreachable } from "./errors.ts";
import { hostKeyAlgorithms, hostKeyMismatch, parseHostKey } from "./hostKey.ts";
import { findLogin, type Login, loginRefused } from "./login.ts";
import { createSlots, type Slots } from "./slots.ts";

/** One that is silent for 15 s is taken for dead. */
const keepaliveSeconds = 5;
const keepaliveCount = 3;

/** sshd's MaxSessions is 10 by default; two are left for killing what must be killed. Forwarded sockets do not count. */
const sessionLimit = 8;

type OneHop = Omit<SshTarget, "jump">;

/** An SSH connection that was opened and may be broken by now. */
export interface Link {
  readonly client: Client;
  readonly user: string;
  /** The field of the stack file that names the user. */
  readonly userField: string | undefined;
  readonly sessions: Slots;
  /** Why it is broken; undefined while it is whole. */
  broken(): Unreachable | undefined;
  /** Called when it breaks; returns the function that takes the listener away. */
  onBroken(listener: (reason: Unreachable) => void): () => void;
}

/** The one connection to a host. */
export interface Connection {
  /** The link: opened at the first call, shared by all, opened anew after it broke. */
  open(): Promise<Link>;
  /** Closes it for good. */
  close(): void;
}

export interface ConnectionOptions {
  /** The connection that leads to the target. Default: none, it is reached directly. */
  readonly jump?: Connection | undefined;
  /** For TCP, host key and login together. Default `connectLimitSeconds` of model/sshTarget.ts. */
  readonly limitSeconds?: number | undefined;
}

export function createConnection(target: OneHop, options: ConnectionOptions = {}): Connection {
  let opening: Promise<Link> | undefined;
  let closed = false;

  function open(): Promise<Link> {
    if (closed)
      return Promise.reject(unreachable(target, "a closed connection", "an open one", "This is a bug of ours."));
    if (opening === undefined) {
      const attempt = openLink(target, options);
      opening = attempt;
      const forget = () => {
        if (opening === attempt) opening = undefined;
      };
      attempt.then((link) => link.onBroken(forget), forget);
    }
    return opening;
  }

  function close(): void {
    closed = true;
    opening?.then((link) => endClient(link.client)).catch(() => {});
  }

  return { open, close };
}

/** Says goodbye, and does not wait long for the answer. */
function endClient(client: Client): void {
  client.end();
  setTimeout(() => client.destroy(), 500).unref();
}

async function openLink(target: OneHop, { jump, limitSeconds = usualLimitSeconds }: ConnectionOptions): Promise<Link> {
  const limit: Limit = { seconds: limitSeconds, deadline: performance.now() + limitSeconds * 1000 };
  const login = await findLogin(target);
  if (jump === undefined) return connect(target, login, undefined, limit);
  const link = await jump.open();
  return connect(target, login, await forward(target, link, limit), limit);
}

/** For one attempt: how long it may take in all, and until when. */
interface Limit {
  readonly seconds: number;
  readonly deadline: number;
}

function remainingMilliseconds(limit: Limit): number {
  return Math.max(1, limit.deadline - performance.now());
}

function forward(target: OneHop, jump: Link, limit: Limit): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => refuse(`no answer within ${limit.seconds} s`), remainingMilliseconds(limit));
    let late = false;
    function refuse(found: string): void {
      late = true;
      clearTimeout(timer);
      const through = "Check that the jump host reaches that address, and that its sshd has AllowTcpForwarding yes.";
      reject(unreachable(target, `${found} through the jump host`, "a TCP connection", through));
    }
    try {
      jump.client.forwardOut("127.0.0.1", 0, target.address, target.port, (error, stream) => {
        if (late) return stream?.destroy();
        clearTimeout(timer);
        if (error) refuse(error.message);
        else resolve(stream);
      });
    } catch (error) {
      refuse(messageOf(error));
    }
  });
}

/** How far the attempt came: what an error can say about a host that stays silent. */
type Stage = "tcp" | "handshake" | "login";

function connect(target: OneHop, login: Login, through: Duplex | undefined, limit: Limit): Promise<Link> {
  const declared = parseHostKey(target.hostKey);
  if ("problem" in declared) {
    const path = [target.name, "hostKey"];
    const remedy = `Take it from the host itself: /etc/ssh/ssh_host_ed25519_key.pub.`;
    const text = faultText({ path, found: declared.problem, expected: '"ssh-ed25519 AAAA…"', remedy });
    return Promise.reject(new HostKeyRefused(target.name, text, target.fields?.hostKey));
  }
  return new Promise((resolve, reject) => {
    const client = new Client();
    let stage: Stage = through === undefined ? "tcp" : "handshake";
    let offered: Buffer | undefined;
    let agentTrouble: string | undefined;
    const timer = setTimeout(() => fail(silent(target, stage, limit.seconds)), remainingMilliseconds(limit));

    function fail(error: RemoteError): void {
      clearTimeout(timer);
      reject(error);
      client.destroy();
    }
    client.on("connect", () => {
      stage = "handshake";
      client.setNoDelay(true);
    });
    client.on("handshake", () => {
      stage = "login";
    });
    client.on("error", (error: Error & { level?: string }) => {
      if (offered !== undefined) {
        const text = hostKeyMismatch(target.name, declared.key, offered);
        fail(new HostKeyRefused(target.name, text, target.fields?.hostKey));
      } else if (error.level === "agent") {
        agentTrouble = error.message;
      } else if (error.level === "client-authentication") {
        fail(loginRefused(target, login, agentTrouble));
      } else {
        fail(lost(target, error, stage));
      }
    });
    client.on("close", () => fail(lost(target, new Error("connection closed"), stage)));
    client.on("ready", () => {
      clearTimeout(timer);
      resolve(watch(client, target));
    });
    client.connect({
      host: target.address,
      port: target.port,
      username: target.user,
      ...(through === undefined ? {} : { sock: through }),
      authHandler: [login.method],
      algorithms: { serverHostKey: hostKeyAlgorithms(declared.key.type) },
      hostVerifier: (key: Buffer) => {
        const same = key.equals(declared.key.blob);
        if (!same) offered = key;
        return same;
      },
      readyTimeout: 0,
      keepaliveInterval: keepaliveSeconds * 1000,
      keepaliveCountMax: keepaliveCount,
      // The host says itself whether it can forward Unix sockets; its name does not.
      strictVendor: false,
    });
  });
}

function watch(client: Client, target: OneHop): Link {
  let reason: Unreachable | undefined;
  const listeners = new Set<(reason: Unreachable) => void>();

  function breakDown(what: string): void {
    if (reason !== undefined) return;
    reason = unreachable(
      target,
      `the connection broken (${what})`,
      "that it lasts",
      "Check the host and the network; the next command opens the connection again.",
    );
    for (const listener of [...listeners]) listener(reason);
    client.destroy();
  }
  client.on("error", (error) => breakDown(error.message));
  client.on("end", () => breakDown("closed by the host"));
  client.on("close", () => breakDown("closed"));
  return {
    client,
    user: target.user,
    userField: target.fields?.user,
    sessions: createSlots(sessionLimit),
    broken: () => reason,
    onBroken(listener) {
      if (reason !== undefined) listener(reason);
      else listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function silent(target: OneHop, stage: Stage, limitSeconds: number): Unreachable {
  const seconds = `within ${limitSeconds} s`;
  switch (stage) {
    case "tcp":
      return unreachable(
        target,
        `no answer ${seconds}`,
        "a TCP connection",
        "Check the address, the port, the network and whether the host is up.",
      );
    case "handshake":
      return unreachable(
        target,
        `an open port, but no SSH handshake ${seconds}`,
        "an SSH server",
        "Check that sshd listens on that port and that the host is not stalled.",
      );
    case "login":
      return unreachable(
        target,
        `no end of the login ${seconds}`,
        "that the login is done",
        "Check the host's load and PAM, and whether the agent waits for you.",
      );
  }
}

function lost(target: OneHop, error: Error & { code?: string }, stage: Stage): Unreachable {
  const found = error.code === "ECONNREFUSED" ? "the connection refused" : error.message;
  const remedy =
    stage === "tcp"
      ? "Check the address, the port, the network, and that sshd runs there."
      : "Check that an SSH server listens on that port (journalctl -u ssh, MaxStartups).";
  return unreachable(target, found, "an SSH server", remedy);
}

function unreachable(target: OneHop, found: string, expected: string, remedy: string): Unreachable {
  const path = [`${target.name} (${target.address}:${target.port})`];
  return new Unreachable(target.name, faultText({ path, found, expected, remedy }), target.fields?.address);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
