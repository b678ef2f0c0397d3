import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { groupInputs, memberInputs } from "../test/support/shapes.ts";
import type { PostgresFacts } from "./observation.ts";
import { refusedChanges } from "./refusals.ts";

const declared = groupInputs(["pg1"]);
const pg1 = memberInputs("pg1");

const running: PostgresFacts["settings"] = {
  max_connections: { setting: "100", unit: null, vartype: "integer" },
  shared_buffers: { setting: "16384", unit: "8kB", vartype: "integer" },
  work_mem: { setting: "4096", unit: "kB", vartype: "integer" },
};

const runningPrimary = primary("pg1", { postgres: { settings: running } });

describe("changes that a cluster which exists cannot take", () => {
  it("refuses nothing when nothing changed", () => {
    expect(refusedChanges(declared, declared, [runningPrimary])).toEqual([]);
  });

  it("refuses another major version and another segment size, both at once", () => {
    expect(
      refusedChanges({ ...declared, postgresVersion: 18, walSegmentSize: "1MB" }, declared, [runningPrimary]),
    ).toEqual([
      {
        path: ["pgha:clusters", "orders", "postgresVersion"],
        found: "18 (it was 17)",
        expected: "no change: it is decided at creation",
        remedy: "Write the old value, or make a new cluster.",
      },
      {
        path: ["pgha:clusters", "orders", "walSegmentSize"],
        found: "1MB (it was 16MB)",
        expected: "no change: it is decided at creation",
        remedy: "Write the old value, or make a new cluster.",
      },
    ]);
  });

  it("refuses a first virtual IP, and to do without one, where PostgreSQL runs: it would not listen there", () => {
    const first = { ...declared, virtualIps: { primary: { address: "198.51.100.50", prefix: 24 } } };
    const second = {
      ...first,
      virtualIps: { ...first.virtualIps, replication: { address: "203.0.113.50", prefix: 24 } },
    };
    expect(refusedChanges(first, declared, [runningPrimary])).toEqual([
      {
        path: ["pgha:clusters", "orders", "virtualIps"],
        found: "the first one, on a running cluster",
        expected:
          "no change between none and some: it changes listen_addresses, which takes effect only after a restart",
        remedy: "Write them as they were. Virtual IPs are declared when the cluster is created.",
      },
    ]);
    expect(refusedChanges(declared, first, [runningPrimary])).toMatchObject([
      { found: "none any more, on a running cluster" },
    ]);
    expect(refusedChanges(second, first, [runningPrimary])).toEqual([]);
    expect(refusedChanges(first, declared, [stopped("pg1")])).toEqual([]);
  });

  it("refuses to move a member, in every way in which it could be moved", () => {
    const moved = { ...pg1, host: "pg9", port: 5433, dataDirectory: "/srv/orders", walDirectory: "/wal/orders" };
    const faults = refusedChanges({ ...declared, members: { pg1: moved } }, declared, [runningPrimary]);
    expect(faults.map(({ path, found }) => [path.join("."), found])).toEqual([
      ["pgha:clusters.orders.members.pg1.host", "pg9 (it was pg1)"],
      ["pgha:clusters.orders.members.pg1.port", "5433 (it was 5432)"],
      ["pgha:clusters.orders.members.pg1.dataDirectory", "/srv/orders (it was /var/lib/postgresql/17/orders-pg1)"],
      ["pgha:clusters.orders.members.pg1.walDirectory", "/wal/orders (it was nothing)"],
    ]);
    expect(faults[0]?.remedy).toBe("Write the old value, or add a member of another name.");
  });

  it("refuses a new name for a member that stays where it is", () => {
    expect(refusedChanges({ ...declared, members: { first: pg1 } }, declared, [runningPrimary])).toEqual([
      {
        path: ["pgha:clusters", "orders", "members", "first"],
        found: "first in the place of pg1 (host pg1, port 5432, /var/lib/postgresql/17/orders-pg1), and pg1 gone",
        expected: "pg1: a member is not renamed, its service, slots and data bear its name",
        remedy:
          "Write pg1 again. To replace it: first take pg1 out of members: and run `pulumi up`, then on pg1 `systemctl disable --now pgha-orders-pg1.service` and remove /var/lib/postgresql/17/orders-pg1 and /var/lib/pgha/orders/pg1/marker.json, then add first.",
      },
    ]);
  });

  it("takes a new member, one that goes, another candidate: and another address", () => {
    const members = {
      pg1: { ...pg1, candidate: false, serviceAddress: "198.51.100.21", replicationAddress: "203.0.113.21" },
      pg2: { ...pg1, host: "pg2", dataDirectory: "/var/lib/postgresql/17/orders-pg2" },
    };
    expect(refusedChanges({ ...declared, members }, declared, [runningPrimary])).toEqual([]);
    expect(refusedChanges(declared, { ...declared, members }, [runningPrimary])).toEqual([]);
  });
});

describe("parameters that need a restart", () => {
  it("are refused when PostgreSQL runs with another value, which is named as people write it", () => {
    const parameters = { max_connections: "200", shared_buffers: "256MB" };
    expect(refusedChanges({ ...declared, parameters }, declared, [runningPrimary])).toEqual([
      {
        path: ["pgha:clusters", "orders", "parameters", "max_connections"],
        found: "200 (running with 100)",
        expected:
          "no change on a running cluster: it takes effect only after a restart, which this version does not do",
        remedy: "Write the old value.",
      },
      {
        path: ["pgha:clusters", "orders", "parameters", "shared_buffers"],
        found: "256MB (running with 128MB)",
        expected:
          "no change on a running cluster: it takes effect only after a restart, which this version does not do",
        remedy: "Write the old value.",
      },
    ]);
  });

  it("are taken when they mean what is running, in whatever unit", () => {
    const parameters = { max_connections: "100", shared_buffers: "128MB" };
    expect(refusedChanges({ ...declared, parameters }, declared, [runningPrimary])).toEqual([]);
  });

  it("are taken when nothing runs: they have effect at the start", () => {
    const parameters = { max_connections: "200" };
    expect(refusedChanges({ ...declared, parameters }, undefined, [empty("pg1")])).toEqual([]);
    expect(refusedChanges({ ...declared, parameters }, declared, [stopped("pg1"), unreachable("pg2")])).toEqual([]);
  });

  it("are refused when only a standby runs with another value", () => {
    const parameters = { max_connections: "100" };
    const behind = standby("pg2", "pg1", {
      postgres: { settings: { max_connections: { setting: "90", unit: null, vartype: "integer" } } },
    });
    const faults = refusedChanges({ ...declared, parameters }, declared, [runningPrimary, behind]);
    expect(faults.map(({ found }) => found)).toEqual(["100 (running with 90)"]);
  });

  it("are refused when their line is removed: what then holds would need a restart too", () => {
    const olds = { ...declared, parameters: { max_connections: "100", work_mem: "4MB" } };
    const faults = refusedChanges(declared, olds, [runningPrimary]);
    expect(faults.map(({ path, found }) => [path.at(-1), found])).toEqual([
      ["max_connections", "nothing (its line was removed)"],
    ]);
  });

  it("those that a reload brings into effect are taken", () => {
    expect(refusedChanges({ ...declared, parameters: { work_mem: "1GB" } }, declared, [runningPrimary])).toEqual([]);
  });
});
