import { describe, expect, it } from "vitest";
import { type Data, faults, hosts, orders, parsed } from "../../test/support/stackFiles.ts";
import { inputsOfCluster } from "../group.ts";
import { configurationOf } from "./configuration.ts";

const sentence = "a cut-off primary may go on accepting writes";
/** A device whose parameters are not known to us. */
const fencing = (...names: string[]) => ({ devices: { power: { agent: "fence_apc", hosts: names } } });

/** A stack file whose cluster orders is looked after so. */
function stackFile(failover: Data, changes: Data = {}, main: Data = { fencing: fencing("pg1", "pg2", "pg3") }): Data {
  return {
    hosts,
    clusters: { orders: { ...orders, failover: { manager: "pacemaker", ...failover }, ...changes } },
    pacemaker: { main },
  };
}

const pgsql = { members: { pg1: {}, pg2: {} }, virtualIps: { primary: "198.51.100.50/24" } };
const pgsqlMain = { fencing: fencing("pg1", "pg2") };

/** What Pacemaker's configuration has of it. */
function configured(file: Data) {
  const [declaration] = parsed(file).pacemaker;
  if (declaration === undefined) throw new Error("no Corosync cluster");
  const { resources, clones } = configurationOf(declaration);
  return { operations: resources["pgha-orders"]?.operations, meta: clones["pgha-orders-clone"]?.meta };
}

describe("how Pacemaker looks after the instances", () => {
  it("is as declared, in seconds; what is left out is as it was without a declaration", () => {
    const operations = {
      start: { timeout: "2min" },
      stop: { onFail: "fence" },
      monitor: { promoted: { interval: "5s", onFail: "demote" }, unpromoted: { interval: "1min", timeout: "15s" } },
    };
    const { operations: found, meta } = configured(stackFile({ operations, stickiness: 0, migrationThreshold: 3 }));
    expect(found).toEqual({
      start: { timeout: "120s" },
      stop: { timeout: "60s", "on-fail": "fence" },
      promote: { timeout: "60s" },
      demote: { timeout: "120s" },
      notify: { timeout: "60s" },
      "monitor Promoted": { interval: "5s", timeout: "10s", "on-fail": "demote" },
      "monitor Unpromoted": { interval: "60s", timeout: "15s" },
    });
    expect(meta).toMatchObject({ "resource-stickiness": "0", "migration-threshold": "3", "failure-timeout": "60s" });
  });

  it("is declared under the agent pgsql too, which looks for longer by default", () => {
    const operations = { monitor: { promoted: { onFail: "fence" }, unpromoted: { interval: "7s" } } };
    const { operations: found } = configured(stackFile({ agent: "pgsql", operations }, pgsql, pgsqlMain));
    expect(found).toMatchObject({
      "monitor Promoted": { interval: "3s", timeout: "30s", "on-fail": "fence" },
      "monitor Unpromoted": { interval: "7s", timeout: "30s" },
    });
  });

  it("is no matter of the PostgreSQL cluster: only Pacemaker's configuration changes by it", () => {
    const of = (failover: Data) => parsed(stackFile(failover)).clusters.map((cluster) => inputsOfCluster(cluster, []));
    expect(of({ operations: { start: { timeout: "90s" } }, stickiness: 5 })).toEqual(of({}));
  });
});

const pacemakers =
  "one of restart, demote, fence, standby, block, stop, ignore. Write one of Pacemaker's words (on-fail).";

describe("refused", () => {
  it.each<[string, Data, string]>([
    [
      "equal intervals of the two roles",
      { operations: { monitor: { promoted: { interval: "60s" }, unpromoted: { interval: "1min" } } } },
      "operations.monitor.promoted.interval: found 60s, and unpromoted has 60s, expected two that differ: Pacemaker tells the two looks apart by their interval alone. Change one of them.",
    ],
    [
      "an interval that is the other role's default",
      { operations: { monitor: { unpromoted: { interval: "3s" } } } },
      "operations.monitor.unpromoted.interval: found 3s, and promoted has 3s by default, expected two that differ: Pacemaker tells the two looks apart by their interval alone. Change one of them.",
    ],
    [
      "no interval at all",
      { operations: { monitor: { promoted: { interval: "0s" } } } },
      "operations.monitor.promoted.interval: found 0s, expected 1s to 60s: so often it is seen whether the member still works. Correct it.",
    ],
    [
      "looks so far apart that Pacemaker has forgotten the failure before",
      { operations: { monitor: { promoted: { interval: "2min" } } } },
      "operations.monitor.promoted.interval: found 2min, expected 1s to 60s: so often it is seen whether the member still works. Correct it.",
    ],
    [
      "a look that ends before the agent has waited for a restart in place",
      { operations: { monitor: { unpromoted: { timeout: "9s" } } } },
      "operations.monitor.unpromoted.timeout: found 9s, expected at least 10s: the agent waits for up to 9 s for a member that is started again in place. Correct it.",
    ],
    [
      "a promotion that ends before the election does",
      { operations: { promote: { timeout: "25s" } } },
      "operations.promote.timeout: found 25s, expected at least 40s: the election asks the other members for up to 25 s. Correct it.",
    ],
    [
      "a limit that is none",
      { operations: { demote: { timeout: "1d" } } },
      "operations.demote.timeout: found 1d, expected at most 3600s: until then nothing else is done for the cluster. Correct it.",
    ],
    [
      "a time that is no duration",
      { operations: { start: { timeout: 60 } } },
      "operations.start.timeout: found 60, expected a duration such as 10min. Write a whole number and s, min, h or d.",
    ],
    [
      "a primary whose failure is ignored",
      { operations: { monitor: { promoted: { onFail: "ignore" } } } },
      "operations.monitor.promoted.onFail: found ignore, expected restart, demote, fence or standby: otherwise nobody takes over from a primary that failed. Write that, or remove the line.",
    ],
    [
      "a standby that would be demoted",
      { operations: { monitor: { unpromoted: { onFail: "demote" } } } },
      "operations.monitor.unpromoted.onFail: found demote, expected restart, fence or standby: otherwise a standby that failed counts as well, or stays down. Write that, or remove the line.",
    ],
    [
      "a stop that counts as done although it failed",
      { operations: { stop: { onFail: "ignore" } } },
      "operations.stop.onFail: found ignore, expected fence or block: an instance that may still run must never count as stopped. Write that, or remove the line.",
    ],
    [
      "a host that is fenced because its promotion was refused",
      { operations: { promote: { onFail: "fence" } } },
      "operations.promote.onFail: found fence, expected restart: a promotion that is refused because a row could be missing counts as failed, and is tried again. Write that, or remove the line.",
    ],
    [
      "a word that Pacemaker does not have",
      { operations: { demote: { onFail: "reboot" } } },
      `operations.demote.onFail: found reboot, expected ${pacemakers}`,
    ],
    [
      "an operation that is not known",
      { operations: { migrate_to: { timeout: "60s" } } },
      "operations.migrate_to: found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
    ],
    [
      "an answer to a notification, for which Pacemaker does not care",
      { operations: { notify: { onFail: "restart" } } },
      "operations.notify.onFail: found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
    ],
    [
      "instances that move for nothing",
      { stickiness: -1 },
      "stickiness: found -1, expected a whole number from 0 to 100000. Correct it.",
    ],
    [
      "a host that is never given up",
      { migrationThreshold: 0 },
      "migrationThreshold: found 0, expected a whole number from 1 to 100. Correct it.",
    ],
  ])("%s", (_, failover, text) => {
    expect(faults(stackFile(failover))[0]).toBe(`pgha:clusters.orders.failover.${text}`);
  });

  it("with all faults at once", () => {
    const operations = { start: { timeout: "1s", onFail: "stop" }, monitor: { promoted: { interval: "4s" } } };
    expect(faults(stackFile({ operations }))).toEqual([
      "pgha:clusters.orders.failover.operations.start.timeout: found 1s, expected at least 30s: a member that recovers would be stopped as one that failed. Correct it.",
      "pgha:clusters.orders.failover.operations.start.onFail: found stop, expected restart: a member that cannot start must cost neither its host nor the cluster. Write that, or remove the line.",
      "pgha:clusters.orders.failover.operations.monitor.promoted.interval: found 4s, and unpromoted has 4s by default, expected two that differ: Pacemaker tells the two looks apart by their interval alone. Change one of them.",
    ]);
  });

  it("fencing after a failure, where nothing can be fenced", () => {
    const operations = { monitor: { promoted: { onFail: "fence" } }, stop: { onFail: "fence" } };
    const found = (key: string) =>
      `pgha:clusters.orders.failover.operations.${key}.onFail: found fence, and no fencing device is declared, expected another answer, or devices under pgha:pacemaker that can switch the host off. Remove the line, or declare them.`;
    expect(faults(stackFile({ operations }, {}, { fencing: { none: sentence } }))).toEqual([
      found("stop"),
      found("monitor.promoted"),
    ]);
  });

  it("under the agent pgsql, a look that ends too soon, and a demotion after which nobody starts the member", () => {
    const operations = { monitor: { promoted: { timeout: "20s", onFail: "demote" } } };
    expect(faults(stackFile({ agent: "pgsql", operations }, pgsql, pgsqlMain))).toEqual([
      "pgha:clusters.orders.failover.operations.monitor.promoted.timeout: found 20s, expected at least 30s: the agent waits for up to 25 s for a member that is started again in place. Correct it.",
      "pgha:clusters.orders.failover.operations.monitor.promoted.onFail: found demote, expected restart, fence or standby: the agent pgsql leaves a member stopped that it demoted. Write that, or remove the line.",
    ]);
  });
});
