/**
 * The demo: `make demo` and `make demo-down`, or node --import tsx tools/demo/main.ts up|down.
 * Needs root on Linux, and the environment of .tools/env.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pc from "picocolors";
import { openLab } from "../../lab/lab.ts";
import { UserError } from "../../model/fault.ts";
import {
  pulumi,
  removeStack,
  root,
  run,
  Stopped,
  stopIfInterrupted,
  unlockStack,
  waitForChildrenOnSignals,
} from "./pulumi.ts";
import { demoStackFile } from "./stackFile.ts";
import { nextSteps, switchUnderWrites } from "./switchover.ts";

const stack = "demo";
const stackFile = join(root, "stacks", "Pulumi.demo.yaml");

function heading(number: number, text: string): void {
  console.log(pc.bold(`\n== ${number}/5 ${text}`));
}

async function up(): Promise<number> {
  const began = performance.now();
  const elapsed = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  heading(1, "three bare Debian hosts");
  await unlockStack(stack);
  const lab = await openLab({ name: "demo", hosts: 3, report: console.log });
  stopIfInterrupted();
  const existing = await readFile(stackFile, "utf8").catch(() => undefined);
  await writeFile(stackFile, demoStackFile(lab.hosts, lab.keyFile, existing));
  console.log(`hosts ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(", ")}; stack file ${stackFile}`);

  heading(2, "from bare hosts to a streaming cluster: pulumi up");
  await pulumi("stack", ["select", "--create", stack]);
  const upBegan = performance.now();
  await pulumi("up", ["--stack", stack, "--yes", "--skip-preview"]);
  const upSeconds = (performance.now() - upBegan) / 1000;
  console.log(`pulumi up: ${upSeconds.toFixed(1)} s`);

  const good = await switchUnderWrites(stack, stackFile, heading);
  console.log(`\nDone in ${elapsed()}, of which the first pulumi up took ${upSeconds.toFixed(1)} s.`);
  console.log(nextSteps());
  return good ? 0 : 1;
}

async function down(): Promise<number> {
  const removed = await run(join(root, "lab", "lab"), ["down", "--lab", "demo"]);
  // The hosts are gone with all that was on them: nothing is left to destroy, only to forget.
  await unlockStack(stack);
  await removeStack(stack);
  await rm(stackFile, { force: true });
  if (removed === 0) console.log("the demo's hosts, stack and stack file are gone");
  return removed;
}

const verb = process.argv[2];
waitForChildrenOnSignals();
try {
  if (verb === "up") process.exitCode = await up();
  else if (verb === "down") process.exitCode = await down();
  else throw new UserError(`tools/demo/main.ts: found ${verb ?? "nothing"}, expected up or down. Run: make demo`);
} catch (error) {
  if (error instanceof Stopped) {
    console.error("\nInterrupted. Nothing is broken: make demo goes on from here, make demo-down removes everything.");
    process.exitCode = 130;
  } else if (error instanceof UserError) {
    console.error(pc.red(error.message));
    process.exitCode = 1;
  } else throw error;
}
