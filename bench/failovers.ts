import { queryStatus } from "../cluster/cib.ts";
import { waitUntilSettled } from "../cluster/converge.ts";
import { switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import { waitFor } from "../cluster/waitFor.ts";
import type { Lab } from "../lab/lab.ts";
import { pacemakerNames } from "../model/pacemaker/names.ts";
import { promotedNodes } from "../model/pacemaker/status.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { median } from "./figures.ts";
import type { Measurement } from "./measurement.ts";
import { clock, type Probe, underProbe } from "./probe.ts";
import { killPostmaster } from "./restarts.ts";
import { type Bench, type Section, secondsText } from "./section.ts";
import { benchCluster, type ClusterWish, declare, freshCluster, up } from "./stack.ts";
import { silent } from "./switchovers.ts";

/** The cluster that is measured, and its hosts. */
interface Scene {
  readonly lab: Lab;
  readonly cluster: DeclaredCluster;
  readonly wish: ClusterWish;
}

/** One way in which the primary changes, or comes back. */
interface Kind {
  readonly what: string;
  /** Most rounds. */
  readonly most: number;
  readonly goal?: NonNullable<Measurement["goal"]>;
  /** Does it; returns once the cause is there and whoever is to be primary then is. */
  readonly strike: (scene: Scene, from: string) => Promise<void>;
  /** Makes everything whole again, with that primary. Default: it becomes so by itself. */
  readonly mend?: (scene: Scene, from: string) => Promise<void>;
}

const names = pacemakerNames(benchCluster);

const ours: Kind = {
  what: "planned switchover, `primary:` changed",
  most: 20,
  goal: { p50: 0.2, most: 0.6 },
  async strike({ cluster }, from) {
    const { timeline, systemIdentifier } = await cluster.primary();
    await underLock(cluster.access, silent, (lock) =>
      switchOver(cluster.access, from, otherThan(from), { timeline, systemIdentifier }, lock, silent),
    );
  },
};

const itsOwn: Kind = {
  what: "Pacemaker's own move (crm_resource --move --promoted)",
  most: 20,
  async strike(scene, from) {
    const to = otherThan(from);
    await onHost(scene, from, ["crm_resource", "--resource", names.clone, "--move", "--promoted", "--node", to]);
    await waitUntilPromoted(scene, to, from);
  },
  mend: (scene, from) => onHost(scene, from, ["crm_resource", "--resource", names.clone, "--clear"]),
};

const failures: readonly Kind[] = [
  {
    what: "kill -9 of the primary's postmaster: started again in place",
    most: 20,
    goal: { p50: 1 },
    strike: ({ cluster }, from) => killPostmaster(cluster, from),
  },
  {
    what: "the primary's host dies: fenced, another member promoted",
    most: 5,
    goal: { most: 6 },
    async strike(scene, from) {
      await scene.lab.kill(from);
      await waitUntilPromoted(scene, otherThan(from), from);
    },
    mend: comeBack,
  },
  {
    what: "the primary's host is cut off from every network: fenced, another member promoted",
    most: 5,
    goal: { most: 6 },
    async strike(scene, from) {
      await scene.lab.partition(from);
      await waitUntilPromoted(scene, otherThan(from), from);
    },
    async mend(scene, from) {
      await scene.lab.heal(from);
      await comeBack(scene, from);
    },
  },
];

/** Ours and Pacemaker's own, turn by turn on the same hosts. */
export const moves: Section = {
  name: "moves",
  limitMinutes: 20,
  async run(bench) {
    const [seconds = [], own = []] = await measureKinds(bench, [ours, itsOwn], "in turn");
    const [ourMedian, ownMedian] = [median(seconds), median(own)];
    if (ourMedian === undefined || ownMedian === undefined) return {};
    const what = "a planned switchover by `primary:` against Pacemaker's own move, medians";
    return { ratio: { what, value: ourMedian / ownMedian, goal: 0.2 } };
  },
};

/** What nobody planned. */
export const failovers: Section = {
  name: "failover",
  limitMinutes: 30,
  async run(bench) {
    await measureKinds(bench, failures, "one after the other");
    return {};
  },
};

/** On one fenced cluster; the seconds of each kind's rounds. */
async function measureKinds(
  bench: Bench,
  kinds: readonly Kind[],
  order: "in turn" | "one after the other",
): Promise<number[][]> {
  const lab = await bench.lab("pacemaker");
  const wish: ClusterWish = { walSegmentSize: "16MB", virtualIp: `${lab.virtualIp}/26`, fenced: true };
  const cluster = await freshCluster(lab, wish);
  const scene: Scene = { lab, cluster, wish };
  const series = kinds.map((): number[] => []);
  const plan = order === "in turn" ? inTurn(bench.rounds, kinds) : oneAfterTheOther(bench.rounds, kinds);
  const keep = (seen: Pick<Measurement, "rows" | "notes"> = {}) => {
    for (const [index, { what, goal }] of kinds.entries()) {
      // The writer went on through all kinds: its rows belong to none of them alone.
      bench.keep({ what, seconds: series[index] ?? [], ...(goal === undefined ? {} : { goal }), ...seen });
    }
  };
  try {
    await underProbe(bench, cluster, {
      rounds: plan.length,
      limitSecondsOfRound: 180,
      round: async (probe) => {
        const index = plan[series.flat().length] ?? 0;
        const kind = kinds[index];
        if (kind === undefined) return;
        const gap = await measureRound(scene, probe, kind);
        series[index]?.push(gap);
        bench.report(`${kind.what}, round ${series[index]?.length}: ${secondsText(gap)}`);
      },
      keep,
    });
  } finally {
    cluster.close();
    await lab.heal();
  }
  return series;
}

/** Which kind each round is, by its place in the list. */
function inTurn(rounds: number, kinds: readonly Kind[]): number[] {
  const most = Math.min(rounds, ...kinds.map((kind) => kind.most));
  return Array.from({ length: most }, () => kinds.map((_, index) => index)).flat();
}

function oneAfterTheOther(rounds: number, kinds: readonly Kind[]): number[] {
  return kinds.flatMap(({ most }, index) => Array.from({ length: Math.min(rounds, most) }, () => index));
}

async function measureRound(scene: Scene, { writer }: Probe, kind: Kind): Promise<number> {
  await writer.waitForAcknowledgement(60);
  const { member: from } = await scene.cluster.primary();
  const since = clock();
  await kind.strike(scene, from);
  await writer.waitForAcknowledgement(90);
  const gap = writer.longestGap(since).milliseconds / 1000;
  await kind.mend?.(scene, from);
  const { member: primary } = await scene.cluster.primary();
  await waitUntilSettled(scene.cluster.access, primary, silent);
  return gap;
}

function otherThan(member: string): string {
  return member === "pg1" ? "pg2" : "pg1";
}

async function onHost({ cluster }: Scene, member: string, argv: readonly string[]): Promise<void> {
  await cluster.access.member(member).host.must({ argv: [...argv], limitSeconds: 60, purpose: argv.join(" ") });
}

/** As this member's host sees it. */
async function waitUntilPromoted({ cluster }: Scene, asked: string, not: string): Promise<void> {
  const { host } = cluster.access.member(asked);
  await waitFor(`Pacemaker to promote another member than ${not}`, 120, async () => {
    const promoted = promotedNodes(await queryStatus(host), names.clone);
    return promoted.some((node) => node !== not) ? { done: true } : { lastSeen: promoted.join(", ") };
  });
}

/** Its host gets its power back, Pacemaker starts it, and `up` with the primary that there is now lets it follow. */
async function comeBack({ lab, cluster, wish }: Scene, member: string): Promise<void> {
  await lab.start(member);
  const { host } = cluster.access.member(otherThan(member));
  await waitFor(`Pacemaker to run ${member} again`, 120, async () => {
    const { resources } = await queryStatus(host);
    const instance = resources.find(({ id, nodes }) => id === names.resource && nodes.includes(member));
    const runs = instance?.role === "Unpromoted" && instance.pending === undefined;
    return runs ? { done: true } : { lastSeen: instance?.role ?? "not there" };
  });
  const { member: primary } = await cluster.primary();
  declare(lab, { ...wish, primary });
  await up();
}
