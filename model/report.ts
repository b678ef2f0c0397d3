import type { Check } from "./checks/check.ts";
import type { SwitchoverPlan } from "./handover.ts";
import type { Prediction } from "./prediction.ts";

/** What a switchover did, with its evidence. */
export interface SwitchoverReport {
  readonly from: string;
  readonly to: string;
  readonly oldTimeline: number;
  readonly newTimeline: number;
  readonly checkpointLsn: string;
  /** pg_waldump's line for the shutdown checkpoint on the new primary. */
  readonly evidence: string;
  /** From the order to stop until the new primary's first acknowledged commit. */
  readonly outageMilliseconds: number;
  readonly predictedMilliseconds: number;
  /** From the order to stop, in milliseconds: the moments inside the outage. */
  readonly moments: readonly { readonly what: string; readonly milliseconds: number }[];
  readonly streamingAgainMilliseconds: number;
}

const signs = { ok: "ok   ", warn: "WARN ", block: "BLOCK" } as const;

/** A terminal of 100 columns, of which Pulumi indents four. */
const lineLength = 96;
const measuredLength = 34;
const order = ["block", "warn", "ok"] as const;

/** The checks as a table: what stops the switchover first, with the way out under it, and last what is well. */
export function checksText(checks: readonly Check[]): string {
  const nameLength = Math.max(...checks.map((check) => check.name.length));
  const measuredWidth = Math.min(measuredLength, Math.max(...checks.map((check) => check.measured.length)));
  return order
    .flatMap((verdict) => checks.filter((check) => check.verdict === verdict))
    .flatMap((check) => {
      const start = `  ${signs[check.verdict]} ${check.name.padEnd(nameLength)}  `;
      const line = `${start}${check.measured.padEnd(measuredWidth)}  (${check.limit})`;
      const lines = line.length <= lineLength ? [line] : wrapped(start, `${check.measured} (${check.limit})`);
      return check.remedy === "" ? lines : [...lines, ...wrapped("        -> ", check.remedy)];
    })
    .join("\n");
}

/** A text behind `start`, broken between words into lines that begin where the first one does. */
function wrapped(start: string, text: string): string[] {
  const lines: string[] = [];
  let line = start;
  for (const word of text.split(" ")) {
    const begun = line.length > start.length;
    if (begun && line.length + 1 + word.length > lineLength) {
      lines.push(line);
      line = " ".repeat(start.length) + word;
    } else {
      line += begun ? ` ${word}` : word;
    }
  }
  return [...lines, line];
}

/** What preview shows of a switchover: checks, steps, predicted outage. The first line stands alone on the resource's row. */
export function planText(plan: SwitchoverPlan, checks: readonly Check[], prediction: Prediction): string {
  const blocked = checks.filter((check) => check.verdict === "block").length;
  const warned = checks.filter((check) => check.verdict === "warn").length;
  const verdict = blocked > 0 ? `${blocked} BLOCKED` : warned > 0 ? `${warned} warned` : "all ok";
  const steps = plan.steps.map(
    (step, index) =>
      `  ${String(index + 1).padStart(2)} ${step.outage ? "*" : " "} ${step.step.padEnd(10)} ${step.text}`,
  );
  const parts = prediction.parts.map((part) => `${part.what} ${part.milliseconds}`).join(", ");
  return [
    `switchover ${plan.from} -> ${plan.to}: checks ${verdict}, outage about ${seconds(prediction.totalMilliseconds)}`,
    "checks (limit)",
    checksText(checks),
    "steps (* = writes wait)",
    ...steps,
    ...wrapped(`predicted outage ${seconds(prediction.totalMilliseconds)} `, `(ms: ${parts})`),
  ].join("\n");
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

export function reportText(report: SwitchoverReport): string {
  const moments = report.moments.map((moment) => `${moment.what} +${moment.milliseconds.toFixed(0)}`).join(", ");
  return [
    `switchover ${report.from} -> ${report.to} done: outage ${seconds(report.outageMilliseconds)}`,
    `  primary    ${report.from} (timeline ${report.oldTimeline}) -> ${report.to} (timeline ${report.newTimeline})`,
    `  outage     ${seconds(report.outageMilliseconds)} measured, ${seconds(report.predictedMilliseconds)} predicted (ms: ${moments})`,
    `  proof      ${report.to} had the whole shutdown checkpoint ${report.checkpointLsn} of ${report.from} before it was promoted`,
    `             ${report.evidence}`,
    `  streaming  every standby again ${seconds(report.streamingAgainMilliseconds)} after the order to stop`,
  ].join("\n");
}
