import type { Moment } from "../cluster/outage.ts";
import type { Reporter } from "../cluster/reporter.ts";
import { switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import type { Lab } from "../lab/lab.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { archiveParameters, startArchive } from "./archive.ts";
import { startLoad } from "./load.ts";
import type { Measurement } from "./measurement.ts";
import { clock, type Probe, type Rows, underProbe } from "./probe.ts";
import { type Bench, type Section, secondsText } from "./section.ts";
import { type ClusterWish, freshCluster } from "./stack.ts";
import { Steps } from "./steps.ts";

interface Variant {
  readonly what: string;
  readonly walSegmentSize: ClusterWish["walSegmentSize"];
  readonly load?: boolean;
  /** A round trip from where switchovers are ordered to every host takes so much longer. */
  readonly distanceMilliseconds?: number;
  /** Every segment is sent to the third host, and every host's network carries 1 Gbit/s. */
  readonly archiving?: boolean;
  /** Under Pacemaker, and the client knows the virtual IP alone. */
  readonly managed?: boolean;
  /** Most rounds. Default: as many as are wanted. */
  readonly most?: number;
  readonly goal: NonNullable<Measurement["goal"]>;
}

const idle: readonly Variant[] = [
  { what: "16 MB segments, idle", walSegmentSize: "16MB", goal: { p50: 0.15, most: 0.4 } },
  { what: "1 MB segments, idle", walSegmentSize: "1MB", goal: { p50: 0.1, most: 0.4 } },
  {
    what: "1 MB segments, idle, ordered from 80 ms away",
    walSegmentSize: "1MB",
    distanceMilliseconds: 80,
    goal: { p50: 0.12, most: 0.4 },
  },
];

/** The other standby copies every segment in the archiving kind: a round of it takes five times as long. */
const loaded: readonly Variant[] = [
  { what: "16 MB segments, pgbench -c 8", walSegmentSize: "16MB", load: true, goal: { p50: 0.3, most: 0.5 } },
  {
    what: "16 MB segments, pgbench -c 8, archiving over 1 Gbit/s",
    walSegmentSize: "16MB",
    load: true,
    archiving: true,
    most: 20,
    goal: { p50: 0.3, most: 0.5 },
  },
];

const managed: Variant = {
  what: "16 MB segments, idle, under Pacemaker",
  walSegmentSize: "16MB",
  managed: true,
  most: 50,
  goal: { p50: 0.2, most: 0.6 },
};

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
  limitMinutes: 45,
  run: (bench) => measureVariants(bench, idle),
};

/** The same beside other clients: what the fast stop waits for, and what the shutdown checkpoint writes. */
export const loadedSwitchovers: Section = {
  name: "load",
  limitMinutes: 45,
  run: (bench) => measureVariants(bench, loaded),
};

/** Under Pacemaker, which stands back for the time of each round. */
export const managedSwitchovers: Section = {
  name: "pacemaker",
  limitMinutes: 45,
  run: (bench) => measureVariants(bench, [managed]),
};

async function measureVariants(bench: Bench, variants: readonly Variant[]): Promise<Record<never, never>> {
  for (const variant of variants) await measureVariant(bench, variant);
  return {};
}

/** What is collected over several clusters of one variant. */
interface Series {
  readonly gaps: number[];
  readonly handovers: number[];
  readonly orchestrator: number[];
  readonly predictions: number[];
  /** By step of the outage, in milliseconds from the step before. */
  readonly steps: Steps;
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
    steps: new Steps(),
    rows: { acknowledged: 0, lost: 0, onSecondServer: 0 },
    transactions: 0,
    loadSeconds: 0,
  };
  const wanted = Math.min(bench.rounds, variant.most ?? bench.rounds);
  while (series.gaps.length < wanted) {
    const lab = await bench.lab(variant.managed === true ? "pacemaker" : true);
    const rounds = Math.min(roundsOfOneCluster, wanted - series.gaps.length);
    bench.report(`${variant.what}: a fresh cluster for ${rounds} rounds`);
    await onHosts(lab, variant, 300 + rounds * 60, (cluster) =>
      measureCluster(bench, variant, cluster, rounds, series),
    );
  }
}

/** A cluster on hosts that are as the variant wants them; their links are as before afterwards. */
async function onHosts(
  lab: Lab,
  variant: Variant,
  limitSeconds: number,
  measure: (cluster: DeclaredCluster) => Promise<void>,
): Promise<void> {
  const { walSegmentSize, distanceMilliseconds, archiving = false } = variant;
  const link = distanceMilliseconds === undefined ? undefined : await lab.slowLink("pg3", distanceMilliseconds);
  try {
    const jump = link && { address: link.address, port: link.port, user: "root", hostKey: lab.host("pg3").hostKey };
    const cluster = await freshCluster(
      lab,
      {
        walSegmentSize,
        ...(variant.managed === true ? { virtualIp: `${lab.virtualIp}/26` } : {}),
        ...(archiving ? { parameters: archiveParameters(lab) } : {}),
      },
      jump === undefined ? {} : { jump },
    );
    try {
      if (archiving) await startArchive(lab, cluster, limitSeconds);
      await measure(cluster);
    } finally {
      cluster.close();
      if (archiving) await lab.heal();
    }
  } finally {
    await link?.stop();
  }
}

async function measureCluster(
  bench: Bench,
  variant: Variant,
  cluster: DeclaredCluster,
  rounds: number,
  series: Series,
): Promise<void> {
  const limitSecondsOfRound = 60;
  const before = series.rows;
  await underProbe(bench, cluster, {
    rounds,
    limitSecondsOfRound,
    beside: async (probe) => {
      const stopLoad =
        variant.load === true ? await startLoad(cluster, probe.password, 60 + rounds * limitSecondsOfRound) : undefined;
      const began = performance.now();
      return async () => {
        series.loadSeconds += (performance.now() - began) / 1000;
        series.transactions += (await stopLoad?.()) ?? 0;
      };
    },
    round: (probe) => measureRound(bench, variant, cluster, probe, series),
    keep: (seen) => {
      if (seen.rows !== undefined) series.rows = sum(before, seen.rows);
      bench.keep(measurementOf(variant, series, seen.notes));
    },
  });
}

function sum(one: Rows, other: Rows): Rows {
  return {
    acknowledged: one.acknowledged + other.acknowledged,
    lost: one.lost + other.lost,
    onSecondServer: one.onSecondServer + other.onSecondServer,
  };
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
    steps.add(what, milliseconds - before);
    before = milliseconds;
    if (what === "acknowledged") return;
  }
}

function measurementOf(variant: Variant, series: Series, seen: readonly string[] = []): Measurement {
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
      ...seen,
      `where the outage's time goes, median of each step from the one before: ${series.steps.text()}`,
      `the gap in which the server changed alone, by round: ${list(series.handovers)}`,
      ...(variant.load === true && series.loadSeconds > 0 ? [load] : []),
      `outage as the orchestrator measured it, by round: ${list(series.orchestrator)}`,
    ],
  };
}
