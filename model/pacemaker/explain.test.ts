import { describe, expect, it } from "vitest";
import { pacemaker } from "../../test/support/pacemakerView.ts";
import { explainScore, pacemakerProblems, scoreAttribute, unpromotable } from "./explain.ts";
import type { PacemakerNode, ResourceInstance, RunningStatus } from "./status.ts";

function node(name: string, overrides: Partial<PacemakerNode> = {}): PacemakerNode {
  const calm = { standby: false, maintenance: false, pending: false, unclean: false, shutdown: false };
  return { id: Number(name.slice(2)), name, online: true, ...calm, isCoordinator: name === "pg1", ...overrides };
}

function instance(on: string, role: string, overrides: Partial<ResourceInstance> = {}): ResourceInstance {
  const calm = { managed: true, maintenance: false, failed: false, blocked: false, orphaned: false };
  return { id: "pgha-orders", agent: "ocf:heartbeat:pgsqlms", role, nodes: [on], ...calm, ...overrides };
}

const calm: RunningStatus = {
  running: true,
  coordinator: "pg1",
  quorum: true,
  maintenance: false,
  fencingEnabled: true,
  bans: [],
  nodes: [node("pg1"), node("pg2"), node("pg3")],
  resources: [instance("pg1", "Promoted"), instance("pg2", "Unpromoted"), instance("pg3", "Unpromoted")],
  failedActions: [],
  failCounts: [],
  nodeAttributes: {},
  fencing: [],
};

function problems(status: Partial<RunningStatus>): string[] {
  return pacemakerProblems({ ...calm, ...status }, ["pgha-orders"]);
}

it("the promotion score of a resource is a node attribute named after it", () => {
  expect(scoreAttribute("pgha-orders")).toBe("master-pgha-orders");
});

it.each([
  [undefined, "has no promotion score: no primary has seen it yet, and Pacemaker does not promote it"],
  ["1001", "was the primary when it was last looked at"],
  ["1000", "streams from the primary, number 1 in the order of promotion"],
  ["990", "streams from the primary, number 2 in the order of promotion"],
  [
    "1",
    "waits for its turn: it was shut down as the primary before the cluster's first start, or an election found a better member",
  ],
  ["-1", "is being copied or has just begun to stream, and must not be promoted"],
  ["-1000", "does not stream from the primary (or lags by more than maxlag), and must not be promoted"],
  ["-990", "lags behind the primary by more than maxlag, and must not be promoted"],
  ["-INFINITY", "must never be promoted: a score set by hand"],
  ["INFINITY", "is to be promoted before all others: a score set by hand"],
  ["42", "has the promotion score 42, which the agent does not give: set by hand"],
  ["soon", "has the promotion score soon, which is no number: set by hand"],
])("a member with the score %s %s", (score, sentence) => {
  expect(explainScore(score)).toBe(sentence);
});

it("why hosts refuse the promotion is told while nobody is promoted", () => {
  const nodeAttributes = { pg2: { "pgha-orders-refused": "pg3 has WAL up to 0/5000000" }, pg3: { other: "1" } };
  expect(problems({ nodeAttributes })).toEqual([]);
  expect(problems({ nodeAttributes, resources: [instance("pg2", "Unpromoted")] })).toEqual([
    "pg2 is not promoted: pg3 has WAL up to 0/5000000",
  ]);
  expect(problems({ nodeAttributes, resources: [] })).toHaveLength(1);
});

it("standbys that would not be promoted are told with their reason, and the primary is none of them", () => {
  const score = (value: string) => ({ "master-pgha-orders": value });
  const clone = { clone: "pgha-orders-clone" };
  const resources = [
    instance("pg1", "Promoted", clone),
    ...["pg2", "pg3", "pg4"].map((name) => instance(name, "Unpromoted", clone)),
  ];
  const nodeAttributes = { pg1: score("-1"), pg2: score("1000"), pg3: score("-1000") };
  expect(unpromotable({ ...calm, resources, nodeAttributes }, ["pgha-orders"])).toEqual([
    "pg3 does not stream from the primary (or lags by more than maxlag), and must not be promoted",
    "pg4 has no promotion score: no primary has seen it yet, and Pacemaker does not promote it",
  ]);
});

describe("what keeps Pacemaker from doing its work", () => {
  it("is nothing while all nodes are online and nothing has failed", () => {
    expect(problems({})).toEqual([]);
  });

  it("is everything where it does not run", () => {
    const status = { running: false, reason: "Not connected" } as const;
    expect(pacemakerProblems(status, ["pgha-orders"])).toEqual(["Pacemaker does not run here: Not connected"]);
  });

  it("is a coordinator or a quorum that is missing", () => {
    expect(problems({ coordinator: undefined, quorum: false })).toEqual([
      "no node is elected to decide (no DC): nothing is repaired",
    ]);
    expect(problems({ quorum: false })).toEqual([
      "no quorum: fewer than half of the nodes see each other, nothing may run",
    ]);
  });

  it("is maintenance, of the cluster, of a node or of a resource", () => {
    const resources = [instance("pg1", "Promoted", { maintenance: true, managed: false })];
    expect(problems({ maintenance: true, nodes: [node("pg2", { maintenance: true })], resources })).toEqual([
      "the whole cluster is in maintenance: nothing is watched or repaired",
      "pg2 is in maintenance: what runs there is not watched or repaired",
      "pgha-orders on pg1 is in maintenance: it is not watched or repaired",
    ]);
  });

  it("is a node that is not there, or not wholly", () => {
    const nodes = [
      node("pg1", { online: false, unclean: true }),
      node("pg2", { pending: true }),
      node("pg3", { online: false }),
      node("pg4", { standby: true, shutdown: true }),
    ];
    expect(problems({ nodes })).toEqual([
      "pg1 is unclean: it must be fenced before what ran there runs elsewhere",
      "pg2 is joining",
      "pg3 is offline",
      "pg4 is in standby: nothing may run there",
      "pg4 is shutting down",
    ]);
  });

  it("is fencing under way or failed, but not what was done since", () => {
    const fencing = [
      { target: "pg2", action: "reboot", status: "pending" },
      { target: "pg1", action: "reboot", status: "success", completed: "later" },
      { target: "pg3", action: "off", status: "failed", reason: "wrong password", completed: "now" },
      { target: "pg1", action: "reboot", status: "failed", completed: "earlier" },
    ] as const;
    expect(problems({ fencing })).toEqual([
      "fencing of pg2 (reboot) is under way",
      "fencing of pg3 (off) failed: wrong password",
    ]);
  });

  it("is a failed, blocked, unmanaged or unsettled instance of ours, not one of somebody else's", () => {
    const resources = [
      instance("pg1", "Promoted", { failed: true, blocked: true, managed: false }),
      instance("pg2", "Unpromoted", { failed: true }),
      instance("pg3", "Unpromoted", { managed: false, pending: "Monitoring" }),
      instance("pg4", "Promoting"),
      instance("pg3", "Started", { id: "web", failed: true }),
    ];
    expect(problems({ resources })).toEqual([
      "pgha-orders on pg1 is blocked: Pacemaker knows no way on by itself (usually a stop that failed, without fencing)",
      "pgha-orders on pg2 has failed",
      "pgha-orders on pg3 is not managed: Pacemaker does nothing with it",
      "pgha-orders on pg4: promoting",
    ]);
  });

  it("is an action that failed, with the agent's reason, and how often before it may not run there any more", () => {
    const failed = { node: "pg1", exitCode: 7, exitStatus: "Not running", reason: "", status: "Done" };
    const failedActions = [
      { ...failed, operation: "pgha-orders_monitor_3000" },
      {
        ...failed,
        operation: "pgha-orders_promote_0",
        exitStatus: "Error occurred",
        reason: "pg2 is ahead",
        status: "Timed Out",
      },
      { ...failed, operation: "web_monitor_10000" },
    ];
    const failCounts = [
      { resource: "pgha-orders", node: "pg1", count: 1, threshold: 5 },
      { resource: "pgha-orders", node: "pg2", count: 1_000_000, threshold: 5 },
      { resource: "pgha-orders", node: "pg3", count: 5, threshold: 5 },
      { resource: "pgha-orders", node: "pg4", count: 1, threshold: 1_000_000 },
      { resource: "web", node: "pg2", count: 1, threshold: 5 },
    ];
    expect(problems({ failedActions, failCounts })).toEqual([
      "pgha-orders_monitor_3000 failed on pg1: Not running",
      "pgha-orders_promote_0 failed on pg1: Error occurred, Timed Out: pg2 is ahead",
      "pgha-orders failed 1 time on pg1; at 5 it may not run there any more",
      "pgha-orders may not run on pg2: it could not be started or stopped there; once the cause is gone, `crm_resource --cleanup --resource pgha-orders --node pg2` has it tried again at once",
      "pgha-orders may not run on pg3: it failed 5 times, 5 is the limit; once the cause is gone, `crm_resource --cleanup --resource pgha-orders --node pg3` has it tried again at once",
      "pgha-orders failed 1 time on pg4",
    ]);
  });
});

it("where it may not run or be promoted by a ban is a problem, and of other resources it is none", () => {
  const ban = { node: "pg3", score: -1_000_000, promotedOnly: false };
  const bans = [
    { ...ban, id: "cli-ban-1", resource: "pgha-orders-clone" },
    { ...ban, id: "cli-ban-2", resource: "pgha-orders-clone", node: "pg2", promotedOnly: true },
    { ...ban, id: "cli-ban-3", resource: "mail" },
    { ...ban, id: "rather-not", resource: "pgha-orders-clone", score: -5 },
  ];
  expect(pacemakerProblems(pacemaker({ bans }), ["pgha-orders"])).toEqual([
    "pgha-orders-clone may not run on pg3 (constraint cli-ban-1)",
    "pgha-orders-clone may not be promoted on pg2 (constraint cli-ban-2)",
  ]);
});
