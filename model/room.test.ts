import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import type { Marker } from "./observation.ts";
import { awaitingData, type Room, roomFaults } from "./room.ts";

const MB = 1024 * 1024;

function marked(state: Marker["state"]): { marker: Marker } {
  return { marker: { cluster: "orders", member: "pg2", state, dataDirectory: "/srv/pg2" } };
}

describe("a member waits for data", () => {
  it("when it has none, or what it has was not finished, whatever lies there", () => {
    const names = (...observations: Parameters<typeof awaitingData>[0]) =>
      awaitingData(observations).map(({ member }) => member);
    expect(names(primary("pg1"), empty("pg2"), stopped("pg3", { local: marked("cloning") }))).toEqual(["pg2", "pg3"]);
    expect(names(primary("pg1"), stopped("pg2", { local: marked("erasing") }), unreachable("pg3"))).toEqual(["pg2"]);
  });

  it("not when its own is there, or is only not mounted", () => {
    expect(
      awaitingData([
        primary("pg1"),
        standby("pg2", "pg1"),
        empty("pg3", { dataDirectory: "empty", ...marked("ready") }),
      ]),
    ).toEqual([]);
  });
});

describe("room for a clone", () => {
  const room = (freeBytes: number, overrides: Partial<Room> = {}): Room => ({
    freeBytes,
    heldBytes: 0,
    fileSystem: "8:1",
    ...overrides,
  });
  const size = { data: 900 * MB, wal: 100 * MB };
  const faults = (data: Room, wal?: Room) => roomFaults("orders", [{ member: "pg2", host: "db2", data, wal }], size);
  const fault = (directory: string, found: string, expected: string) => ({
    path: ["pgha:clusters", "orders", "members", "pg2", directory],
    found,
    expected,
    remedy: "Make room there, or choose a directory on a larger volume.",
  });

  it("is a tenth more than the database: exactly so much is enough", () => {
    expect(faults(room(1100 * MB))).toEqual([]);
    expect(faults(room(1100 * MB - 1))).toEqual([
      fault("dataDirectory", "1.1 GB free on db2", "at least 1.1 GB for a clone"),
    ]);
  });

  it("counts what an unfinished clone holds there, which is removed first", () => {
    expect(faults(room(300 * MB, { heldBytes: 800 * MB }))).toEqual([]);
    expect(faults(room(300 * MB, { heldBytes: 799 * MB }))).toEqual([
      fault(
        "dataDirectory",
        "300 MB free on db2, and 799 MB held by an unfinished clone",
        "at least 1.1 GB for a clone",
      ),
    ]);
  });

  it("is looked for in each of two directories, when each has its own file system", () => {
    const other = { fileSystem: "8:2" };
    expect(faults(room(990 * MB), room(110 * MB, other))).toEqual([]);
    expect(faults(room(989 * MB), room(109 * MB, other))).toEqual([
      fault("dataDirectory", "989 MB free on db2", "at least 990 MB for a clone"),
      fault("walDirectory", "109 MB free on db2", "at least 110 MB for a clone"),
    ]);
  });

  it("is needed for both together, when they share one file system", () => {
    expect(faults(room(1100 * MB), room(1100 * MB))).toEqual([]);
    expect(faults(room(1000 * MB), room(1000 * MB))).toEqual([
      fault("dataDirectory", "1000 MB free on db2", "at least 1.1 GB for a clone"),
    ]);
  });
});
