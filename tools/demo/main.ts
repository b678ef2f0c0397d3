/**
 * The demo: `make demo` and `make demo-down`, or node --import tsx tools/demo/main.ts up|down.
 * Needs root on Linux, and the environment of .tools/env.
 */
import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openLab } from "../../lab/lab.ts";
import { UserError } from "../../model/fault.ts";
import { demoStackFile } from "./stackFile.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const stackFile = join(root, "stacks", "Pulumi.demo.yaml");

/** Runs a program in the terminal, and returns its exit code. */
function run(program: string, args: readonly string[]): Promise<number> {
  console.log(`\n$ ${program} ${args.join(" ")}`);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: "inherit" });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

async function up(): Promise<number> {
  const lab = await openLab({ name: "demo", hosts: 3, report: console.log });
  const existing = await readFile(stackFile, "utf8").catch(() => undefined);
  await writeFile(stackFile, demoStackFile(lab.hosts, lab.keyFile, existing));
  const selected = await run("pulumi", ["stack", "select", "--create", "demo"]);
  if (selected !== 0) return selected;
  const applied = await run("pulumi", ["up", "--stack", "demo", "--yes", "--skip-preview"]);
  if (applied !== 0) return applied;
  console.log(`
The cluster runs. Now move its primary:
  . .tools/env                                   # this checkout's Pulumi
  edit stacks/Pulumi.demo.yaml: primary: pg2
  pulumi preview --stack demo                    # the checks, the plan, the expected gap
  pulumi up --stack demo
  make demo-down                                 # removes it all`);
  return 0;
}

async function down(): Promise<number> {
  const removed = await run(join(root, "lab", "lab"), ["down", "--lab", "demo"]);
  // The hosts are gone with all that was on them: nothing is left to destroy, only to forget.
  await run("pulumi", ["stack", "rm", "demo", "--force", "--yes", "--preserve-config"]);
  await rm(stackFile, { force: true });
  return removed;
}

const verb = process.argv[2];
try {
  if (verb === "up") process.exitCode = await up();
  else if (verb === "down") process.exitCode = await down();
  else throw new UserError(`tools/demo/main.ts: found ${verb ?? "nothing"}, expected up or down. Run: make demo`);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
