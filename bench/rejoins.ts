import { z } from "zod";
import { type ClusterAccess, type MemberAccess, withSession } from "../cluster/access.ts";
import { observeMembers } from "../cluster/observe.ts";
import { rejoin } from "../cluster/rejoin.ts";
import type { Reporter } from "../cluster/reporter.ts";
import { lookAtStrays } from "../cluster/strays.ts";
import { streamingStandbys, waitUntilStreaming } from "../cluster/streaming.ts";
import { underLock } from "../cluster/underLock.ts";
import { waitFor } from "../cluster/waitFor.ts";
import type { Lab } from "../lab/lab.ts";
import { othersOf } from "../model/group.ts";
import { lsnValue } from "../model/lsn.ts";
import { planRejoins, type Rejoin } from "../model/rejoin.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { probeDatabase } from "../test/support/writer.ts";
import type { Measurement } from "./measurement.ts";
import { clock, type Probe, underProbe } from "./probe.ts";
import { type Bench, type Section, secondsText } from "./section.ts";
import { freshCluster } from "./stack.ts";
import { Steps, stepsFromNow } from "./steps.ts";
import { silent } from "./switchovers.ts";

const most = 10;

interface Kind {
  readonly what: string;
  readonly plan: Rejoin["kind"];
  readonly goal: NonNullable<Measurement["goal"]>;
  /** Makes the primary a former one that is to come back so; returns who is primary then. */
  leave(scene: Scene, from: string): Promise<string>;
}

interface Scene {
  readonly lab: Lab;
  readonly cluster: DeclaredCluster;
}

const kinds: readonly Kind[] = [
  { what: "a stopped former primary follows again", plan: "follow", goal: { p50: 3, most: 3 }, leave: stopAndPromote },
  {
    what: "a former primary with WAL of its own is rewound",
    plan: "rewind",
    goal: { p50: 15, most: 15 },
    leave: crash,
  },
  { what: "a former primary is cloned beside its data", plan: "clone", goal: {}, leave: breakRewind },
];

/** From a host that is back until its member streams again: observing, locking, deciding and acting, without the CLI. */
export const rejoins: Section = {
  name: "rejoin",
  limitMinutes: 30,
  async run(bench) {
    for (const kind of kinds) await measureKind(bench, kind);
    return {};
  },
};

async function measureKind(bench: Bench, kind: Kind): Promise<void> {
  const lab = await bench.lab(true);
  const cluster = await freshCluster(lab, { walSegmentSize: "16MB" });
  const seconds: number[] = [];
  const steps = new Steps();
  await underProbe(bench, cluster, {
    rounds: Math.min(bench.rounds, most),
    limitSecondsOfRound: 180,
    round: async (probe) => {
      seconds.push(await measureOnce({ lab, cluster }, probe, kind, steps));
      bench.report(`${kind.what}, round ${seconds.length}: ${secondsText(seconds.at(-1) ?? 0)}`);
    },
    keep: ({ rows, notes = [] }) =>
      bench.keep({
        what: kind.what,
        seconds,
        goal: kind.goal,
        ...(rows === undefined ? {} : { rows }),
        notes: [
          ...notes,
          `where the time goes, median of each step until the next one (the last before the lock's release ends when it streams): ${steps.text()}`,
        ],
      }),
  });
}

async function measureOnce(scene: Scene, { writer }: Probe, kind: Kind, steps: Steps): Promise<number> {
  await writer.waitForAcknowledgement(60);
  const { access } = scene.cluster;
  const { member: from } = await scene.cluster.primary();
  const to = await kind.leave(scene, from);
  await writer.waitForAcknowledgement(60);
  const began = performance.now();
  const watch = stepsFromNow(steps);
  const told: Reporter = { ...silent, progress: (text) => watch.step(stepOf(text)) };
  watch.step("asking who holds the cluster");
  await underLock(access, told, async (lock, observations) => {
    watch.step("asking what can be rejoined");
    const looked = await lookAtStrays(access, to, observations);
    const planned = planRejoins(access.group, to, looked)[from];
    if (planned?.kind !== kind.plan) throw new Error(`${from}: found ${planned?.text}, expected to ${kind.plan}`);
    await rejoin(access, lock, access.member(from), access.member(to), planned, looked, told);
    await followed(access, to);
    const streams = clock();
    if (kind.plan === "rewind") {
      const { rewound, started } = await momentsOf(access.member(from));
      watch.step("starting PostgreSQL", rewound);
      watch.step("streaming", started);
    }
    watch.step("releasing the lock", streams);
  });
  watch.end();
  return (performance.now() - began) / 1000;
}

/** When the marker said that the data is whole again, and when PostgreSQL was up: the lab's hosts have this machine's clock. */
async function momentsOf({ host, paths }: MemberAccess): Promise<{ rewound: number; started: number }> {
  const said = await host.must({
    argv: [
      ...["sh", "-c", 'stat -c %.6Y "$1"; systemctl show --timestamp=us+utc -p ActiveEnterTimestamp "$2"'],
      ...["sh", paths.marker, paths.unit],
    ],
    limitSeconds: 20,
    purpose: "ask when it was rewound and started",
  });
  const [marker = "", unit = ""] = said.trim().split("\n");
  const [, day, time] = /(\d{4}-\d\d-\d\d) (\S+) UTC$/.exec(unit) ?? [];
  return { rewound: Number(marker) * 1000, started: Date.parse(`${day}T${time}Z`) };
}

/** "pg1: rewinding to 0/3000028" is the same step in every round. */
function stepOf(progress: string): string {
  return progress
    .replace(/^pg\d+: /, "")
    .replace(/, .* of .*$/, "")
    .replace(/ to [0-9A-F]+\/[0-9A-F]+$/, "")
    .replace(/ from pg\d+$/, "");
}

function followed(access: ClusterAccess, primary: string): Promise<void> {
  const others = othersOf(access.group, primary).map(({ name }) => name);
  return withSession(access.member(primary), (session) =>
    waitUntilStreaming(() => streamingStandbys(session), primary, others, 120),
  );
}

async function promote(cluster: DeclaredCluster, member: string): Promise<void> {
  const session = await cluster.connect(member);
  await session.query("select pg_promote(true, 60)").finally(() => session.close());
}

async function stopAndPromote({ cluster }: Scene, from: string): Promise<string> {
  await followed(cluster.access, from);
  const { host, paths } = cluster.access.member(from);
  await host.must({ argv: ["systemctl", "stop", paths.unit], limitSeconds: 60, purpose: `stop ${paths.unit}` });
  return promoteLongest(cluster, from);
}

/** Whoever has received most, as a careful person does it: another one would lose rows, and the first could not follow it. */
async function promoteLongest(cluster: DeclaredCluster, without: string): Promise<string> {
  const others = cluster.access.members.filter((member) => member.name !== without);
  const received = await Promise.all(
    others.map(async (member) => [member.name, await receivedBy(cluster, member.name)] as const),
  );
  const longest = received.reduce((best, one) => (one[1] > best[1] ? one : best));
  await promote(cluster, longest[0]);
  return longest[0];
}

async function receivedBy(cluster: DeclaredCluster, member: string): Promise<bigint> {
  const session = await cluster.connect(member);
  try {
    const row = z.object({ lsn: z.string() });
    return lsnValue((await session.selectOne(row, "select pg_last_wal_receive_lsn()::text as lsn")).lsn);
  } finally {
    await session.close();
  }
}

/** Its last commits reach nobody, then its power fails; it comes back after the promotion. */
async function crash({ lab, cluster }: Scene, from: string): Promise<string> {
  await followed(cluster.access, from);
  await lab.partition(from, { networks: ["replication"] });
  const session = await cluster.connect(from, probeDatabase);
  try {
    await session.query("set synchronous_commit = local");
    await session.query("create table if not exists alone (number int)");
    await session.query("insert into alone select generate_series(1, 1000)");
  } finally {
    await session.close();
  }
  await lab.kill(from);
  const to = await promoteLongest(cluster, from);
  await lab.heal();
  await lab.start(from);
  await waitFor(`${from} to be reached again`, 60, async () => {
    const seen = (await observeMembers(cluster.access)).find((one) => one.member === from);
    return seen?.reached === true ? { done: true } : { lastSeen: "not reached" };
  });
  return to;
}

/** As after a rewind that its host's death cut off: only the marker says so. */
async function breakRewind(scene: Scene, from: string): Promise<string> {
  const to = await stopAndPromote(scene, from);
  const { host, paths } = scene.cluster.access.member(from);
  await host.must({
    argv: ["sed", "-i", 's/"state":"ready"/"state":"rewinding"/', paths.marker],
    limitSeconds: 20,
    purpose: `mark ${from} as a rewind that broke off`,
  });
  return to;
}
