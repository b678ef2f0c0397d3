import { describe, expect, it } from "vitest";
import { group } from "../test/support/shapes.ts";
import { readDeclared, readRecorded } from "./recordedGroup.ts";

const systemIdentifier = "7000000000000000001";
const configuration = { pg1: { "postgresql.conf": "port = 5432\n" } };

/** What the first version wrote, its declaration left out: states like this one must be read by every later version. */
const first = {
  primary: "pg1",
  applied: { member: "pg1", systemIdentifier, timeline: 1 },
  observed: { kind: "known", member: "pg1", timeline: 1, systemIdentifier },
  unhealthy: { pg3: "service stopped" },
  unreachable: { pg2: "pg2: no answer within 8 s" },
  configuration,
  superuserPassword: "one",
  replicationPassword: "two",
};

function refusal(read: () => unknown): string {
  try {
    return `read as ${JSON.stringify(read())}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe("the state of a cluster", () => {
  it("is read as it was written", () => {
    expect(readRecorded(first)).toEqual(first);
  });

  it("keeps what later versions added", () => {
    const all = {
      ...first,
      applied: { ...first.applied, failedOverFrom: "pg2" },
      unfinished: "the data of pg3 cloning",
      switchBackDue: false,
      switchBackWaitsFor: "pg1 to stream from pg2",
    };
    expect(readRecorded(all)).toEqual(all);
  });

  it("may say less, when nothing was recorded or seen", () => {
    const least = { primary: "pg1", observed: { kind: "nothing" } };
    expect(readRecorded(least)).toEqual({ ...least, configuration: {} });
  });

  it("is read although it holds what only another version knows", () => {
    const later = { ...first, weather: "fair", applied: { ...first.applied, since: "2031-01-01" } };
    expect(readRecorded({ ...later, cluster: "orders" })).toEqual(first);
  });

  it("with an observation that only another version knows, says that nobody knows who is primary", () => {
    expect(readRecorded({ ...first, observed: { kind: "witnessed", by: "pg9" } })).toEqual({
      ...first,
      observed: { kind: "unknown", reason: "another version of pgha wrote the state; `pulumi refresh` reads it anew" },
    });
  });

  it.each([
    { kind: "known", member: "pg1", timeline: 3, systemIdentifier },
    { kind: "stopped", member: "pg1", timeline: 3, systemIdentifier },
    { kind: "nothing" },
    { kind: "none" },
    { kind: "several", members: ["pg1", "pg2"], ahead: ["pg1"] },
    { kind: "foreign", text: "pg1 has system identifier 7, pg2 has system identifier 8" },
    { kind: "elsewhere", text: "pg2 streams from 203.0.113.11:5432, which is no declared member" },
    { kind: "unknown", reason: "pg2 cannot be reached" },
    { kind: "unknown", reason: "pg1 is a former primary", former: "pg1" },
    { kind: "unknown", reason: "pg1 cannot be reached", missing: { unread: ["pg1"], streaming: ["pg2"] } },
  ])("keeps every kind of observation: $kind", (observed) => {
    expect(readRecorded({ ...first, observed }).observed).toEqual(observed);
  });

  it("of the first version kept values of ALTER SYSTEM: they are not carried on, for they may hold passwords", () => {
    const alterSystem = { pg1: { primary_conninfo: "password=secret" } };
    expect(readRecorded({ ...first, alterSystem }).alterSystem).toEqual({ pg1: { primary_conninfo: "set" } });
  });

  it("is refused, with every fault and no password, when what was applied cannot be read: it is never taken for lost", () => {
    const broken = { ...first, applied: { member: "pg1", timeline: "1" }, superuserPassword: 12345 };
    expect(refusal(() => readRecorded(broken))).toBe(
      [
        "the state of ReplicationGroup cannot be read:",
        "  applied.systemIdentifier: found nothing, expected a text. Look at it with `pulumi stack export`; use no older version of pgha than the one that wrote it.",
        '  applied.timeline: found "1", expected a number. Look at it with `pulumi stack export`; use no older version of pgha than the one that wrote it.',
        "  superuserPassword: found something else (not shown), expected a text. Look at it with `pulumi stack export`; use no older version of pgha than the one that wrote it.",
      ].join("\n"),
    );
  });
});

describe("the declaration of a cluster", () => {
  const { members, ...rest } = group();
  const byName = Object.fromEntries(members.map(({ name, ...member }) => [name, member]));
  const declared = { ...rest, members: byName, configuration };

  it("is read as check handed it on, without what only another version knows", () => {
    expect(readDeclared({ ...declared, rejoin: "auto" })).toEqual(declared);
  });

  it("of the first version has the defaults of what came later", () => {
    const { switchBackAfter: _, rejoin: __, ...older } = declared;
    expect(readDeclared(older)).toEqual({ ...older, switchBackAfter: "10min", rejoin: "auto" });
  });

  it("that cannot be read is refused", () => {
    expect(refusal(() => readDeclared({ ...declared, onDestroy: "burn" }))).toBe(
      "the declaration of ReplicationGroup cannot be read:\n" +
        "  onDestroy: found burn, expected one of keep, stop, erase. Look at it with `pulumi stack export`; use no older version of pgha than the one that wrote it.",
    );
  });
});
