import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { figuresOf } from "../bench/figures.ts";
import type { Machine } from "../bench/machine.ts";
import type { Measurement, Results } from "../bench/measurement.ts";
import { type Probe, type Seen, underProbe } from "../bench/probe.ts";
import { resultsText } from "../bench/resultsText.ts";
import { StoppedEarly } from "../bench/section.ts";
import { benchStackFile } from "../bench/stack.ts";
import { Steps } from "../bench/steps.ts";
import type { Lab } from "../lab/lab.ts";
import { type DeclaredCluster, openDeclaredCluster } from "./support/declaredCluster.ts";

const machine: Machine = {
  cores: 2,
  processor: "Some CPU",
  memoryGigabytes: 24,
  kernel: "6.1",
  distribution: "Debian 12",
  node: "v20",
  load: 0.5,
};

function textOf(measurement: Measurement): string {
  const section = { measuredAt: "2026-01-02T03:04:05Z", tookSeconds: 60, machine, measurements: [measurement] };
  const results: Results = { date: "2026-01-02", sections: { gap: section } };
  return resultsText(results);
}

it("percentiles are rounds that happened, by nearest rank", () => {
  const series = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(figuresOf(series)).toEqual({ rounds: 100, least: 1, p50: 50, p95: 95, most: 100 });
  expect(figuresOf([3, 1, 2])).toEqual({ rounds: 3, least: 1, p50: 2, p95: 3, most: 3 });
  expect(figuresOf([])).toBeUndefined();
});

it("a goal that was reached, with the prediction beside the measurement", () => {
  const text = textOf({
    what: "16 MB segments, idle",
    seconds: [0.1, 0.2, 0.15],
    goal: { p50: 0.2, most: 0.5 },
    predictedSeconds: [0.14, 0.14, 0.15],
    rows: { acknowledged: 900, lost: 0, onSecondServer: 0 },
  });
  expect(text).toContain(
    "| 16 MB segments, idle | 3 | 0.150 | 0.200 | 0.200 | p50 <= 0.20, max <= 0.50 | yes | 0.140 | 900 | 0 | 0 |",
  );
  expect(text).toContain("2 cores (Some CPU), 24 GB, Linux 6.1, Debian 12, Node v20, load 0.5 at the start.");
});

it("what was missed is named: a slow round, and above all a lost row", () => {
  const text = textOf({
    what: "1 MB segments, idle",
    seconds: [0.3, 0.3, 0.6],
    goal: { p50: 0.12, most: 0.5 },
    rows: { acknowledged: 900, lost: 1, onSecondServer: 2 },
  });
  expect(text).toContain("**no: p50, max, rows lost, two servers**");
});

it("the benchmark's stack file declares a cluster that has no faults, with quorum 1 over three members", () => {
  const hosts = [1, 2, 3].map((number) => ({
    name: `pg${number}`,
    address: `198.51.100.13${number}`,
    addresses: {
      service: `198.51.100.13${number}`,
      cluster: `192.0.2.13${number}`,
      replication: `203.0.113.13${number}`,
    },
    hostKey: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${number}`,
  }));
  const text = benchStackFile({ hosts, keyFile: "/keys/id" } as unknown as Lab, { walSegmentSize: "1MB" });
  expect(Object.keys(parse(text).config)).toContain("pgha:clusters");
  const cluster = openDeclaredCluster(text, "bench");
  expect(cluster.group).toMatchObject({ primary: "pg1", synchronous: { quorum: 1 }, walSegmentSize: "1MB" });
  expect(cluster.servers.map((server) => server.address)).toEqual(hosts.map((host) => host.address));
  cluster.close();
});

it("steps are told in the order of the first round, each with its median of the rounds that made it", () => {
  const steps = new Steps();
  for (const milliseconds of [50, 90, 40]) steps.add("shut down", milliseconds);
  steps.add("proved", 5);
  expect(steps.text()).toBe("shut down 50 ms, proved 5 ms");
});

describe("rounds under the writer", () => {
  /** What became of the writer and the cluster, and all that was kept, in order. */
  async function measure(given: { rounds: number; failIn?: number; stopBefore?: number; primaryGone?: boolean }) {
    const happened: string[] = [];
    const kept: Seen[] = [];
    const cluster = {
      primary: () => (given.primaryGone ? Promise.reject(new Error("nobody")) : Promise.resolve({ member: "pg1" })),
      connect: () => Promise.resolve({ close: () => Promise.resolve(void happened.push("session closed")) }),
      close: () => happened.push("cluster closed"),
    } as unknown as DeclaredCluster;
    const writer = {
      stop: (asker: unknown) => {
        happened.push("writer ended");
        if (asker === undefined) return Promise.reject(new Error("writer: waited 30 s for an acknowledged row"));
        return Promise.resolve({ acknowledged: 7, lost: [3], twoWritersAtOnce: [] });
      },
    };
    let done = 0;
    const bench = {
      checkTime() {
        if (done === given.stopBefore) throw new StoppedEarly("its 20 minutes were over");
      },
    };
    const ended = underProbe(
      bench,
      cluster,
      {
        rounds: given.rounds,
        limitSecondsOfRound: 60,
        beside: () => Promise.resolve(() => Promise.resolve(void happened.push("load ended"))),
        round: () => (done++ === given.failIn ? Promise.reject(new Error("no streaming")) : Promise.resolve()),
        keep: (seen) => kept.push(seen),
      },
      () => Promise.resolve({ writer, password: "" } as unknown as Probe),
    );
    const failure = await ended.then(
      () => undefined,
      (error: Error) => error.message,
    );
    return { happened, kept, failure };
  }

  const rows = { acknowledged: 7, lost: 1, onSecondServer: 0 };

  it("each round is kept when it is over, and all of them once more with the writer's rows", async () => {
    expect(await measure({ rounds: 2 })).toEqual({
      happened: ["load ended", "writer ended", "session closed", "cluster closed"],
      kept: [{}, {}, { rows }],
      failure: undefined,
    });
  });

  it.each([
    ["a round fails", { rounds: 3, failIn: 1 }, "no streaming"],
    ["the time is over", { rounds: 3, stopBefore: 1 }, "its 20 minutes were over"],
  ])("%s: the rounds before are kept, and nothing stays open", async (_, given, failure) => {
    expect(await measure(given)).toEqual({
      happened: ["load ended", "writer ended", "session closed", "cluster closed"],
      kept: [{}, { rows }],
      failure,
    });
  });

  it("nobody is primary at the end: the rounds are kept without the comparison, and nothing stays open", async () => {
    const notes = ["whether acknowledged rows were lost is not known: writer: waited 30 s for an acknowledged row"];
    expect(await measure({ rounds: 3, failIn: 1, primaryGone: true })).toEqual({
      happened: ["load ended", "writer ended", "cluster closed"],
      kept: [{}, { notes }],
      failure: "no streaming",
    });
    expect((await measure({ rounds: 1, primaryGone: true })).failure).toContain("waited 30 s");
  });
});
