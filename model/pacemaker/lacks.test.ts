import { expect, it } from "vitest";
import { lacksOf } from "./lacks.ts";
import type { ResourceInstance, RunningStatus } from "./status.ts";

const wanted = {
  clones: { "pgha-orders-clone": { resource: "pgha-orders", meta: { "clone-max": "3" } } },
  groups: { "pgha-orders-addresses": { members: ["pgha-orders-primary-ip"], meta: {} } },
  fencing: {},
};

function instance(id: string, role: string, ...nodes: string[]): ResourceInstance {
  return {
    id,
    agent: "",
    role,
    nodes,
    managed: true,
    maintenance: false,
    failed: false,
    blocked: false,
    orphaned: false,
  };
}

function status(resources: ResourceInstance[], failedActions: RunningStatus["failedActions"] = []): RunningStatus {
  return {
    running: true,
    coordinator: "pg1",
    quorum: true,
    maintenance: false,
    fencingEnabled: false,
    nodes: [],
    resources,
    failedActions,
    failCounts: [],
    nodeAttributes: {},
    bans: [],
    fencing: [],
  };
}

const all = [
  instance("pgha-orders", "Promoted", "pg1"),
  instance("pgha-orders", "Unpromoted", "pg2"),
  instance("pgha-orders", "Unpromoted", "pg3"),
  instance("pgha-orders-primary-ip", "Started", "pg1"),
];

it("nothing is lacking where one is promoted, the others follow, and the addresses are there", () => {
  expect(lacksOf(wanted, status(all))).toEqual([]);
});

it("a failed action, and what does not run because of it, is told with the agent's reason", () => {
  const failed = {
    operation: "pgha-orders_monitor_0",
    node: "pg1",
    exitCode: 6,
    exitStatus: "not configured",
    reason: "no psql",
    status: "complete",
  };
  const resources = [instance("pgha-orders", "Unpromoted", "pg2"), instance("pgha-orders-primary-ip", "Stopped")];
  expect(lacksOf(wanted, status(resources, [failed, { ...failed, operation: "web_start_0" }]))).toEqual([
    "pgha-orders-clone: nobody is promoted, expected one",
    "pgha-orders-clone: 1 of 3 instances run",
    "pgha-orders-primary-ip does not run",
    "pgha-orders_monitor_0 on pg1: not configured: no psql",
  ]);
});
