import { describe, expect, it } from "vitest";
import { faultText } from "./fault.ts";
import { type Place, renamingFaults } from "./renames.ts";

function place(member: string, changes: Partial<Place> = {}): Place {
  return {
    cluster: "orders",
    member,
    host: member,
    address: `198.51.100.1${member.slice(-1)}`,
    port: 5432,
    dataDirectory: `/var/lib/postgresql/17/orders-${member}`,
    ...changes,
  };
}

const three = [place("pg1"), place("pg2"), place("pg3")];

function faults(before: readonly Place[], now: readonly Place[]): string[] {
  return renamingFaults(before, now).map(faultText);
}

describe("no renaming", () => {
  it.each<[string, readonly Place[], readonly Place[]]>([
    ["nothing changed", three, three],
    ["a member is added", three.slice(0, 2), three],
    ["a member is taken out", three, three.slice(0, 2)],
    ["one is taken out and another added elsewhere", three, [...three.slice(0, 2), place("pg4")]],
    [
      "one is added beside the one that is taken out, on the same host",
      three,
      [...three.slice(0, 2), place("new", { host: "pg3", port: 5433 })],
    ],
    ["a cluster is added beside another", three, [...three, place("pg1", { cluster: "sales", port: 5433 })]],
    ["the first declaration", [], three],
  ])("%s", (_, before, now) => {
    expect(faults(before, now)).toEqual([]);
  });
});

describe("a member renamed", () => {
  const remedy =
    "Write pg1 again. To replace it: first take pg1 out of members: and run `pulumi up`, then on pg1 `systemctl disable --now pgha-orders-pg1.service` and remove /var/lib/postgresql/17/orders-pg1 and /var/lib/pgha/orders/pg1/marker.json, then add first.";
  const expected = "pg1: a member is not renamed, its service, slots and data bear its name";

  it("is known by its host and port", () => {
    expect(faults(three, [place("first", { host: "pg1", address: "198.51.100.11" }), ...three.slice(1)])).toEqual([
      `pgha:clusters.orders.members.first: found first in the place of pg1 (host pg1, port 5432), and pg1 gone, expected ${expected}. ${remedy}`,
    ]);
  });

  it("is known by its data, also on another port", () => {
    const first = place("first", { host: "pg1", port: 5433, dataDirectory: "/var/lib/postgresql/17/orders-pg1" });
    expect(faults(three, [first, ...three.slice(1)])).toEqual([
      `pgha:clusters.orders.members.first: found first in the place of pg1 (host pg1, /var/lib/postgresql/17/orders-pg1), and pg1 gone, expected ${expected}. ${remedy}`,
    ]);
  });

  it("is known by a directory inside the other's", () => {
    const before = [place("pg1", { walDirectory: "/srv/wal" })];
    const now = [place("first", { host: "pg1", port: 5433, dataDirectory: "/srv/wal/first" })];
    expect(renamingFaults(before, now).map(({ found }) => found)).toEqual([
      "first in the place of pg1 (host pg1, /srv/wal/first), and pg1 gone",
    ]);
  });

  it("is known by the host's address, when the host got the new name too", () => {
    const first = place("db1", { address: "198.51.100.11" });
    expect(renamingFaults(three, [first, ...three.slice(1)]).map(({ found }) => found)).toEqual([
      "db1 in the place of pg1 (host db1, port 5432), and pg1 gone",
    ]);
  });

  it("all of them are told at once", () => {
    const now = three.map(({ member }) => place(`${member}-new`, { host: member }));
    expect(renamingFaults(three, now).map(({ path }) => path.join("."))).toEqual([
      "pgha:clusters.orders.members.pg1-new",
      "pgha:clusters.orders.members.pg2-new",
      "pgha:clusters.orders.members.pg3-new",
    ]);
  });
});

describe("a cluster renamed", () => {
  it("is one fault, with every place that it would take", () => {
    const now = three.map((old) => ({
      ...old,
      cluster: "sales",
      dataDirectory: `/var/lib/postgresql/17/sales-${old.member}`,
    }));
    expect(faults(three, now)).toEqual([
      "pgha:clusters.sales: found sales in the place of orders: pg1 (host pg1, port 5432), pg2 (host pg2, port 5432), pg3 (host pg3, port 5432), and orders without it, expected orders: a cluster is not renamed, its services, slots and data bear its name. Write orders again. To make a new cluster instead: give it ports and directories of its own, or first take orders away with `pulumi up` (its onDestroy decides about its data).",
    ]);
  });

  it("is also one that takes but a single place of another", () => {
    const now = [...three.slice(0, 2), place("pg3", { cluster: "sales" })];
    expect(renamingFaults(three, now).map(({ path, found }) => [path.join("."), found])).toEqual([
      [
        "pgha:clusters.sales",
        "sales in the place of orders: pg3 (host pg3, port 5432, /var/lib/postgresql/17/orders-pg3), and orders without it",
      ],
    ]);
  });
});
