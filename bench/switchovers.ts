import type { Reporter } from "../cluster/reporter.ts";
import { switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { startLoad } from "./load.ts";
import { clock, noRows, type Probe, type Rows, startProbe, stopProbe } from "./probe.ts";
import type { Measurement } from "./results.ts";
import { type Bench, type Section, secondsText } from "./section.ts";
import { type ClusterWish, freshCluster } from "./stack.ts";

interface Variant {
  readonly what: string;
  readonly walSegmentSize: ClusterWish["walSegmentSize"];
  readonly load: boolean;
  readonly goal: NonNullable<Measurement["goal"]>;
}

const variants: readonly Variant[] = [
  { what: "16 MB segments, idle", walSegmentSize: "16MB", load: false, goal: { p50: 0.2, most: 0.5 } },
  { what: "1 MB segments, idle", walSegmentSize: "1MB", load: false, goal: { p50: 0.12, most: 0.5 } },
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
    rows: noRows,
    transactions: 0,
    loadSeconds: 0,
  };
  while (series.gaps.length < bench.rounds) {
    const lab = await bench.lab(true);
    const rounds = Math.min(roundsOfOneCluster, bench.rounds - series.gaps.length);
    bench.report(`${variant.what}: a fresh cluster for ${rounds} rounds`);
    const cluster = await freshCluster(lab, { walSegmentSize: variant.walSegmentSize });
    try {
      await measureCluster(bench, variant, cluster, rounds, series);
    } finally {
      cluster.close();
      if (series.gaps.length > 0) bench.keep(measurementOf(variant, series));
    }
  }
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
  const stopLoad = variant.load ? await startLoad(cluster, probe.password, limitSeconds) : undefined;
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
  const moments = report.moments.map((moment) => `${moment.what} +${moment.milliseconds.toFixed(0)}`).join(", ");
  const ofHandover = handover === undefined ? "" : ` (handover ${secondsText(handover.milliseconds / 1000)})`;
  bench.report(
    `${variant.what}, round ${series.gaps.length}: ${from} -> ${to}, gap ${secondsText(gap)}${ofHandover}, predicted ${secondsText(report.predictedMilliseconds / 1000)} (${moments})`,
  );
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
      `the gap in which the server changed alone, by round: ${list(series.handovers)}`,
      ...(variant.load ? [load] : []),
      `outage as the orchestrator measured it, by round: ${list(series.orchestrator)}`,
    ],
  };
}
