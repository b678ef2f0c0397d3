import { figuresOf, median } from "./figures.ts";
import type { Measurement, Results, SectionResult } from "./measurement.ts";

const titles: Readonly<Record<string, string>> = {
  gap: "Planned switchover: how long writes wait",
  load: "Planned switchover under load: how long writes wait",
  pacemaker: "Planned switchover under Pacemaker, through the virtual IP: how long writes wait",
  moves: "Planned switchover beside Pacemaker's own move, on the same hosts in the same run",
  failover: "What nobody planned, under Pacemaker with fencing (detection fast): how long writes wait",
  cli: "Planned switchover through the whole CLI (`pulumi up`)",
  abort: "A switchover that is undone: the target does not receive the shutdown checkpoint",
  restart: "A killed postmaster (kill -9), failover manager none: restart in place",
  rejoin: "A member that comes back: from its host being reached until it streams",
  noop: "The loop of every day",
  provisioning: "From bare hosts to a writable cluster",
};

/** Others, measured with the same client on hosts of the same kind: a planned switchover. */
const peers = [
  ["Patroni 4.0 (etcd)", "1.44"],
  ["repmgr 5.5", "1.43-1.44"],
  ["pg_auto_failover 2.2", "0.98-1.95"],
  ["PAF (Pacemaker move)", "1.97-2.62"],
] as const;

export function resultsText(results: Results): string {
  const parts = Object.entries(results.sections).map(([name, section]) => sectionText(name, section));
  return [
    `# Measured on ${results.date}`,
    "",
    "Seconds. Written by `make bench`; every round is in the JSON beside. The client inserts a row every 5 ms on one",
    "connection with an ordered host list, accepts a session only when it takes writes, and gives a dial 0.3 s and a",
    "statement 0.5 s, both counted within the gap. A gap is the longest time between two acknowledged rows of a round.",
    "",
    ...parts,
  ].join("\n");
}

function sectionText(name: string, section: SectionResult): string {
  const { machine } = section;
  const commit = machine.commit === undefined ? "" : `, commit ${machine.commit}`;
  return [
    `## ${titles[name] ?? name}`,
    "",
    `${section.measuredAt}, took ${section.tookSeconds.toFixed(0)} s. ${machine.cores} cores (${machine.processor}), ${machine.memoryGigabytes} GB, Linux ${machine.kernel}, ${machine.distribution}, Node ${machine.node}, load ${machine.load} at the start${commit}.`,
    ...(section.stopped === undefined ? [] : ["", `**Stopped early:** ${section.stopped}`]),
    "",
    "| what | rounds | p50 | p95 | max | goal | reached | predicted p50 | rows acknowledged | lost | on a second server |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    ...section.measurements.map(measurementRow),
    ...ratioText(section),
    ...section.measurements.flatMap(notesOf),
    ...(name === "gap" ? ["", ...peersText()] : []),
    "",
  ].join("\n");
}

function measurementRow(measurement: Measurement): string {
  const { rows, goal } = measurement;
  const figures = figuresOf(measurement.seconds);
  const predicted = median(measurement.predictedSeconds ?? []);
  const cells = [
    measurement.what,
    String(measurement.seconds.length),
    secondsText(figures?.p50),
    secondsText(figures?.p95),
    secondsText(figures?.most),
    goalText(goal),
    reachedText(measurement),
    secondsText(predicted),
    rows === undefined ? "" : String(rows.acknowledged),
    rows === undefined ? "" : String(rows.lost),
    rows === undefined ? "" : String(rows.onSecondServer),
  ];
  return `| ${cells.join(" | ")} |`;
}

function secondsText(value: number | undefined): string {
  if (value === undefined) return "";
  return value.toFixed(value < 10 ? 3 : 1);
}

function goalText(goal: Measurement["goal"]): string {
  const p50 = goal?.p50 === undefined ? [] : [`p50 <= ${goal.p50.toFixed(2)}`];
  const most = goal?.most === undefined ? [] : [`max <= ${goal.most.toFixed(2)}`];
  return [...p50, ...most].join(", ");
}

function reachedText({ goal, seconds, rows }: Measurement): string {
  const figures = figuresOf(seconds);
  if (goal === undefined || figures === undefined) return "";
  const missed = [
    ...(goal.p50 !== undefined && figures.p50 > goal.p50 ? ["p50"] : []),
    ...(goal.most !== undefined && figures.most > goal.most ? ["max"] : []),
    ...(rows !== undefined && rows.lost > 0 ? ["rows lost"] : []),
    ...(rows !== undefined && rows.onSecondServer > 0 ? ["two servers"] : []),
  ];
  return missed.length === 0 ? "yes" : `**no: ${missed.join(", ")}**`;
}

function ratioText({ ratio }: SectionResult): string[] {
  if (ratio === undefined) return [];
  const reached = ratio.value <= ratio.goal ? "reached" : "**not reached**";
  return ["", `${ratio.what}: **${ratio.value.toFixed(2)}** (goal <= ${ratio.goal.toFixed(1)}, ${reached}).`];
}

function notesOf(measurement: Measurement): string[] {
  if (measurement.notes === undefined || measurement.notes.length === 0) return [];
  return ["", `${measurement.what}:`, ...measurement.notes.map((note) => `- ${note}`)];
}

function peersText(): string[] {
  return [
    "Others, measured earlier with the same client on hosts of the same kind (a planned switchover, 3 runs each):",
    "",
    "| what | gap |",
    "|---|---|",
    ...peers.map(([name, gap]) => `| ${name} | ${gap} |`),
  ];
}
