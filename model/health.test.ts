import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, systemIdentifier, unreachable } from "../test/support/observations.ts";
import { group, member } from "../test/support/shapes.ts";
import { sender, slot } from "../test/support/switchover.ts";
import { fullVolumes, memberHealth, slotsInUse } from "./health.ts";
import type {
  DirectoryKind,
  Marker,
  MemberObservation,
  PostgresFacts,
  Slot,
  SourceFacts,
  StrayFacts,
  WalDirectory,
} from "./observation.ts";
import { synchronousStandbyNames } from "./rendering.ts";

/** The slots that a member keeps for the two others. */
function slotsFor(...names: string[]): { slots: Slot[] } {
  return { slots: names.map((name) => slot(`pgha_${name}`)) };
}

const first = (overrides: Partial<PostgresFacts> = {}) =>
  primary("pg1", { postgres: { ...slotsFor("pg2", "pg3"), ...overrides } });
const third = standby("pg3", "pg1", { postgres: slotsFor("pg1", "pg2") });

function health(...observations: MemberObservation[]) {
  return memberHealth(group(), "pg1", observations);
}

/** What is said of pg2 among two healthy ones. */
function ofSecond(observation: MemberObservation): string | undefined {
  const { pg2, ...others } = health(first(), observation, third);
  expect(others).toEqual({});
  return pg2;
}

const second = (overrides: Partial<PostgresFacts> = {}, local = {}) =>
  standby("pg2", "pg1", { local, postgres: { ...slotsFor("pg1", "pg3"), ...overrides } });

function marked(state: Marker["state"]): { marker: Marker } {
  return { marker: { cluster: "orders", member: "pg2", state, systemIdentifier, dataDirectory: "/srv/pg2" } };
}

function wal(kind: DirectoryKind, pgWal: string): { walDirectory: WalDirectory } {
  return { walDirectory: { directory: "/wal/pg2", path: "/wal/pg2", kind, pgWal } };
}

it("nothing is said when all is well", () => {
  expect(health(first(), second(), third)).toEqual({});
  expect(health(first(), second({}, wal("foreign", "/wal/pg2")), third)).toEqual({});
});

it("a standby that streams on a timeline of the same number, but by another history, is not well", () => {
  const at = (endLsn: string) => ({ control: { timeline: 2, began: { timeline: 1, endLsn } } });
  const source = primary("pg1", { postgres: { timeline: 2, ...slotsFor("pg2", "pg3") }, ...at("0/5000148") });
  const follower = (endLsn: string) =>
    standby("pg2", "pg1", { postgres: { timeline: 2, ...slotsFor("pg1", "pg3") }, ...at(endLsn) });
  expect(health(source, follower("0/5000148"))).toEqual({});
  expect(health(source, follower("0/5000100"))).toEqual({
    pg2: "timeline 2 of pg2 began at 0/5000100 (timeline 1), that of pg1 at 0/5000148 (timeline 1): they were promoted apart",
  });
});

describe("a slot of nobody among the members", () => {
  const beside = (...more: Slot[]) => ofSecond(second({ slots: [...slotsFor("pg1", "pg3").slots, ...more] }));

  it("holds WAL back for ever, on any member: it is to be repaired", () => {
    const idle = { active: false };
    expect(beside(slot("pgha_pg4", idle), slot("pgha_pg5", idle))).toBe(
      "slot of no member, holds WAL back: pgha_pg4, pgha_pg5",
    );
    const onPrimary = first({ slots: [...slotsFor("pg2", "pg3").slots, slot("pgha_pg4", idle)] });
    expect(health(onPrimary, second(), third)).toEqual({ pg1: "slot of no member, holds WAL back: pgha_pg4" });
  });

  it("is left while somebody uses it, and when its name is not one of ours", () => {
    expect(beside(slot("pgha_pg4", { active: true }))).toBeUndefined();
    expect(slotsInUse(group(), [first(), second({ slots: [slot("pgha_pg4", { active: true })] }), third])).toEqual({
      pg2: "pgha_pg4 (`pulumi up` drops it once that standby is stopped)",
    });
    expect(slotsInUse(group(), [first(), second({ slots: [slot("pgha_pg4", { active: false })] }), third])).toEqual({});
    expect(beside(slot("barman", { active: false }))).toBeUndefined();
    expect(beside(slot("pgha_cdc", { active: false, kind: "logical" }))).toBeUndefined();
  });
});

it("a member with hardly any room left is named with the place, and nobody else", () => {
  const megabytes = 1024 ** 2;
  const room = (freeBytes: number, walFreeBytes = freeBytes) =>
    fullVolumes(group(), [first(), second({}, { freeBytes, walFreeBytes }), unreachable("pg3")]);
  expect(room(63 * megabytes)).toEqual({
    pg2: "less than 64 MB free at /var/lib/postgresql/17/orders-pg2; without room for WAL it stops",
  });
  expect(room(64 * megabytes)).toEqual({});
  expect(room(64 * megabytes, 1)).toEqual({}); // no volume of its own for WAL is declared
});

it("nothing is said of a member whose host was not reached", () => {
  expect(ofSecond(unreachable("pg2"))).toBeUndefined();
});

it("a former primary that waits at its boot gate is said to have diverged, as soon as that is known", () => {
  const waiting = stopped("pg2", { local: { unit: "waiting", gate: "pg1 is on timeline 2" } });
  expect(ofSecond(waiting)).toBe("waits to start: pg1 is on timeline 2");
  const source: SourceFacts = {
    timeline: 2,
    past: [{ timeline: 1, endLsn: "0/5000148" }],
    lsn: "0/8000000",
    oldestLsn: "0/3000000",
    databaseBytes: 1,
    tablespaces: [],
  };
  const stray: StrayFacts = {
    timeline: 1,
    past: [],
    endLsn: "0/50021B8",
    minRecoveryLsn: "0/0",
    redoLsn: "0/4000028",
    canBeRewound: true,
    neverStarted: false,
    busy: false,
    dataBytes: 1,
    keptBytes: 1,
  };
  expect(health({ ...first(), source }, { ...waiting, stray }, third)).toEqual({
    pg2: "diverged from pg1 at 0/5000148 (timeline 1)",
  });
});

describe("what is said of a standby", () => {
  const receiver = { status: "streaming", senderHost: "203.0.113.13", senderPort: 5432, timeline: 1 };

  it.each<[string, MemberObservation]>([
    ["no data yet", empty("pg2")],
    ["data that pgha did not make", stopped("pg2", { local: { marker: undefined } })],
    ["creating was not finished", empty("pg2", marked("creating"))],
    ["cloning was not finished", stopped("pg2", { local: marked("cloning") })],
    ["erasing was not finished", empty("pg2", marked("erasing"))],
    ["its rewind broke off", stopped("pg2", { local: marked("rewinding") })],
    ["its clone has not taken the place of its old data", empty("pg2", marked("swapping"))],
    [
      "the data that its clone replaced is still there (/srv/pg2.pgha-old)",
      second({}, { marker: { ...marked("ready").marker, replaced: "/srv/pg2.pgha-old" } }),
    ],
    [
      "a clone that was not finished is still there (/srv/pg2.pgha-clone)",
      second({}, { marker: { ...marked("ready").marker, beside: "/srv/pg2.pgha-clone" } }),
    ],
    [
      "data missing (a volume that is not mounted?): marked ready, but /srv/pg2 is empty. Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json there, and `pulumi up` clones it anew",
      empty("pg2", { ...marked("ready"), dataDirectory: "empty" }),
    ],
    [
      "data missing (a volume that is not mounted?): marked ready, but /wal/pg2 is empty. Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json and what /srv/pg2 holds there, and `pulumi up` clones it anew",
      stopped("pg2", { local: { ...marked("ready"), ...wal("empty", "/wal/pg2") } }),
    ],
    [
      "data missing (a volume that is not mounted?): marked ready, but pg_wal in /srv/pg2 leads to /other, not to /wal/pg2. Mount its volume. If the data is really lost, remove /var/lib/pgha/orders/pg2/marker.json and what /srv/pg2 holds there, and `pulumi up` clones it anew",
      second({}, { ...marked("ready"), ...wal("foreign", "/other") }),
    ],
    ["service stopped", stopped("pg2")],
    ["service stopped", stopped("pg2", { local: { unit: "failed" } })],
    ["PostgreSQL does not answer (unit activating)", stopped("pg2", { local: { unit: "activating" } })],
    ["slot missing: pgha_pg1, pgha_pg3", second({ slots: [] })],
    ["slot missing: pgha_pg3", second(slotsFor("pg1", "pg2"))],
    ["service not enabled at boot", second({}, { unitEnabled: false })],
    ["writable although it is not the primary", second({ inRecovery: false })],
    ["does not stream", second({ walReceiver: undefined })],
    ["does not stream", second({ walReceiver: { ...receiver, status: "waiting" } })],
    ["streams from 203.0.113.13:5432, not from pg1", second({ walReceiver: receiver })],
  ])("%s", (expected, observation) => {
    expect(ofSecond(observation)).toBe(expected);
  });
});

it("a standby that takes itself for streaming, and to which the primary sends nothing, is told from one that follows", () => {
  const seen = (...states: string[]) =>
    health(first({ walSenders: states.map((state) => ({ ...sender("pg2"), state })) }), second(), third);
  expect(seen("startup")).toEqual({ pg2: "is connected to pg1 and is sent nothing: the logs of both say why" });
  expect([seen("streaming"), seen("catchup"), seen("startup", "streaming"), seen()]).toEqual([{}, {}, {}, {}]);
});

it("a standby that streams what was written before the promotion, for a moment, is told from one that follows", () => {
  const following = (timeline: number) => ({
    timeline,
    walReceiver: { status: "streaming", senderHost: "203.0.113.11", senderPort: 5432, timeline },
  });
  const observed = (timeline: number) =>
    health(
      first({ timeline: 2 }),
      second(following(timeline)),
      standby("pg3", "pg1", { postgres: { ...slotsFor("pg1", "pg2"), ...following(2) } }),
    );
  expect(observed(2)).toEqual({});
  expect(observed(1)).toEqual({ pg2: "streams timeline 1, while pg1 is on 2" });
});

describe("what is said of the primary", () => {
  it("that it is a standby", () => {
    const demoted = standby("pg1", "pg2", { postgres: slotsFor("pg2", "pg3") });
    expect(health(demoted, second(), third)).toEqual({ pg1: "is a standby, not the primary" });
  });

  it("that its synchronous rule is another one", () => {
    const shape = group({ synchronous: { quorum: 1 } });
    const wanted = synchronousStandbyNames(shape);
    const rule = (setting: string) =>
      memberHealth(shape, "pg1", [
        first({ settings: { synchronous_standby_names: { setting, unit: null, vartype: "string" } } }),
      ]);
    expect(rule("")).toEqual({
      pg1: `synchronous_standby_names is '', not 'ANY 1 ("pg1", "pg2", "pg3")'`,
    });
    expect(rule(wanted)).toEqual({});
  });
});

it("a primary that goes on without standbys as declared is well: it ends that by itself", () => {
  const settings = { synchronous_standby_names: { setting: "", unit: null, vartype: "string" } };
  const shape = group({ members: [member("pg1")], synchronous: { quorum: 1 }, relaxAfterSeconds: 30 });
  expect(memberHealth(shape, "pg1", [primary("pg1", { postgres: { settings } })])).toEqual({});
});

it("a cluster of one is well without slots", () => {
  const shape = group({ members: [member("pg1")] });
  expect(memberHealth(shape, "pg1", [primary("pg1")])).toEqual({});
});
