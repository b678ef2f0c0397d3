import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pc from "picocolors";
import { UserError } from "../../model/fault.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The person wants to stop: what runs is let come to its end, and nothing new begins. */
export class Stopped extends Error {}

let interrupted = false;
let running: ChildProcess | undefined;

/**
 * From now on ^C does not end this process at once: a terminal sends it to Pulumi as well, which goes to a safe point,
 * and we wait for that. A signal that only we get is passed on.
 */
export function waitForChildrenOnSignals(): void {
  process.on("SIGINT", () => {
    interrupted = true;
  });
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      interrupted = true;
      running?.kill("SIGINT");
    });
  }
}

export function stopIfInterrupted(): void {
  if (interrupted) throw new Stopped("interrupted");
}

/**
 * Runs a program in the terminal, shown as it could be typed, and returns its exit code. It reads `inputFile` if there is
 * one: what is secret is not shown, nor in its arguments.
 */
export async function run(program: string, args: readonly string[], inputFile?: string): Promise<number> {
  stopIfInterrupted();
  const input = inputFile === undefined ? "" : ` < ${relative(root, inputFile)}`;
  console.log(pc.dim(`$ ${program} ${args.join(" ")}${input}`));
  const opened = inputFile === undefined ? undefined : await open(inputFile);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      const child = spawn(program, args, { cwd: root, stdio: [opened?.fd ?? "inherit", "inherit", "inherit"] });
      running = child;
      child.on("error", reject);
      child.on("close", (exitCode) => resolve(exitCode ?? 1));
    });
    running = undefined;
    stopIfInterrupted();
    return code;
  } finally {
    await opened?.close();
  }
}

/** Runs Pulumi on the demo's stack; anything but success ends the demo. */
export async function pulumi(verb: string, args: readonly string[], inputFile?: string): Promise<void> {
  const code = await run("pulumi", [verb, ...args], inputFile);
  if (code !== 0) {
    throw new UserError(
      `pulumi ${verb}: found exit code ${code}, expected 0. What it says is above; then run the demo again.`,
    );
  }
}

interface Lock {
  readonly file: string;
  readonly pid: number;
  readonly hostname: string;
}

function stateDirectory(): string {
  const url = process.env.PULUMI_BACKEND_URL ?? "";
  if (url.startsWith("file://")) return join(url.slice("file://".length), ".pulumi");
  throw new UserError(
    `PULUMI_BACKEND_URL: found ${url || "nothing"}, expected the demo's file backend. Run: . .tools/env, or make demo`,
  );
}

async function locksOf(stack: string): Promise<Lock[]> {
  const directory = join(stateDirectory(), "locks", "organization", "pgha", stack);
  const names = await readdir(directory).catch(() => []);
  const locks = await Promise.all(
    names.map(async (name) => {
      const file = join(directory, name);
      const text = await readFile(file, "utf8").catch(() => undefined);
      return text === undefined ? undefined : { file, ...(JSON.parse(text) as { pid: number; hostname: string }) };
    }),
  );
  return locks.filter((lock) => lock !== undefined);
}

/** Is the lock's owner a Pulumi that runs here? The number of a process that is gone may be another one's by now. */
function isAlive(lock: Lock): boolean {
  if (lock.hostname !== hostname()) return false;
  try {
    return readFileSync(`/proc/${lock.pid}/comm`, "utf8").startsWith("pulumi");
  } catch {
    return false;
  }
}

const lockLimitSeconds = 300;

/** An interrupted run may have left its lock: one without a living owner is taken away, a living one is waited for. */
export async function unlockStack(stack: string): Promise<void> {
  const deadline = performance.now() + lockLimitSeconds * 1000;
  for (let told = false; ; told = true) {
    const alive = (await locksOf(stack)).find(isAlive);
    if (alive === undefined) break;
    if (!told) console.log(`Pulumi (pid ${alive.pid}) is still at work on stack ${stack}; waiting for it`);
    if (performance.now() > deadline) {
      throw new UserError(
        `stack ${stack}: found it locked by pid ${alive.pid} for ${lockLimitSeconds} s, expected it free. End that process, then run the demo again.`,
      );
    }
    await pause(500);
    stopIfInterrupted();
  }
  if ((await locksOf(stack)).length === 0) return;
  console.log(`An earlier run was cut off and left its lock on stack ${stack}.`);
  await pulumi("cancel", ["--stack", stack, "--yes"]);
}

/** Forgets a stack with everything that Pulumi keeps of it. */
export async function removeStack(stack: string): Promise<void> {
  const state = stateDirectory();
  const folder = join("organization", "pgha");
  for (const path of [
    ...["json", "json.attrs", "json.bak", "json.bak.attrs"].map((end) => join("stacks", "pgha", `${stack}.${end}`)),
    join("history", "pgha", stack),
    join("backups", "pgha", stack),
    join("locks", folder, stack),
  ]) {
    await rm(join(state, path), { recursive: true, force: true });
  }
}
