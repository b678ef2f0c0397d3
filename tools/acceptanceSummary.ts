import { relative } from "node:path";
import type { Machine } from "../bench/machine.ts";
import type { VitestReport } from "./testCount.ts";

/** A run of the acceptance tests, as it may be published: nothing names this machine or a path on it. */
export interface AcceptanceRun {
  /** When it began, ISO 8601. */
  readonly began: string;
  readonly machine: Pick<Machine, "cores" | "memoryGigabytes" | "kernel" | "commit">;
  /** Of this checkout; files are told from there. */
  readonly root: string;
  readonly report: VitestReport;
}

/** Each test's sentence, whether it passed, how long it took and what it measured; its seed, where its sentence has one. */
export function summaryText({ began, machine, root, report }: AcceptanceRun): string {
  const { cores, memoryGigabytes, kernel, commit } = machine;
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const count = (status: string) => tests.filter((test) => test.status === status).length;
  const left = tests.length - count("passed") - count("failed");
  return [
    `# Acceptance of ${began.slice(0, 10)}`,
    "",
    `Begun ${began}, commit ${commit ?? "unknown"}, ${cores} cores, ${memoryGigabytes} GB, Linux ${kernel}. Written by \`make acceptance\`.`,
    "",
    `${count("passed")} passed, ${count("failed")} failed${left === 0 ? "" : `, ${left} not run`}.`,
    "",
    ...[...report.testResults]
      .map((file) => ({ ...file, path: relative(root, file.name) }))
      .sort((one, other) => (one.path < other.path ? -1 : 1))
      .flatMap((file) => [`## ${file.path}`, "", ...fileLines(file), ""]),
  ].join("\n");
}

function fileLines(file: VitestReport["testResults"][number]): string[] {
  if (file.assertionResults.length === 0) return ["It could not be loaded."];
  const rows = file.assertionResults.map(({ fullName, status, duration, meta }) => {
    const seconds = duration === undefined || duration === null ? "" : (duration / 1000).toFixed(1);
    const outcome = status === "passed" ? "passed" : status === "failed" ? "**failed**" : "not run";
    return `| ${[fullName, outcome, seconds, meta?.measured ?? ""].map(cell).join(" | ")} |`;
  });
  return ["| test | outcome | seconds | measured |", "|---|---|---|---|", ...rows];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
