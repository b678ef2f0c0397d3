import type { Duplex } from "node:stream";
import type { CommandResult, RemoteCommand } from "../remote/command.ts";
import type { RemoteHost, RemoteHosts, RemoteProcess } from "../remote/host.ts";
import type { EngineLog } from "./engineLog.ts";
import type { Context, Notice } from "./resource.ts";

/** At most one progress line per resource in this time: a terminal without a cursor prints each on a line of its own. */
const progressIntervalMilliseconds = 1000;

/** What one operation says. `flush` before answering the engine: afterwards it may be gone. */
export interface Speaker {
  progress(text: string): void;
  notice(notice: Notice): void;
  flush(): Promise<void>;
}

export function createSpeaker(log: EngineLog | undefined, urn: string): Speaker {
  /** One after the other: what comes first is what to read first. */
  let sent: Promise<void> = Promise.resolve();
  let shown: string | undefined;
  let waiting: string | undefined;
  let timer: NodeJS.Timeout | undefined;

  function send(severity: "info" | "warn", text: string, ephemeral: boolean): void {
    if (log === undefined) return;
    sent = sent.then(() => log.send({ severity, text, urn, ephemeral }));
  }

  function showWaiting(): void {
    timer = undefined;
    if (waiting === undefined || waiting === shown) return;
    shown = waiting;
    waiting = undefined;
    send("info", shown, true);
    timer = setTimeout(showWaiting, progressIntervalMilliseconds);
  }

  return {
    progress(text) {
      waiting = text;
      if (timer === undefined) showWaiting();
    },
    notice({ level, text }) {
      send(level, text, false);
    },
    async flush() {
      clearTimeout(timer);
      timer = undefined;
      waiting = undefined;
      await sent;
    },
  };
}

export function createContext(speaker: Speaker, hosts: RemoteHosts, cancelled: AbortSignal): Context {
  return {
    hosts,
    progress: (text) => speaker.progress(text),
    info: (text) => speaker.notice({ level: "info", text }),
    warn: (text) => speaker.notice({ level: "warn", text }),
    cancelled,
  };
}

/** What runs in this process now, and how to stop it. */
export interface Operations {
  /** Runs `work` with a signal that `cancelAll` aborts. */
  run<T>(work: (cancelled: AbortSignal) => Promise<T>): Promise<T>;
  /** Asks everything that runs to go to its safe point. Does nothing when nothing runs: the engine also cancels at every normal end. */
  cancelAll(reason: string): void;
  isIdle(): boolean;
  /** Settles when nothing runs. */
  idle(): Promise<void>;
}

export function trackOperations(): Operations {
  const running = new Set<AbortController>();
  let waiters: (() => void)[] = [];
  return {
    async run(work) {
      const controller = new AbortController();
      running.add(controller);
      try {
        return await work(controller.signal);
      } finally {
        running.delete(controller);
        if (running.size === 0) {
          const settled = waiters;
          waiters = [];
          for (const settle of settled) settle();
        }
      }
    },
    cancelAll(reason) {
      for (const controller of running) controller.abort(new Error(reason));
    },
    isIdle: () => running.size === 0,
    idle: () => (running.size === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}

/**
 * Hosts whose modules are loaded, and whose connections are opened, at the first command. So a wrong name or wrong settings show
 * themselves at the first command too, not at `host`.
 */
export function deferHosts(open: () => Promise<RemoteHosts>): RemoteHosts {
  let opened: Promise<RemoteHosts> | undefined;
  function get(): Promise<RemoteHosts> {
    opened ??= open();
    return opened;
  }
  return {
    names: async () => (await get()).names(),
    host(name): RemoteHost {
      const real = async (): Promise<RemoteHost> => (await get()).host(name);
      return {
        name,
        run: async (command: RemoteCommand): Promise<CommandResult> => (await real()).run(command),
        must: async (command: RemoteCommand): Promise<string> => (await real()).must(command),
        start: async (command: RemoteCommand): Promise<RemoteProcess> => (await real()).start(command),
        socket: async (path: string, limitSeconds: number): Promise<Duplex> =>
          (await real()).socket(path, limitSeconds),
      };
    },
    close() {
      opened?.then((hosts) => hosts.close()).catch(() => undefined);
    },
  };
}
