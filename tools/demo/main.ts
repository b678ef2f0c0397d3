/**
 * The demo: `make demo`, with ENV=pacemaker or ENV=pacemaker-2, and `make demo-down`, or node --import tsx tools/demo/main.ts up ENV | down.
 * Needs root on Linux, and the environment of .tools/env.
 */
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pc from "picocolors";
import { openLab } from "../../lab/lab.ts";
import { UserError } from "../../model/fault.ts";
import { boardSecret } from "../../test/support/fencingBoard.ts";
import { type DemoEnvironment, demoEnvironment, demoEnvironments } from "./environments.ts";
import { nextSteps } from "./nextSteps.ts";
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
import { declaredPrimary, demoStackFile } from "./stackFile.ts";
import { switchUnderWrites } from "./switchover.ts";

function heading(number: number, text: string): void {
  console.log(pc.bold(`\n== ${number}/5 ${text}`));
}

/** All demos have the same hosts. */
function refuseBesideAnother(wanted: DemoEnvironment): void {
  const other = demoEnvironments.find((one) => one !== wanted && existsSync(join(root, one.stackFile)));
  if (other === undefined) return;
  throw new UserError(
    `${wanted.command}: found ${other.stackFile}, expected no other demo on the same hosts. Go on with it: ${other.command}, or remove it: make demo-down`,
  );
}

async function up(environment: DemoEnvironment): Promise<number> {
  const { manager, stack, hosts } = environment;
  const stackFile = join(root, environment.stackFile);
  refuseBesideAnother(environment);
  const began = performance.now();
  const elapsed = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  heading(1, `${hosts === 2 ? "two" : "three"} bare Debian hosts`);
  await unlockStack(stack);
  const lab = await openLab({ name: "demo", hosts, report: console.log });
  stopIfInterrupted();
  const existing = await readFile(stackFile, "utf8").catch(() => undefined);
  await writeFile(stackFile, demoStackFile(manager, lab, existing));
  console.log(`hosts ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(", ")}; stack file ${stackFile}`);

  heading(2, "from bare hosts to a streaming cluster: pulumi up");
  await pulumi("stack", ["select", "--create", stack]);
  if (manager === "pacemaker") {
    const key = `pgha:fencingSecrets.${boardSecret}`;
    await pulumi("config", ["set", "--stack", stack, "--secret", "--path", key], lab.board.passwordFile);
  }
  const upBegan = performance.now();
  await pulumi("up", ["--stack", stack, "--yes", "--skip-preview"]);
  const upSeconds = (performance.now() - upBegan) / 1000;
  console.log(`pulumi up: ${upSeconds.toFixed(1)} s`);

  const good = await switchUnderWrites(stack, stackFile, heading);
  console.log(`\nDone in ${elapsed()}, of which the first pulumi up took ${upSeconds.toFixed(1)} s.`);
  console.log(nextSteps(environment, lab, declaredPrimary(await readFile(stackFile, "utf8"))));
  return good ? 0 : 1;
}

async function down(): Promise<number> {
  const removed = await run(join(root, "lab", "lab"), ["down", "--lab", "demo"]);
  // The hosts are gone with all that was on them: nothing is left to destroy, only to forget.
  for (const { stack, stackFile } of demoEnvironments) {
    await unlockStack(stack);
    await removeStack(stack);
    await rm(join(root, stackFile), { force: true });
  }
  if (removed === 0) console.log("the demo's hosts, stack and stack file are gone");
  return removed;
}

const [verb, name = "demo"] = process.argv.slice(2);
waitForChildrenOnSignals();
try {
  if (verb === "up") process.exitCode = await up(demoEnvironment(name));
  else if (verb === "down") process.exitCode = await down();
  else throw new UserError(`tools/demo/main.ts: found ${verb ?? "nothing"}, expected up or down. Run: make demo`);
} catch (error) {
  if (error instanceof Stopped) {
    console.error(
      "\nInterrupted. Nothing is broken: the same command goes on from here, make demo-down removes everything.",
    );
    process.exitCode = 130;
  } else if (error instanceof UserError) {
    console.error(pc.red(error.message));
    process.exitCode = 1;
  } else throw error;
}
