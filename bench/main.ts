/**
 * The benchmark: `make bench`, or node --import tsx bench/main.ts [options]. Needs root on Linux and the environment of
 * .tools/env. Works on lab `bench`, which is gone afterwards. A slow figure is a result, not a failure.
 */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command } from "commander";
import type { Prepared } from "../lab/image.ts";
import { attachLab, type Lab, openLab, takeDown } from "../lab/lab.ts";
import { run } from "../lab/shell.ts";
import { UserError } from "../model/fault.ts";
import { aborts } from "./aborts.ts";
import { noChange, wholeCli } from "./everyDay.ts";
import { failovers, moves } from "./failovers.ts";
import { currentLoad, describeMachine } from "./machine.ts";
import type { Measurement, SectionResult } from "./measurement.ts";
import { provisioning } from "./provisioning.ts";
import { rejoins } from "./rejoins.ts";
import { restarts } from "./restarts.ts";
import { saveSection } from "./results.ts";
import { type Bench, type Section, StoppedEarly } from "./section.ts";
import { endTimedProgram, removeStack } from "./stack.ts";
import { loadedSwitchovers, managedSwitchovers, switchovers } from "./switchovers.ts";

const sections: readonly Section[] = [
  switchovers,
  loadedSwitchovers,
  managedSwitchovers,
  moves,
  failovers,
  aborts,
  wholeCli,
  noChange,
  restarts,
  rejoins,
  provisioning,
];
const labName = "bench";

interface Options {
  readonly only?: string;
  readonly rounds: string;
  readonly output: string;
  readonly byHand?: string;
  readonly keep: boolean;
}

let interrupted = false;
let lab: { prepared: Prepared; lab: Lab } | undefined;

function report(line: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`);
}

/** Hosts cannot change their image: the lab is made anew when hosts of another kind are wanted. */
async function labOfKind(prepared: Prepared): Promise<Lab> {
  if (lab?.prepared === prepared) return lab.lab;
  await takeDown(labName);
  const opened = await openLab({ name: labName, hosts: 3, prepared, report });
  lab = { prepared, lab: opened };
  return attachLab(labName);
}

type Outcome = Pick<SectionResult, "ratio" | "stopped">;

async function runSection(section: Section, options: Options, byHandScript: string | undefined): Promise<void> {
  const rounds = Number(options.rounds);
  const machine = await describeMachine();
  const began = performance.now();
  const measurements = new Map<string, Measurement>();
  const bench: Bench = {
    rounds,
    ...(byHandScript === undefined ? {} : { byHandScript }),
    report: (line) => report(`${line}  [load ${currentLoad()}]`),
    lab: labOfKind,
    checkTime() {
      if (interrupted) throw new StoppedEarly("interrupted");
      if (performance.now() - began > section.limitMinutes * 60_000) {
        throw new StoppedEarly(`its ${section.limitMinutes} minutes were over`);
      }
    },
    keep(measurement) {
      if (measurement.seconds.length === 0) return;
      measurements.set(measurement.what, measurement);
      // On disk with every round: whatever ends this process takes none of them along.
      save({ stopped: "the process ended in the middle of a round" });
    },
  };
  const save = (outcome: Outcome) =>
    saveSection(resolve(options.output), new Date().toISOString().slice(0, 10), section.name, {
      measuredAt: new Date().toISOString(),
      tookSeconds: Math.round((performance.now() - began) / 1000),
      machine,
      measurements: [...measurements.values()],
      ...outcome,
    });
  let outcome: Outcome;
  try {
    outcome = await section.run(bench);
  } catch (error) {
    // Figures that were measured count, whatever came after them; the next section begins on fresh hosts anyway.
    if (!(error instanceof StoppedEarly) && !interrupted) console.error(error);
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    outcome = { stopped: interrupted ? "interrupted" : reason };
  }
  if (measurements.size === 0) {
    report(`${section.name}: nothing was measured (${outcome.stopped ?? "no rounds"})`);
    process.exitCode ??= 1;
    return;
  }
  report(`${section.name}: written to ${save(outcome)}`);
}

function wantedSections(only: string | undefined): readonly Section[] {
  if (only === undefined) return sections;
  return only.split(",").map((name) => {
    const found = sections.find((section) => section.name === name);
    if (found !== undefined) return found;
    const known = sections.map((section) => section.name).join(", ");
    throw new UserError(`--only: found ${name}, expected some of ${known}, separated by commas. Name one of them.`);
  });
}

async function findByHandScript(path: string | undefined): Promise<string | undefined> {
  if (path === undefined || path === "") return undefined;
  const script = resolve(path);
  await access(script).catch(() => {
    throw new UserError(`--by-hand: found no file ${script}, expected a script. Give its path, or leave it out.`);
  });
  return script;
}

async function requirePulumi(): Promise<void> {
  const found = await run(["pulumi", "version"]).catch(() => undefined);
  if (found?.exitCode === 0) return;
  throw new UserError("PATH: found no pulumi, expected the one of this checkout. Run: make bench, or . .tools/env");
}

async function main(options: Options): Promise<void> {
  const wanted = wantedSections(options.only);
  const byHandScript = await findByHandScript(options.byHand ?? process.env.PGHA_BENCH_BY_HAND);
  if (!/^[1-9][0-9]*$/.test(options.rounds)) {
    throw new UserError(`--rounds: found ${options.rounds}, expected a whole number from 1 on. Correct it.`);
  }
  await requirePulumi();
  try {
    for (const section of wanted) {
      if (interrupted) break;
      report(`section ${section.name}, at most ${section.limitMinutes} minutes`);
      await runSection(section, options, byHandScript);
    }
  } finally {
    if (!options.keep) {
      await takeDown(labName);
      removeStack();
    }
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (interrupted) {
      report(`interrupted again: ends now. The hosts stay; remove them with: lab/lab down --lab ${labName}`);
      process.exit(130);
    }
    report("interrupted: this round ends, then the hosts go; once more ends at once");
    interrupted = true;
    process.exitCode = 130;
    endTimedProgram();
  });
}

const command = new Command("bench/main.ts")
  .description("Measures outages and waits against the goals; writes bench/results.")
  .option("--only <sections>", `sections, separated by commas: ${sections.map((one) => one.name).join(", ")}`)
  .option(
    "--rounds <number>",
    "switchovers of each kind; less often measured things take fewer",
    process.env.PGHA_BENCH_ROUNDS ?? "100",
  )
  .option("--output <folder>", "where results go", join(import.meta.dirname, "results"))
  .option("--by-hand <script>", "compares provisioning with this script: KEY PRIMARY_ADDRESS STANDBY_ADDRESS...")
  .option("--keep", "leaves the lab as it is at the end", false);
command.parse();
try {
  await main(command.opts<Options>());
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
