import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, systemIdentifier, unreachable } from "../test/support/observations.ts";
import { faultText } from "./fault.ts";
import type { DirectoryKind, Marker, MemberObservation, WalDirectory } from "./observation.ts";
import { refusalToInitialise, strangeData, unerasable } from "./ownership.ts";

const directoryOf = (member: string) => `/var/lib/postgresql/17/orders-${member}`;
const members = Object.fromEntries(["pg1", "pg2", "pg3"].map((name) => [name, { dataDirectory: directoryOf(name) }]));

function marked(member: string, state: Marker["state"], overrides: Partial<Marker> = {}): { marker: Marker } {
  return { marker: { cluster: "orders", member, state, dataDirectory: directoryOf(member), ...overrides } };
}

function wal(kind: DirectoryKind, overrides: Partial<WalDirectory> = {}): { walDirectory: WalDirectory } {
  return { walDirectory: { directory: "/wal/pg2", path: "/wal/pg2", pgWal: "/wal/pg2", kind, ...overrides } };
}

const dataFault = "pgha:clusters.orders.members.pg2.dataDirectory: ";
const walFault = "pgha:clusters.orders.members.pg2.walDirectory: ";

describe("data that must not be written over", () => {
  const strange = (...observations: MemberObservation[]) =>
    strangeData("orders", members, observations, "pg1").map(faultText);

  it("is not what is ours, begun by us, or nothing", () => {
    expect(
      strange(
        primary("pg1"),
        stopped("pg2", { local: { ...marked("pg2", "cloning", { token: "t1" }), dataToken: "t1" } }),
        empty("pg3", { dataDirectory: "empty" }),
      ),
    ).toEqual([]);
    expect(strange(empty("pg1"), empty("pg2", marked("pg2", "erasing")), unreachable("pg3"))).toEqual([]);
    expect(
      strange(
        primary("pg1"),
        empty("pg2", {
          dataDirectory: "foreign",
          dataToken: "t1",
          ...marked("pg2", "cloning", { token: "t1" }),
          ...wal("foreign", { token: "t1" }),
        }),
      ),
    ).toEqual([]);
  });

  it("is not a member's own that is lost: the others go on without it, unless it is the primary", () => {
    const lost = empty("pg2", { dataDirectory: "empty", ...marked("pg2", "ready", { systemIdentifier }) });
    expect(strange(primary("pg1"), lost)).toEqual([]);
    expect(strangeData("orders", members, [lost], "pg2").map(faultText)).toEqual([
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 is empty, though the member is marked ready, expected its data (system 7000000000000000001). Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json there, and \`pulumi up\` clones it anew.`,
    ]);
  });

  it.each<[string, MemberObservation, string]>([
    [
      "a database of somebody",
      stopped("pg2", { local: { marker: undefined } }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds a database that pgha did not make, expected a missing or empty directory; what is there is never overwritten. Choose another directory, or move away what is there.`,
    ],
    [
      "files of somebody",
      empty("pg2", { dataDirectory: "foreign" }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds files that pgha did not make, expected a missing or empty directory; what is there is never overwritten. Choose another directory, or move away what is there.`,
    ],
    [
      "files of somebody in the directory for WAL",
      empty("pg2", wal("foreign")),
      `${walFault}found /wal/pg2 holds files that pgha did not make, expected a missing or empty directory; what is there is never overwritten. Choose another directory, or move away what is there.`,
    ],
    [
      "a directory that is not the member's",
      stopped("pg2", { local: marked("pg2", "ready", { dataDirectory: "/srv/old" }) }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2, but the member's data was made in /srv/old, expected the directory where its data lies. Write dataDirectory: /srv/old.`,
    ],
    [
      "a database that was mounted where a clone was begun",
      stopped("pg2", { local: marked("pg2", "cloning", { token: "t1" }) }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds a database without pgha's token, though a clone was begun there, expected an empty directory, or what that clone left; what is there is never removed. Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.`,
    ],
    [
      "what another beginning left, where an erasure did not end",
      empty("pg2", { dataDirectory: "foreign", dataToken: "t0", ...marked("pg2", "erasing", { token: "t1" }) }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds files without pgha's token, though an erasure was begun there, expected an empty directory, or what that erasure left; what is there is never removed. Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.`,
    ],
    [
      "what nobody can tell, where a creation was begun without a token",
      stopped("pg2", { local: marked("pg2", "creating") }),
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds a database without pgha's token, though a creation was begun there, expected an empty directory, or what that creation left; what is there is never removed. Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.`,
    ],
    [
      "files mounted where a clone has its WAL",
      stopped("pg2", {
        local: { dataToken: "t1", ...marked("pg2", "cloning", { token: "t1" }), ...wal("foreign", { token: "t2" }) },
      }),
      `${walFault}found /wal/pg2 holds files without pgha's token, though a clone was begun there, expected an empty directory, or what that clone left; what is there is never removed. Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.`,
    ],
  ])("is %s", (_, observation, text) => {
    expect(strange(primary("pg1"), observation)).toEqual([text]);
  });

  it("is told of both directories of a member at once", () => {
    expect(strange(empty("pg2", { dataDirectory: "foreign", ...wal("foreign") }))).toHaveLength(2);
  });
});

describe("data that must not be erased", () => {
  const refused = (recorded: string | undefined, ...observations: MemberObservation[]) =>
    unerasable("orders", members, observations, recorded).map(faultText);
  const other = "7000000000000000009";
  const text = (found: string, expected: string) =>
    `pgha:clusters.orders.members.pg2.dataDirectory: found the database with system identifier ${found}, expected ${expected}, the cluster's own; what belongs to others is never erased. Take the member out of members:, or write onDestroy: keep, and run \`pulumi up\` first.`;

  it("is not the cluster's own, running or not, nor what was begun", () => {
    expect(refused(systemIdentifier, primary("pg1"), stopped("pg2"), empty("pg3"))).toEqual([]);
    expect(refused(undefined, primary("pg1"), standby("pg2", "pg1"))).toEqual([]);
    expect(
      refused(
        systemIdentifier,
        stopped("pg2", {
          local: { ...marked("pg2", "cloning", { token: "t1" }), dataToken: "t1" },
          control: { systemIdentifier: other },
        }),
      ),
    ).toEqual([]);
  });

  it("is that of another database, by its data or by its marker", () => {
    expect(refused(systemIdentifier, stopped("pg2", { control: { systemIdentifier: other } }))).toEqual([
      text(other, systemIdentifier),
    ]);
    expect(refused(systemIdentifier, standby("pg2", "pg1", { postgres: { systemIdentifier: other } }))).toEqual([
      text(other, systemIdentifier),
    ]);
    const local = marked("pg2", "ready", { systemIdentifier: other });
    expect(refused(systemIdentifier, stopped("pg2", { local }))).toEqual([text(other, systemIdentifier)]);
  });

  it("is what differs from its own marker, when nothing was recorded", () => {
    expect(refused(undefined, stopped("pg2", { control: { systemIdentifier: other } }))).toEqual([
      text(other, systemIdentifier),
    ]);
  });

  it("is what must not be written over", () => {
    expect(refused(systemIdentifier, stopped("pg2", { local: { marker: undefined } }))).toHaveLength(1);
  });

  it("is what is not there now: its volume would be found with a database that nobody knows of", () => {
    const ready = marked("pg2", "ready", { systemIdentifier });
    expect(refused(systemIdentifier, empty("pg2", { dataDirectory: "foreign", ...ready }))).toEqual([
      `${dataFault}found /var/lib/postgresql/17/orders-pg2 holds files of somebody else, though the member is marked ready, expected its data (system 7000000000000000001). Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json there, and \`pulumi up\` clones it anew.`,
    ]);
    expect(refused(systemIdentifier, stopped("pg2", { local: wal("missing") }))).toEqual([
      `${walFault}found /wal/pg2 is missing, though the member is marked ready, expected its data (system 7000000000000000001). Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json and what /var/lib/postgresql/17/orders-pg2 holds there, and \`pulumi up\` clones it anew.`,
    ]);
  });
});

describe("a new database on pg1", () => {
  it("may be made where every member was reached and nothing is there, or only our own beginning", () => {
    expect(refusalToInitialise("pg1", [empty("pg1"), empty("pg2"), empty("pg3")])).toBeUndefined();
    expect(
      refusalToInitialise("pg1", [stopped("pg1", { local: marked("pg1", "creating") }), empty("pg2")]),
    ).toBeUndefined();
    expect(
      refusalToInitialise("pg1", [empty("pg1"), stopped("pg2", { local: marked("pg2", "cloning") })]),
    ).toBeUndefined();
  });

  it.each<[string, MemberObservation[], string]>([
    [
      "a member was not reached",
      [empty("pg1"), unreachable("pg2")],
      "pg2 cannot be reached, and may hold the data (no answer within 8 s)",
    ],
    [
      "a member is marked ready",
      [empty("pg1"), empty("pg2", marked("pg2", "ready"))],
      "pg2 is marked ready: there is, or was, a database",
    ],
    [
      "its own data is marked ready",
      [empty("pg1", marked("pg1", "ready"))],
      "pg1 is marked ready: there is, or was, a database",
    ],
    [
      "its directory holds a database of somebody",
      [stopped("pg1", { local: { marker: undefined } })],
      "pg1 holds something, marked by nobody",
    ],
    [
      "the directory of another member holds a database of somebody",
      [empty("pg1"), stopped("pg2", { local: { marker: undefined } })],
      "pg2 holds a database, marked by nobody",
    ],
    [
      "its directory holds a clone",
      [stopped("pg1", { local: marked("pg1", "cloning") })],
      "pg1 holds something, marked cloning",
    ],
  ])("is refused when %s", (_, observations, reason) => {
    expect(refusalToInitialise("pg1", observations)).toBe(reason);
  });
});
