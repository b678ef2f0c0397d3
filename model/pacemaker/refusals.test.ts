import { describe, expect, it } from "vitest";
import { faultText } from "../fault.ts";
import type { DeclaredPacemaker } from "./clusterState.ts";
import { refusedChanges } from "./refusals.ts";

const declared: DeclaredPacemaker = {
  cluster: "main",
  nodes: { pg1: { id: 1, addresses: ["192.0.2.11"] }, pg2: { id: 2, addresses: ["192.0.2.12"] } },
  detection: "normal",
  corosyncConf: {},
  properties: {},
  resources: {},
  groups: {},
  clones: { "pgha-orders-clone": { resource: "pgha-orders", meta: {} } },
  constraints: {},
  fencing: {},
  fencingLevels: {},
};

function refused(changes: Partial<DeclaredPacemaker>): string[] {
  return refusedChanges({ ...declared, ...changes }, declared, "key").map(faultText);
}

it("hosts, clusters, detection and fencing may come and change", () => {
  expect(refused({ corosyncKey: "key", detection: "fast", properties: { a: "b" } })).toEqual([]);
  expect(refused({ nodes: { ...declared.nodes, pg3: { id: 3, addresses: ["192.0.2.13"] } } })).toEqual([]);
  expect(refused({ nodes: { pg1: { id: 1, addresses: ["192.0.2.11"] } } })).toEqual([]);
  expect(refused({ clones: { ...declared.clones, "pgha-stock-clone": { resource: "pgha-stock", meta: {} } } })).toEqual(
    [],
  );
});

it("a cluster that leaves, other addresses and another key are refused, all at once and without the key", () => {
  const nodes = { ...declared.nodes, pg1: { id: 1, addresses: ["192.0.2.11", "198.51.100.11"] } };
  expect(refused({ clones: {}, nodes, corosyncKey: "hunter2" })).toEqual([
    "pgha:pacemaker.main: found pgha-orders-clone, which is no longer declared while other clusters stay, expected the same clusters under it: that one of several leaves is not available in this version. Declare it as it was, or take the whole entry main away.",
    "pgha:pacemaker.main.rings: found 192.0.2.11, 198.51.100.11 for pg1 (it was 192.0.2.11), expected no change of rings or their addresses: Corosync takes it only with a restart, which this version does not do. Write the old rings and addresses.",
    "pgha:corosyncKey: found another key than the one that Corosync runs with, expected no change: the nodes would no longer hear each other. Set the old key, or remove it: the one in the state is kept.",
  ]);
});

describe("hosts that leave at once", () => {
  const nodes = (count: number) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [
        `pg${index + 1}`,
        { id: index + 1, addresses: [`192.0.2.1${index + 1}`] },
      ]),
    );
  const leaving = (from: number, to: number) =>
    refusedChanges({ ...declared, nodes: nodes(to) }, { ...declared, nodes: nodes(from) }, "key").map(faultText);

  it("are refused where those that stay would have no quorum while they go", () => {
    expect(leaving(4, 2)).toEqual([
      "pgha:pacemaker.main: found 2 of 4 hosts (pg3, pg4 would leave at once), expected more than half of the present ones: the others would lose quorum, and Pacemaker would stop PostgreSQL there. Take them out one after the other, with an `up` for each.",
    ]);
    expect([leaving(3, 1), leaving(5, 2), leaving(6, 3)].map(({ length }) => length)).toEqual([1, 1, 1]);
  });

  it("may leave where a majority stays, and one alone always", () => {
    expect([leaving(5, 3), leaving(7, 4), leaving(4, 3), leaving(3, 2), leaving(2, 1)]).toEqual([[], [], [], [], []]);
  });
});
