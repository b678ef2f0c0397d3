import { constants } from "node:os";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as delay } from "node:timers/promises";
import type { ClientChannel } from "ssh2";
import { faultText } from "../model/fault.ts";
import type { RemoteCommand } from "./command.ts";
import { announcement, commandText, killDelaySeconds, killText } from "./commandText.ts";
import { type Connection, type Link, messageOf } from "./connection.ts";
import { type Deadline, startDeadline } from "./deadline.ts";
import { deferred } from "./deferred.ts";
import { Cancelled, OutputTooLong, type RemoteError, RemoteTimeout, SudoRefused, Unreachable } from "./errors.ts";

/** What a command may write to standard output and to standard error. */
export const outputLimitBytes = 16 * 1024 * 1024;

/** `timeout` on the host acts first; this much later we stop waiting for it. */
const graceSeconds = killDelaySeconds + 3;

/** A command that runs on the host. */
export interface Execution {
  readonly channel: ClientChannel;
  /** Settles when its shell announced itself, so that it certainly runs; rejects when it failed before that. */
  readonly started: Promise<void>;
  /** Settles when it ended; rejects when it cannot be known, was cancelled, or was killed at a limit. */
  readonly ended: Promise<{ readonly exitCode: number; readonly stderr: string }>;
  /** Kills the process group. */
  kill(): void;
  /** Kills it, and lets `ended` reject with the error when it is gone. */
  abandon(error: RemoteError): void;
}

/** Starts a command; `onStdout` gets what it writes. Its limit counts from here, waiting for a session included. */
export async function execute(
  hostName: string,
  connection: Connection,
  command: RemoteCommand,
  onStdout: (chunk: Buffer) => void,
): Promise<Execution> {
  const { started, release } = await openChannel(hostName, connection, command);
  const execution = follow(hostName, started, command, onStdout);
  execution.ended.then(release, release);
  return execution;
}

/** A command that sshd has started. */
interface Started {
  readonly link: Link;
  readonly opened: Opened & { readonly kind: "running" };
  readonly deadline: Deadline;
  /** How long the command may run on the host: what waiting has left of its limit. */
  readonly hostLimitSeconds: number;
  /** When its start was asked for, by performance.now(). */
  readonly askedAt: number;
}

/** A session in which the command was started. Nothing was sent when the link turned out broken: only then another is opened. */
async function openChannel(hostName: string, connection: Connection, command: RemoteCommand) {
  const deadline = startDeadline(command.limitSeconds);
  const could = `${hostName}: could not ${command.purpose}:`;
  const late = (found: string, more: string) => () =>
    new RemoteTimeout(hostName, `${could} found ${found} within ${command.limitSeconds} s, ${more}`);
  const cancel = {
    signal: command.signal,
    error: () => new Cancelled(hostName, `${could} cancelled before it began.`),
  };
  for (;;) {
    const link = await deadline.wait({
      begin: () => connection.open(),
      late: late("no SSH connection", "expected one. Check the host and the network."),
      cancel,
    });
    const release = await deadline.wait({
      begin: (stop) => link.sessions.take(stop),
      late: () =>
        late(`no free SSH session (${link.sessions.taken()} in use)`, "expected one. See what hangs on the host.")(),
      discard: (giveBack) => giveBack(),
      cancel,
    });
    if (link.broken() !== undefined) {
      release();
      continue;
    }
    const hostLimitSeconds = Math.ceil(deadline.remainingSeconds() * 10) / 10;
    const askedAt = performance.now();
    const noAnswer = late("no answer of sshd", "expected that it starts the command. Whether it did is not known.");
    const opened = await deadline.wait({
      begin: () => exec(link, commandText({ ...command, limitSeconds: hostLimitSeconds }, link.user)),
      late: noAnswer,
      discard(opened) {
        if (opened.kind !== "running") return release();
        const execution = follow(hostName, { link, opened, deadline, hostLimitSeconds, askedAt }, command, () => {});
        execution.abandon(noAnswer());
        execution.ended.then(release, release);
      },
    });
    if (opened.kind === "running") {
      return { started: { link, opened, deadline, hostLimitSeconds, askedAt }, release };
    }
    if (opened.kind === "full" && link.sessions.taken() > 1) link.sessions.shrink();
    release();
    if (opened.kind === "failed" || link.sessions.taken() === 0)
      throw notStarted(hostName, link, command, opened.reason);
  }
}

interface Exit {
  code?: number;
}

type Opened =
  | { readonly kind: "running"; readonly channel: ClientChannel; readonly exit: Exit }
  | { readonly kind: "full"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

function exec(link: Link, text: string): Promise<Opened> {
  return new Promise((resolve) => {
    try {
      link.client.exec(text, (error: (Error & { reason?: number | string }) | undefined, channel) => {
        if (error === undefined) resolve({ kind: "running", channel, exit: watchExit(channel) });
        // Only a refused channel has a reason: MaxSessions of that sshd is smaller than the default.
        else if (error.reason !== undefined) resolve({ kind: "full", reason: error.message });
        else resolve({ kind: "failed", reason: error.message });
      });
    } catch (error) {
      resolve({ kind: "failed", reason: messageOf(error) });
    }
  });
}

/** Listens within the callback itself: a short command's exit can stand in the same packet as the answer to its start. */
function watchExit(channel: ClientChannel): Exit {
  const exit: Exit = {};
  channel.on("exit", (code: number | null, signal?: string) => {
    exit.code = code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
  });
  return exit;
}

function notStarted(hostName: string, link: Link, command: RemoteCommand, reason: string): Unreachable {
  const cause = link.broken()?.message ?? `sshd accepted no command (${reason}); check MaxSessions and ForceCommand.`;
  return new Unreachable(hostName, `${hostName}: could not ${command.purpose}: ${cause}`);
}

function follow(
  hostName: string,
  { link, opened, deadline, hostLimitSeconds, askedAt }: Started,
  command: RemoteCommand,
  onStdout: (chunk: Buffer) => void,
): Execution {
  const { channel, exit } = opened;
  const could = `${hostName}: could not ${command.purpose}:`;
  const started = deferred<void>();
  const ended = deferred<{ exitCode: number; stderr: string }>();
  const stderr = collectStderr(command.onStderrLine, () => {
    started.resolve();
    if (doomed) kill();
  });
  let doomed = false;
  let abandoned: RemoteError | undefined;
  let stdoutBytes = 0;
  let openStreams = 2;
  let patience: NodeJS.Timeout | undefined;

  function settle(): void {
    clearTimeout(limit);
    clearTimeout(patience);
    command.signal?.removeEventListener("abort", cancel);
    const reachedLimit = performance.now() - askedAt >= hostLimitSeconds * 1000;
    const waitedSeconds = command.limitSeconds - hostLimitSeconds;
    const outcome = {
      could,
      command,
      hostName,
      exitCode: exit.code,
      abandoned,
      reachedLimit,
      waitedSeconds,
      link,
      stderr,
    };
    const error = judge(outcome);
    if (error === undefined) ended.resolve({ exitCode: exit.code ?? -1, stderr: stderr.text() });
    else ended.reject(error);
    if (error === undefined) started.resolve();
    else started.reject(error);
  }

  /** Before its announcement came, there is no group to kill yet: then it is done when it comes. */
  function kill(): void {
    doomed = true;
    const group = stderr.group();
    if (group !== undefined) void killGroup(link, group);
    else if (link.broken() === undefined) channel.signal("TERM");
  }

  function abandon(error: RemoteError): void {
    if (abandoned !== undefined) return;
    abandoned = error;
    kill();
    patience = setTimeout(() => {
      channel.close();
      settle();
    }, graceSeconds * 1000);
  }

  function cancel(): void {
    abandon(new Cancelled(hostName, `${could} cancelled; it was killed.`));
  }

  function expire(): void {
    const still =
      exit.code === undefined
        ? `no end of ${command.argv[0]}, though its ${command.limitSeconds} s are over and it should have been killed`
        : `that ${command.argv[0]} ended, but something it started keeps its output open`;
    abandon(new RemoteTimeout(hostName, `${could} found ${still}. Check the host.`));
  }
  const limit = setTimeout(expire, (deadline.remainingSeconds() + graceSeconds) * 1000);

  function tooLong(): void {
    const most = `${outputLimitBytes / 1024 / 1024} MiB`;
    abandon(new OutputTooLong(hostName, `${could} ${command.argv[0]} wrote more than ${most}; it was killed.`));
  }
  function closed(): void {
    openStreams -= 1;
    if (openStreams === 0) settle();
  }

  channel.on("data", (chunk: Buffer) => {
    stdoutBytes += chunk.length;
    if (stdoutBytes > outputLimitBytes) tooLong();
    else onStdout(chunk);
  });
  channel.stderr.on("data", (chunk: Buffer) => {
    if (stderr.push(chunk) > outputLimitBytes) tooLong();
  });
  channel.on("close", closed);
  channel.stderr.on("end", closed);
  command.signal?.addEventListener("abort", cancel, { once: true });
  if (command.signal?.aborted) cancel();
  ended.promise.catch(() => {});
  started.promise.catch(() => {});
  return { channel, started: started.promise, ended: ended.promise, kill, abandon };
}

interface Outcome {
  readonly could: string;
  readonly command: RemoteCommand;
  readonly hostName: string;
  readonly exitCode: number | undefined;
  readonly abandoned: RemoteError | undefined;
  /** It ran for as long as the host let it. */
  readonly reachedLimit: boolean;
  /** How much of its limit was over before it began. */
  readonly waitedSeconds: number;
  readonly link: Link;
  readonly stderr: ReturnType<typeof collectStderr>;
}

/** The error that an ended command stands for; undefined when it ended by itself, with whatever exit code. */
function judge({ could, command, hostName, exitCode, abandoned, reachedLimit, waitedSeconds, link, stderr }: Outcome) {
  if (abandoned !== undefined) return abandoned;
  if (exitCode === undefined) {
    const cause = link.broken()?.message ?? "its session ended without an exit code. Try again.";
    return new Unreachable(hostName, `${could} whether it ran is not known: ${cause}`);
  }
  if (stderr.group() === undefined && link.user !== "root") {
    const path = [hostName, `sudo for ${link.user}`];
    const remedy = `Allow it there: echo '${link.user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgha`;
    const found = stderr.text().trim() || `exit code ${exitCode}`;
    const text = faultText({ path, found, expected: "root without a password", remedy });
    return new SudoRefused(hostName, text, link.userField);
  }
  if ((exitCode === 124 || exitCode === 137) && reachedLimit) {
    const waited = waitedSeconds < 1 ? "" : ` (${waitedSeconds.toFixed(1)} s of them before it began)`;
    const found = `${command.argv[0]} still running after ${command.limitSeconds} s${waited}`;
    return new RemoteTimeout(hostName, `${could} found ${found}, expected its end; it was killed.`);
  }
  return undefined;
}

/** Splits standard error into lines, and keeps the announcement of the process group to itself. */
function collectStderr(onLine: ((line: string) => void) | undefined, onAnnounced: () => void) {
  const decoder = new StringDecoder("utf8");
  const lines: string[] = [];
  let rest = "";
  let bytes = 0;
  let group: number | undefined;

  function take(line: string): void {
    const announced = group === undefined ? announcement.exec(line) : null;
    if (announced !== null) {
      group = Number(announced[1]);
      onAnnounced();
    } else {
      lines.push(line);
      onLine?.(line);
    }
  }
  return {
    /** Returns how much has been written so far. */
    push(chunk: Buffer): number {
      bytes += chunk.length;
      if (bytes > outputLimitBytes) return bytes;
      const pieces = (rest + decoder.write(chunk)).split("\n");
      rest = pieces.pop() ?? "";
      for (const line of pieces) take(line);
      return bytes;
    },
    text: () => lines.map((line) => `${line}\n`).join("") + rest,
    group: () => group,
  };
}

/** Kills outside the queue of sessions, because what is in the queue may wait for exactly this. */
async function killGroup(link: Link, group: number): Promise<void> {
  const deadline = performance.now() + graceSeconds * 1000;
  while (performance.now() < deadline && link.broken() === undefined) {
    const opened = await exec(link, killText(group, link.user));
    if (opened.kind === "running") {
      opened.channel.resume();
      opened.channel.stderr.resume();
      return;
    }
    await delay(50);
  }
}
