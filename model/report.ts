import type { Check } from "./checks.ts";
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

/** The checks as a table; remedies only where something is to be done. */
export function checksText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  const measuredWidth = Math.max(...checks.map((check) => Math.min(check.measured.length, 40)));
  return checks
    .map((check) => {
      const line = `  ${signs[check.verdict]} ${check.name.padEnd(width)}  ${check.measured.padEnd(measuredWidth)}  (${check.limit})`;
      return check.remedy === "" ? line : `${line}\n        -> ${check.remedy}`;
    })
    .join("\n");
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
  const parts = prediction.parts
    .filter((part) => part.milliseconds > 0)
    .map((part) => `${part.what} ${part.milliseconds}`)
    .join(", ");
  return [
    `switchover ${plan.from} -> ${plan.to}: checks ${verdict}, outage about ${seconds(prediction.totalMilliseconds)}`,
    "checks (limit)",
    checksText(checks),
    "steps (* = writes wait)",
    ...steps,
    `predicted outage ${seconds(prediction.totalMilliseconds)} (ms: ${parts})`,
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
