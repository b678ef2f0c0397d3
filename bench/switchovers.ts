import type { Moment } from "../cluster/outage.ts";
import type { Reporter } from "../cluster/reporter.ts";
import { switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import type { Lab } from "../lab/lab.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { archiveParameters, startArchive } from "./archive.ts";
import { median } from "./figures.ts";
import { startLoad } from "./load.ts";
import { clock, noRows, type Probe, type Rows, startProbe, stopProbe } from "./probe.ts";
import type { Measurement } from "./results.ts";
import { type Bench, type Section, secondsText } from "./section.ts";
import { type ClusterWish, freshCluster } from "./stack.ts";

interface Variant {
  readonly what: string;
  readonly walSegmentSize: ClusterWish["walSegmentSize"];
  readonly load?: boolean;
  /** A round trip from where switchovers are ordered to every host takes so much longer. */
  readonly distanceMilliseconds?: number;
  /** Every segment is sent to the third host, and every host's network carries 1 Gbit/s. */
  readonly archiving?: boolean;
  readonly goal: NonNullable<Measurement["goal"]>;
}

const variants: readonly Variant[] = [
  { what: "16 MB segments, idle", walSegmentSize: "16MB", goal: { p50: 0.15, most: 0.4 } },
  { what: "1 MB segments, idle", walSegmentSize: "1MB", goal: { p50: 0.1, most: 0.4 } },
  {
    what: "1 MB segments, idle, ordered from 80 ms away",
    walSegmentSize: "1MB",
    distanceMilliseconds: 80,
    goal: { p50: 0.12, most: 0.4 },
  },
  {
    what: "16 MB segments, pgbench -c 8, archiving over 1 Gbit/s",
    walSegmentSize: "16MB",
    load: true,
    archiving: true,
    goal: { p50: 0.3, most: 0.5 },
  },
  { what: "16 MB segments, pgbench -c 8", walSegmentSize: "16MB", load: true, goal: { p50: 0.3, most: 0.5 } },
];

/** A cluster that was switched very often is none that anybody has. */
const roundsOfOneCluster = 20;

export const silent: Reporter = {
  progress: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  cancelled: new AbortController().signal,
};

/** How long writes wait during a planned switchover, by a client that does nothing but write. */
export const switchovers: Section = {
  name: "gap",
  limitMinutes: 60,
  async run(bench) {
    for (const variant of variants) await measureVariant(bench, variant);
    return {};
  },
};

/** What is collected over several clusters of one variant. */
interface Series {
  readonly gaps: number[];
  readonly handovers: number[];
  readonly orchestrator: number[];
  readonly predictions: number[];
  /** By step of the outage, in milliseconds from the step before. */
  readonly steps: Map<string, number[]>;
  rows: Rows;
  /** Committed by pgbench beside the writer. */
  transactions: number;
  loadSeconds: number;
}

async function measureVariant(bench: Bench, variant: Variant): Promise<void> {
  const series: Series = {
    gaps: [],
    handovers: [],
    orchestrator: [],
    predictions: [],
    steps: new Map(),
    rows: noRows,
    transactions: 0,
    loadSeconds: 0,
  };
  while (series.gaps.length < bench.rounds) {
    const lab = await bench.lab(true);
    const rounds = Math.min(roundsOfOneCluster, bench.rounds - series.gaps.length);
    bench.report(`${variant.what}: a fresh cluster for ${rounds} rounds`);
    const scene = await openScene(lab, variant, 300 + rounds * 60);
    try {
      await measureCluster(bench, variant, scene.cluster, rounds, series);
    } finally {
      await scene.close();
      if (series.gaps.length > 0) bench.keep(measurementOf(variant, series));
    }
  }
}

interface Scene {
  readonly cluster: DeclaredCluster;
  close(): Promise<void>;
}

async function openScene(lab: Lab, variant: Variant, limitSeconds: number): Promise<Scene> {
  const { walSegmentSize, distanceMilliseconds, archiving = false } = variant;
  const link = distanceMilliseconds === undefined ? undefined : await lab.slowLink("pg3", distanceMilliseconds);
  const jump = link && { address: link.address, port: link.port, user: "root", hostKey: lab.host("pg3").hostKey };
  const cluster = await freshCluster(
    lab,
    { walSegmentSize, ...(archiving ? { parameters: archiveParameters(lab) } : {}) },
    jump === undefined ? {} : { jump },
  );
  if (archiving) await startArchive(lab, cluster, limitSeconds);
  return {
    cluster,
    async close() {
      cluster.close();
      await link?.stop();
      if (archiving) await lab.heal();
    },
  };
}

async function measureCluster(
  bench: Bench,
  variant: Variant,
  cluster: DeclaredCluster,
  rounds: number,
  series: Series,
): Promise<void> {
  const limitSeconds = 60 + rounds * 60;
  const probe = await startProbe(cluster, limitSeconds);
  const stopLoad = variant.load === true ? await startLoad(cluster, probe.password, limitSeconds) : undefined;
  const began = performance.now();
  try {
    for (let round = 0; round < rounds; round++) {
      bench.checkTime();
      await measureRound(bench, variant, cluster, probe, series);
    }
  } finally {
    series.loadSeconds += (performance.now() - began) / 1000;
    series.transactions += (await stopLoad?.()) ?? 0;
    series.rows = await stopProbe(cluster, probe, series.rows);
  }
}

async function measureRound(
  bench: Bench,
  variant: Variant,
  cluster: DeclaredCluster,
  { writer }: Probe,
  series: Series,
): Promise<void> {
  await writer.waitForAcknowledgement(30);
  const since = clock();
  const { member: from, timeline, systemIdentifier } = await cluster.primary();
  const to = from === "pg1" ? "pg2" : "pg1";
  const report = await underLock(cluster.access, silent, (lock) =>
    switchOver(cluster.access, from, to, { timeline, systemIdentifier }, lock, silent),
  );
  await writer.waitForAcknowledgement(30);
  const gap = writer.longestGap(since).milliseconds / 1000;
  const handover = writer.gapsSince(since).find((one) => one.from === from && one.to === to);
  series.gaps.push(gap);
  series.handovers.push(handover === undefined ? gap : handover.milliseconds / 1000);
  series.orchestrator.push(report.outageMilliseconds / 1000);
  series.predictions.push(report.predictedMilliseconds / 1000);
  collectSteps(series, report.moments);
  const moments = report.moments.map((moment) => `${moment.what} +${moment.milliseconds.toFixed(0)}`).join(", ");
  const ofHandover = handover === undefined ? "" : ` (handover ${secondsText(handover.milliseconds / 1000)})`;
  bench.report(
    `${variant.what}, round ${series.gaps.length}: ${from} -> ${to}, gap ${secondsText(gap)}${ofHandover}, predicted ${secondsText(report.predictedMilliseconds / 1000)} (${moments})`,
  );
}

/** Until the first acknowledged commit: what follows is outside the outage. */
function collectSteps({ steps }: Series, moments: readonly Moment[]): void {
  let before = 0;
  for (const { what, milliseconds } of moments) {
    steps.set(what, [...(steps.get(what) ?? []), milliseconds - before]);
    before = milliseconds;
    if (what === "acknowledged") return;
  }
}

function stepsText({ steps }: Series): string {
  const parts = [...steps].map(([what, milliseconds]) => `${what} ${(median(milliseconds) ?? 0).toFixed(0)} ms`);
  return `where the outage's time goes, median of each step from the one before: ${parts.join(", ")}`;
}

function measurementOf(variant: Variant, series: Series): Measurement {
  const list = (values: readonly number[]) => values.map((value) => value.toFixed(3)).join(" ");
  const perSecond = (series.transactions / series.loadSeconds).toFixed(0);
  const load = `pgbench committed ${series.transactions} transactions, ${perSecond} per second, outages included`;
  return {
    what: variant.what,
    seconds: series.gaps,
    goal: variant.goal,
    predictedSeconds: series.predictions,
    rows: series.rows,
    notes: [
      stepsText(series),
      `the gap in which the server changed alone, by round: ${list(series.handovers)}`,
      ...(variant.load === true ? [load] : []),
      `outage as the orchestrator measured it, by round: ${list(series.orchestrator)}`,
    ],
  };
}
