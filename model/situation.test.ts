import { describe, expect, it } from "vitest";
import type { ObservedPrimary } from "./observedPrimary.ts";
import { type Facts, type Situation, situationOf } from "./situation.ts";

const systemIdentifier = "7000000000000000001";

function known(member: string, identifier = systemIdentifier): ObservedPrimary {
  return { kind: "known", member, timeline: 2, systemIdentifier: identifier };
}

function stopped(member: string): ObservedPrimary {
  return { kind: "stopped", member, timeline: 1, systemIdentifier };
}

const none: ObservedPrimary = { kind: "none" };
const nothing: ObservedPrimary = { kind: "nothing" };
const several: ObservedPrimary = { kind: "several", members: ["pg1", "pg2"] };
const foreign: ObservedPrimary = { kind: "foreign", text: "pg1 has system identifier 1, pg3 has system identifier 2" };
const elsewhere: ObservedPrimary = {
  kind: "elsewhere",
  text: "pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member",
};
const unknown: ObservedPrimary = { kind: "unknown", reason: "pg2 cannot be reached: no answer within 8 s" };

interface Given {
  readonly declared?: string;
  /** null: the state was lost or imported. */
  readonly applied?: string | null;
  readonly observed: ObservedPrimary;
  readonly unfinished?: string;
  readonly onDrift?: "adopt" | "fail";
}

function situation({ declared = "pg1", applied = "pg1", observed, unfinished, onDrift = "adopt" }: Given): Situation {
  const facts: Facts = {
    declared,
    applied: applied === null ? undefined : { member: applied, systemIdentifier, timeline: 1 },
    observed,
    unfinished,
    onDrift,
  };
  return situationOf(facts);
}

const unfinished = "switchover pg1 -> pg2, begun 2026-03-01 10:00 by anna@desk";

describe("each row of the table", () => {
  it("every member empty and unmarked: create", () => {
    expect(situation({ applied: null, observed: nothing })).toEqual({
      kind: "create",
      text: "create: initdb on pg1, clone the others",
    });
  });

  it("members of different databases: stop", () => {
    expect(situation({ observed: foreign })).toEqual({
      kind: "stop",
      text:
        "members belong to different databases: pg1 has system identifier 1, pg3 has system identifier 2.\n" +
        "  Nothing was touched. Take the foreign member out of members:, or give it an empty data directory.",
    });
  });

  it("two writable members: stop", () => {
    expect(situation({ observed: several })).toEqual({
      kind: "stop",
      text:
        "more than one member is writable: pg1, pg2.\n" +
        "  Nothing was touched. Decide which one holds the right data, stop the other one on its host, then run `pulumi up` again.",
    });
  });

  it("something begun and not ended: finish", () => {
    expect(situation({ observed: known("pg2"), unfinished })).toEqual({
      kind: "finish",
      text: "unfinished: switchover pg1 -> pg2, begun 2026-03-01 10:00 by anna@desk",
    });
  });

  it("every member empty although there was a primary: stop", () => {
    expect(situation({ observed: nothing })).toEqual({
      kind: "stop",
      text:
        "every member is empty, but pg1 was primary of system 7000000000000000001.\n" +
        "  Nothing was touched. Mount the data volumes. If the data is really gone, remove the resource from the state (`pulumi state delete`) and run `pulumi up`.",
    });
  });

  it("no writable member, but a primary that is not declared: stop, and warn against promoting", () => {
    expect(situation({ declared: "pg2", observed: elsewhere })).toEqual({
      kind: "stop",
      text:
        "no declared member is writable: pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member.\n" +
        "  Nothing was touched. Promote nobody while it runs: two would be writable. If it is the primary, declare it under members: and primary: again, and switch over before you take it out. If it is to go at once, stop it for good on its host, promote one of these (`pg_ctl promote`), then run `pulumi up` again.",
    });
  });

  it("no writable member: stop", () => {
    expect(situation({ observed: none })).toEqual({
      kind: "stop",
      text:
        "no member is writable, and none is surely the primary.\n" +
        "  Nothing was touched. Start or promote the right one on its host (`pg_ctl promote`), then run `pulumi up` again.",
    });
  });

  it("all members hold another database than the recorded one: stop", () => {
    expect(situation({ observed: known("pg1", "7000000000000000009") })).toEqual({
      kind: "stop",
      text:
        "the members hold another database (system identifier 7000000000000000009) than the one recorded (7000000000000000001).\n" +
        "  Nothing was touched. Check the addresses of pgha:hosts. To take over what runs there, remove the resource from the state (`pulumi state delete`) and run `pulumi up`.",
    });
  });

  it("who is primary cannot be told, and its declaration did not change: nothing that depends on it", () => {
    expect(situation({ observed: unknown })).toEqual({
      kind: "unknown",
      text: "who is primary cannot be told: pg2 cannot be reached: no answer within 8 s.\n  Nothing is changed that depends on it.",
    });
  });

  const unknownStop = {
    kind: "stop",
    text:
      "who is primary cannot be told: pg2 cannot be reached: no answer within 8 s.\n" +
      "  Nothing was touched. Bring the members back, or take a dead one out of members: (that is your word that it is fenced).",
  };

  it("who is primary cannot be told, and its declaration changed: stop", () => {
    expect(situation({ declared: "pg3", observed: unknown })).toEqual(unknownStop);
  });

  it("who is primary cannot be told, and nothing is recorded: stop", () => {
    expect(situation({ applied: null, observed: unknown })).toEqual(unknownStop);
  });

  it("nothing recorded, observed as declared: record", () => {
    expect(situation({ applied: null, observed: known("pg1") })).toEqual({
      kind: "record",
      text: "recorded: pg1 is primary, as declared",
    });
  });

  it("nothing recorded, another member observed: record, and never switch", () => {
    expect(situation({ applied: null, observed: known("pg2") })).toEqual({
      kind: "record",
      text: "recorded: the declared primary is pg1, but pg2 is; nothing is switched",
    });
  });

  it("declared, applied and observed agree: unchanged, whatever the timeline", () => {
    expect(situation({ observed: known("pg1") })).toEqual({ kind: "unchanged", text: "pg1 is primary, as declared" });
  });

  it("a failover with onDrift adopt: drift, nothing is switched", () => {
    expect(situation({ observed: known("pg2"), onDrift: "adopt" })).toEqual({
      kind: "drift",
      text:
        "a failover happened: pg2 is primary, declared is pg1.\n" +
        "  Adopted: nothing is switched. To acknowledge it: primary: pg2.",
    });
  });

  it("a failover with onDrift fail: stop", () => {
    expect(situation({ observed: known("pg2"), onDrift: "fail" })).toEqual({
      kind: "stop",
      text:
        "a failover happened: pg2 is primary, declared is pg1.\n" +
        "  Nothing was touched. To acknowledge it: primary: pg2. To carry on with a warning: onDrift: adopt.",
    });
  });

  it("the declaration follows a failover: acknowledge", () => {
    expect(situation({ declared: "pg2", observed: known("pg2") })).toEqual({
      kind: "acknowledge",
      text: "acknowledged: pg2 is already primary (recorded was pg1); no host is touched",
    });
  });

  it("the declaration changed and nothing else did: switchover", () => {
    expect(situation({ declared: "pg2", observed: known("pg1") })).toEqual({
      kind: "switchover",
      from: "pg1",
      to: "pg2",
      text: "planned switchover pg1 -> pg2",
    });
  });

  it("the declaration changed and a third member became primary: stop, with the choice", () => {
    expect(situation({ declared: "pg2", observed: known("pg3") })).toEqual({
      kind: "stop",
      text:
        "primary: changed from pg1 to pg2, but meanwhile pg3 became primary.\n" +
        "  Nothing was touched. To acknowledge that: primary: pg3. To switch to pg2 after all: first `pulumi up` with primary: pg3, then with primary: pg2.",
    });
  });
});

describe("the first row that matches wins", () => {
  it.each<[string, Given, Situation["kind"], string]>([
    ["an unfinished creation goes before create", { applied: null, observed: nothing, unfinished }, "finish", "unfi"],
    ["foreign goes before unfinished", { observed: foreign, unfinished }, "stop", "members belong to different"],
    ["foreign goes before a lost state", { applied: null, observed: foreign }, "stop", "members belong to different"],
    ["several goes before unfinished", { observed: several, unfinished }, "stop", "more than one member is writable"],
    ["several goes before a lost state", { applied: null, observed: several }, "stop", "more than one member is"],
    ["unfinished goes before none", { observed: none, unfinished }, "finish", "unfinished: "],
    ["unfinished goes before unknown", { observed: unknown, unfinished }, "finish", "unfinished: "],
    ["unfinished goes before a switchover", { declared: "pg2", observed: known("pg1"), unfinished }, "finish", "unfi"],
    ["unfinished goes before elsewhere", { observed: elsewhere, unfinished }, "finish", "unfinished: "],
    ["elsewhere goes before a lost state", { applied: null, observed: elsewhere }, "stop", "no declared member is"],
    ["elsewhere goes before a changed declaration", { declared: "pg2", observed: elsewhere }, "stop", "no declared"],
    ["none goes before a lost state", { applied: null, observed: none }, "stop", "no member is writable"],
    ["none goes before a changed declaration", { declared: "pg2", observed: none }, "stop", "no member is writable"],
    [
      "another database goes before drift",
      { observed: known("pg2", "7000000000000000009") },
      "stop",
      "the members hold another database",
    ],
    [
      "another database goes before an acknowledgement",
      { declared: "pg2", observed: known("pg2", "7000000000000000009") },
      "stop",
      "the members hold another database",
    ],
    [
      "a changed declaration that fits goes before onDrift fail",
      { declared: "pg2", observed: known("pg2"), onDrift: "fail" },
      "acknowledge",
      "acknowledged: pg2",
    ],
    [
      "onDrift fail does not stop a switchover",
      { declared: "pg2", observed: known("pg1"), onDrift: "fail" },
      "switchover",
      "planned switchover pg1 -> pg2",
    ],
    [
      "onDrift fail does not stop a record",
      { applied: null, observed: known("pg2"), onDrift: "fail" },
      "record",
      "recorded: the declared primary is pg1",
    ],
  ])("%s", (_, given, kind, begin) => {
    const found = situation(given);
    expect(found.kind).toBe(kind);
    expect(found.text.slice(0, begin.length)).toBe(begin);
  });
});

it("a primary that is merely not running keeps its place: no drift, no switch", () => {
  expect(situation({ observed: stopped("pg1") })).toEqual({ kind: "unchanged", text: "pg1 is primary, as declared" });
});

it("nothing but a changed declaration can switch", () => {
  const observed = [known("pg1"), known("pg2"), stopped("pg1"), none, elsewhere, nothing, several, foreign, unknown];
  const kinds = observed.flatMap((one) =>
    (["adopt", "fail"] as const).flatMap((onDrift) => [
      situation({ observed: one, onDrift }).kind,
      situation({ applied: null, observed: one, onDrift }).kind,
    ]),
  );
  expect(kinds).not.toContain("switchover");
  expect(situation({ declared: "pg2", observed: known("pg1") }).kind).toBe("switchover");
});
