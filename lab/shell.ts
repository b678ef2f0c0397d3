import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";

/** What a command on this machine answered. */
export interface Output {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** The command is killed after this time. Default 30. */
  readonly limitSeconds?: number;
  readonly stdin?: string;
  /** Called with every line of standard output and error while the command runs. */
  readonly onLine?: (line: string) => void;
}

/** Where progress goes: one line at a time. */
export type Report = (line: string) => void;

/** Runs a command to its end; the exit code is the caller's to judge, a command killed at its limit throws. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const limitSeconds = options.limitSeconds ?? 30;
  const [file, ...rest] = argv;
  if (file === undefined) throw new Error("run: an empty command");
  return await new Promise<Output>((resolve, reject) => {
    const child = spawn(file, rest, { stdio: ["pipe", "pipe", "pipe"] });
    const texts = { stdout: "", stderr: "" };
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, limitSeconds * 1000);
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        texts[name] += text;
        if (options.onLine) for (const line of text.split("\n")) if (line.trim() !== "") options.onLine(line.trim());
      });
    }
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.stdin ?? "");
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      if (late) reject(new Error(`${argv.join(" ")}: not finished after ${limitSeconds} s, killed`));
      else resolve({ exitCode: code ?? 137, ...texts });
    });
  });
}

/** Runs a command that has to succeed and returns its standard output. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const output = await run(argv, options);
  if (output.exitCode !== 0) {
    const said = (output.stderr.trim() || output.stdout.trim()).slice(-1500);
    throw new Error(`${argv.join(" ")}: exit code ${output.exitCode}: ${said}`);
  }
  return output.stdout;
}

/** Polls until the look returns something; its error says what was awaited. */
export async function waitFor<T>(
  what: string,
  limitSeconds: number,
  look: () => Promise<T | undefined> | T | undefined,
  everyMilliseconds = 50,
): Promise<T> {
  const end = Date.now() + limitSeconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() >= end) throw new Error(`waited ${limitSeconds} s for ${what}`);
    await pause(everyMilliseconds);
  }
}

/** Does one long step and reports how long it took. */
export async function step<T>(report: Report, what: string, work: () => Promise<T>): Promise<T> {
  report(`${what} …`);
  const start = Date.now();
  const result = await work();
  report(`${what}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
  return result;
}
