import { describe, expect, it } from "vitest";
import { type DeclaredPacemaker, diffPacemaker, type PacemakerState } from "./clusterState.ts";

const declared: DeclaredPacemaker = {
  cluster: "main",
  nodes: { pg1: { id: 1, addresses: ["192.0.2.11"] }, pg2: { id: 2, addresses: ["192.0.2.12"] } },
  detection: "normal",
  corosyncConf: { pg1: "token: 3000", pg2: "token: 3000" },
  properties: { "stonith-enabled": "false" },
  resources: {
    "pgha-orders": {
      agent: "ocf:heartbeat:pgsqlms",
      parameters: { pgport: "5432" },
      operations: { promote: { timeout: "60s" }, "monitor Promoted": { interval: "3s" } },
      meta: {},
    },
  },
  groups: {},
  clones: { "pgha-orders-clone": { resource: "pgha-orders", meta: { "clone-max": "3" } } },
  constraints: { "pgha-orders-not-on-pg4": { type: "location", node: "pg4" } },
  fencing: {},
  fencingLevels: {},
};
const state: PacemakerState = { ...declared, corosyncKey: "key" };

/** "path kind" of every change. */
function changes(
  news: Partial<DeclaredPacemaker>,
  seen: Partial<PacemakerState> = {},
  olds: DeclaredPacemaker | undefined = declared,
): string[] {
  const found = diffPacemaker({ ...declared, ...news }, olds, { ...state, ...seen });
  return Object.entries(found).map(([path, { kind }]) => `${path} ${kind}`);
}

it("nothing changes where all is as declared, whatever could not be looked at", () => {
  expect(changes({})).toEqual([]);
  expect(changes({}, { unreachable: { pg2: "no answer" }, inMaintenance: ["pgha-orders-clone"] })).toEqual([]);
});

describe("what was changed by hand is named by resource, operation and parameter", () => {
  it("another value, one more, and one that is gone", () => {
    const live = {
      ...declared.resources["pgha-orders"],
      agent: "ocf:heartbeat:pgsqlms",
      parameters: { pgport: "5433", maxlag: "1" },
      operations: { "monitor Promoted": { interval: "30s" } },
      meta: {},
    };
    expect(changes({}, { resources: { "pgha-orders": live } })).toEqual([
      "resources.pgha-orders.parameters.pgport update",
      "resources.pgha-orders.parameters.maxlag delete",
      "resources.pgha-orders.operations.monitor Promoted.interval update",
      "resources.pgha-orders.operations.promote add",
    ]);
  });

  it("a constraint of somebody's, a clone that is gone, a property", () => {
    const ban = { type: "location", rsc: "pgha-orders-clone" };
    expect(
      changes(
        {},
        {
          constraints: { ...declared.constraints, "cli-ban-pgha-orders-clone-on-pg2": ban },
          clones: {},
          properties: { "stonith-enabled": "true" },
        },
      ),
    ).toEqual([
      "properties.stonith-enabled update",
      "clones.pgha-orders-clone add",
      "constraints.cli-ban-pgha-orders-clone-on-pg2 delete",
    ]);
  });

  it("corosync.conf of one host, or its absence, and what is not well on another", () => {
    expect(
      changes(
        {},
        {
          corosyncConf: { pg1: "token: 5000", pg2: "" },
          unhealthy: { pg2: "pacemaker stopped", pg9: "left long ago" },
        },
      ),
    ).toEqual(["corosyncConf.pg1 update", "corosyncConf.pg2 update", "unhealthy.pg2 delete"]);
  });
});

describe("what is declared anew", () => {
  const conf = { pg1: "token: 1000", pg2: "token: 1000" };

  it("shows by its own word, and not again by the file that follows from it", () => {
    expect(changes({ detection: "fast", corosyncConf: conf })).toEqual(["detection update"]);
  });

  it("but a file that somebody had edited besides is told", () => {
    const seen = { corosyncConf: { pg1: "token: 3000", pg2: "by hand" } };
    expect(changes({ detection: "fast", corosyncConf: conf }, seen)).toEqual([
      "detection update",
      "corosyncConf.pg2 update",
    ]);
  });

  it("a host that comes", () => {
    const nodes = { ...declared.nodes, pg3: { id: 3, addresses: ["192.0.2.13"] } };
    expect(changes({ nodes, corosyncConf: { ...declared.corosyncConf, pg3: "token: 3000" } })).toEqual([
      "nodes.pg3 add",
    ]);
  });

  it("a new key or secret is shown without any of it", () => {
    expect(changes({ corosyncKey: "another" })).toEqual(["corosyncKey update"]);
    expect(changes({ corosyncKey: "key", fencingSecrets: { board: "hunter2" } })).toEqual(["fencingSecrets update"]);
  });
});
