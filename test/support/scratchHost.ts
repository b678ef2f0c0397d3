import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { RemoteHost } from "../../remote/host.ts";
import { createLocalHost } from "./localAgentHost.ts";

/** The interpreter itself: a version manager's wrapper in front of it takes longer than the helper. */
export const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

export const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** A directory of this machine that plays a host for the helper, new for every test. */
export interface ScratchHost {
  /** A path in it; without names the directory itself. */
  at(...names: string[]): string;
  readonly host: RemoteHost;
  /** What the helper finds under this name, before any program of this machine. */
  program(name: string, script: string): void;
  /** What the file `unit` says, for a `systemctl show` that prints it. */
  unitIs(activeState: string): void;
}

/** `directories`: made before every test. */
export function scratchHost(directories: readonly string[]): ScratchHost {
  let directory: string;
  let host: RemoteHost;
  const at = (...names: string[]) => join(directory, ...names);
  const program = (name: string, script: string) => {
    writeFileSync(at("bin", name), `#!/bin/sh\n${script}\n`);
    chmodSync(at("bin", name), 0o755);
  };
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "pgha-agent-"));
    for (const name of ["bin", ...directories]) mkdirSync(at(name), { recursive: true });
    program("python3", `exec ${python} "$@"`);
    host = createLocalHost(at("bin"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  return {
    at,
    program,
    get host() {
      return host;
    },
    unitIs: (activeState) => writeFileSync(at("unit"), unitText(activeState)),
  };
}

export function unitText(activeState: string): string {
  return `LoadState=loaded\nActiveState=${activeState}\nUnitFileState=enabled\n`;
}

/** Seconds on the clock that locks are renewed by. */
export const bootSeconds = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);

export interface Lock {
  readonly epoch: number;
  readonly holder: string;
  readonly renewedSecondsAgo: number;
  readonly boot: string;
}

/** The lock's file: held by anna with epoch 5 and renewed just now, but for what is given. */
export function lockText(overrides: Partial<Lock> = {}): string {
  const { epoch, holder, renewedSecondsAgo, boot } = {
    ...{ epoch: 5, holder: "anna@desk", renewedSecondsAgo: 0, boot: bootId },
    ...overrides,
  };
  return JSON.stringify({ epoch, holder, since: "then", renewed: bootSeconds() - renewedSecondsAgo, boot });
}
