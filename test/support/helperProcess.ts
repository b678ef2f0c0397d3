import type { ChildProcess } from "node:child_process";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** How long a condition may take on a machine with much else to do. */
export const limitMilliseconds = 20_000;
/** For `expect.poll`. */
export const soon = { timeout: limitMilliseconds, interval: 5 };

type Values = Readonly<Record<string, unknown>>;

/** With a process of the host helper: it says lines of JSON, and hears lines. */
export interface Conversation {
  /** The next line; undefined at the end. */
  hear(): Promise<Values | undefined>;
  /** All lines to the end. */
  rest(): Promise<Values[]>;
  say(line: string | Values): void;
  /** Ends the input. */
  leave(): void;
}

export interface HelperProcess extends Conversation {
  readonly pid: number;
  readonly exit: Promise<{ readonly code: number | null; readonly stderr: string }>;
  /** What it said on its standard error so far. */
  stderr(): string;
  kill(): void;
}

export function processOf(child: ChildProcess & { stdout: Readable; stderr: Readable }): HelperProcess {
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin?.on("error", () => undefined);
  const exit = new Promise<{ code: number | null; stderr: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stderr }));
  });
  const leave = () => child.stdin?.end();
  const conversation = converse(child.stdout, (text) => child.stdin?.write(text), leave);
  return { ...conversation, pid: child.pid ?? 0, exit, stderr: () => stderr, kill: () => void child.kill("SIGKILL") };
}

export function socketConversation(socket: Socket): Conversation {
  return converse(
    socket,
    (text) => socket.write(text),
    () => socket.end(),
  );
}

function converse(source: Readable, write: (text: string) => void, leave: () => void): Conversation {
  const lines = createInterface({ input: source })[Symbol.asyncIterator]();
  let last = "nothing";
  const hear = async () => {
    const { value, done } = await within(lines.next(), () => `its next line; the last one was ${last}`);
    if (done === true) return undefined;
    last = value;
    return JSON.parse(value) as Values;
  };
  return {
    hear,
    leave,
    say: (line) => write(`${typeof line === "string" ? line : JSON.stringify(line)}\n`),
    async rest() {
      const all: Values[] = [];
      for (;;) {
        const line = await hear();
        if (line === undefined) return all;
        all.push(line);
      }
    },
  };
}

/** Fails, naming what was awaited, where the test's own limit would only say that it ran out. */
async function within<T>(promise: Promise<T>, awaited: () => string): Promise<T> {
  let limit: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    limit = setTimeout(() => reject(new Error(`waited too long for ${awaited()}`)), limitMilliseconds);
  });
  try {
    return await Promise.race([promise, tooLong]);
  } finally {
    clearTimeout(limit);
  }
}

/** Tries again until something listens there. */
export async function connected(path: string): Promise<Socket> {
  const deadline = performance.now() + limitMilliseconds;
  for (;;) {
    const socket = connect(path);
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once("connect", () => resolve(undefined));
      socket.once("error", resolve);
    });
    if (error === undefined) {
      socket.on("error", () => undefined);
      return socket;
    }
    if (performance.now() > deadline) throw error;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
