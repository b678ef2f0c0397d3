import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { run } from "../lab/shell.ts";

/** What the figures were measured on; without it they mean nothing. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  readonly distribution: string;
  readonly node: string;
  /** Load average of the last minute, when the measuring began. */
  readonly load: number;
  /** The commit that was measured; undefined outside a git checkout. "+" when files had been changed since. */
  readonly commit?: string;
}

export async function describeMachine(): Promise<Machine> {
  const distribution = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown";
  const commit = await describeCommit();
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    memoryGigabytes: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    distribution,
    node: process.version,
    load: currentLoad(),
    ...(commit === undefined ? {} : { commit }),
  };
}

export function currentLoad(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

async function describeCommit(): Promise<string | undefined> {
  try {
    const head = await run(["git", "rev-parse", "--short", "HEAD"]);
    const status = await run(["git", "status", "--porcelain", "--untracked-files=no"]);
    if (head.exitCode !== 0) return undefined;
    return `${head.stdout.trim()}${status.stdout.trim() === "" ? "" : "+"}`;
  } catch {
    return undefined;
  }
}
