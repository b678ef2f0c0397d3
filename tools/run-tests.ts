/**
 * Runs what stands on the command line and ends with one line, "N passed, N failed", the sum of all vitest runs.
 *
 *   node --import tsx tools/run-tests.ts [--static] PROJECT...
 *
 * A PROJECT is one of vitest.config.ts; each is a vitest run of its own, one after the other.
 * After the project `acceptance`, test/acceptance/results/DATE.md says what ran, on what, and how it ended.
 * --static adds the type checker and the linter beside the first project; each counts as one failure when it fails.
 * Exit code 0: something passed and nothing failed; 1: otherwise; 2: wrong usage.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeMachine } from "../bench/machine.ts";
import { type AcceptanceRun, summaryText } from "./acceptanceSummary.ts";
import { addCounts, countRun, countText, type TestCount, type VitestReport } from "./testCount.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** How long a vitest run may take before it is ended; together less than the 90 minutes of a CI run. */
const limitMinutesOfProject: Readonly<Record<string, number>> = {
  quick: 5,
  agent: 5,
  cli: 15,
  lab: 60,
  acceptance: 240,
};

const children = new Set<ChildProcess>();

/** Ends a child with everything it started: each is the leader of a process group. */
function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has just ended.
  }
}

interface Ended {
  readonly exitCode: number;
  readonly output: string;
}

/** Runs a program of node_modules; `output` is empty when it writes to the terminal itself. */
function run(script: string, args: readonly string[], stdio: "inherit" | "pipe", limitMinutes: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "node_modules", script), ...args], {
      cwd: root,
      stdio: ["ignore", stdio, stdio],
      detached: true,
    });
    children.add(child);
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const limit = setTimeout(() => {
      console.error(`${script}: still running after ${limitMinutes} minutes, ended`);
      endGroup(child, "SIGKILL");
    }, limitMinutes * 60_000);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(limit);
      children.delete(child);
      resolve({ exitCode: code ?? 1, output });
    });
  });
}

async function runVitest(project: string): Promise<TestCount> {
  const directory = await mkdtemp(join(tmpdir(), "pgha-tests-"));
  const reportFile = join(directory, "report.json");
  const began = new Date().toISOString();
  // Before the run: the checkout may move on while it lasts.
  const machine = project === "acceptance" ? await describeMachine() : undefined;
  try {
    const args = [
      "run",
      "--project",
      project,
      "--passWithNoTests",
      "--maxWorkers=100%", // most tests wait for a process: a core left free for vitest itself would idle
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
    ];
    const { exitCode } = await run("vitest/vitest.mjs", args, "inherit", limitMinutesOfProject[project] ?? 60);
    const text = await readFile(reportFile, "utf8").catch(() => undefined);
    const report = text === undefined ? undefined : (JSON.parse(text) as VitestReport);
    if (report === undefined)
      console.error(`${project}: found no test report, expected one. See what vitest printed above.`);
    else if (report.numPassedTests + report.numFailedTests === 0)
      console.error(`${project}: found 0 tests that ran, expected some.`);
    if (machine !== undefined && report !== undefined) await writeSummary({ began, machine, root, report });
    return countRun(report, exitCode);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeSummary(ran: AcceptanceRun): Promise<void> {
  const folder = join(root, "test", "acceptance", "results");
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${ran.began.slice(0, 10)}.md`);
  await writeFile(file, summaryText(ran));
  console.log(`acceptance: written to ${file}`);
}

/** The checks that run no code of ours. Their output waits until they end, so that lines do not mix. */
async function runStatic(name: string, script: string, args: readonly string[]): Promise<TestCount> {
  const begin = performance.now();
  const { exitCode, output } = await run(script, args, "pipe", 5);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  if (exitCode !== 0) process.stdout.write(output);
  console.log(`${name}: ${exitCode === 0 ? "ok" : "FAILED"} (${seconds} s)`);
  return { passed: 0, failed: exitCode === 0 ? 0 : 1 };
}

function staticChecks(): Promise<TestCount>[] {
  return [
    runStatic("types", "typescript/bin/tsc", [
      "--noEmit",
      "--incremental",
      "--tsBuildInfoFile",
      ".tools/types.tsbuildinfo",
    ]),
    runStatic("lint and format", "@biomejs/biome/bin/biome", ["check", "--error-on-warnings", "."]),
  ];
}

async function main(args: readonly string[]): Promise<number> {
  const withStatic = args.includes("--static");
  const projects = args.filter((arg) => arg !== "--static");
  const unknown = projects.filter((project) => limitMinutesOfProject[project] === undefined);
  if (projects.length === 0 || unknown.length > 0) {
    const expected = Object.keys(limitMinutesOfProject).join(", ");
    console.error(`tools/run-tests.ts: found ${unknown.join(", ") || "no project"}, expected some of ${expected}.`);
    return 2;
  }
  const statics = withStatic ? staticChecks() : [];
  const counts: TestCount[] = [];
  for (const project of projects) counts.push(await runVitest(project));
  const sum = addCounts([...counts, ...(await Promise.all(statics))]);
  console.log(countText(sum));
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    for (const child of children) endGroup(child, "SIGTERM");
    process.exit(1);
  });
}
process.exitCode = await main(process.argv.slice(2));
