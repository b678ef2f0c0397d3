import { describe, expect, it } from "vitest";
import { systemIdentifier } from "../../test/support/observations.ts";
import { defaultLimits } from "../../test/support/shapes.ts";
import { check, type Given, objections, sender, slot } from "../../test/support/switchover.ts";
import type { PostgresFacts, Slot, WalSender } from "../observation.ts";
import type { Check } from "./check.ts";

const receiver = { status: "streaming", senderHost: "203.0.113.11", senderPort: 5432, timeline: 1 };

function blocks(name: string, measured: string, limit: string, remedy: string): Check {
  return { name, verdict: "block", measured, limit, remedy };
}

it.each<[string, Partial<PostgresFacts>, Check]>([
  [
    "is writable",
    { inRecovery: false },
    blocks("target answers", "pg2 is writable", "a standby", "Find out why there are two primaries."),
  ],
  [
    "has no wal receiver",
    { walReceiver: undefined },
    blocks("target streams", "no wal receiver", "from pg1", "See the log of PostgreSQL on pg2."),
  ],
  [
    "waits",
    { walReceiver: { ...receiver, status: "waiting" } },
    blocks("target streams", "waiting", "from pg1", "See the log of PostgreSQL on pg2."),
  ],
  [
    "cascades",
    { walReceiver: { ...receiver, senderHost: "203.0.113.13" } },
    blocks(
      "target streams",
      "from 203.0.113.13:5432",
      "from pg1",
      "Let pg2 follow pg1 first (`pulumi up` without the change).",
    ),
  ],
  [
    "streams from another port",
    { walReceiver: { ...receiver, senderPort: 5433 } },
    blocks(
      "target streams",
      "from 203.0.113.11:5433",
      "from pg1",
      "Let pg2 follow pg1 first (`pulumi up` without the change).",
    ),
  ],
  [
    "holds another database",
    { systemIdentifier: "9" },
    blocks(
      "same database",
      "system identifiers 7000000000000000001 and 9",
      "one system identifier",
      "The target holds another database: give it an empty data directory.",
    ),
  ],
  [
    "is on another timeline",
    { timeline: 2 },
    blocks("same database", "timelines 1 and 2", "one timeline", "Wait until it follows."),
  ],
  [
    "has another major version",
    { version: 160_010 },
    blocks("version", "pg1 17.12, pg2 16.10", "the same", "Upgrade the older one."),
  ],
  [
    "does not replay",
    { replayPaused: true },
    blocks("replay", "paused", "runs, no delay", "On pg2: select pg_wal_replay_resume()"),
  ],
])("blocks when the target %s", (_, target, expected) => {
  expect(objections({ target })).toEqual([expected]);
});

it("blocks when the target was promoted apart from the primary, to a timeline of the same number", () => {
  const at = (endLsn: string) => ({
    controlData: {
      ...{ state: "in production", systemIdentifier, timeline: 2, checkpointLsn: "0/3000060" },
      began: { timeline: 1, endLsn },
    },
  });
  const running = { primary: { timeline: 2 }, target: { timeline: 2 } };
  expect(objections({ ...running, primaryHost: at("0/5000148"), targetHost: at("0/5000148") })).toEqual([]);
  expect(objections({ ...running, primaryHost: at("0/5000148"), targetHost: at("0/5000100") })).toEqual([
    blocks(
      "same database",
      "timeline 2 of pg2 began at 0/5000100 (timeline 1), that of pg1 at 0/5000148 (timeline 1): they were promoted apart",
      "one timeline",
      "`pulumi up` without the change of primary brings it back.",
    ),
  ]);
});

it.each<[string, Given, Omit<Check, "verdict">]>([
  [
    "has a newer minor version",
    { target: { version: 170_013 } },
    {
      name: "version",
      measured: "pg1 17.12, pg2 17.13",
      limit: "the same",
      remedy: "The usual way of a minor upgrade; upgrade pg1 afterwards.",
    },
  ],
  [
    "has an older minor version",
    { target: { version: 170_011 } },
    {
      name: "version",
      measured: "pg1 17.12, pg2 17.11",
      limit: "the same",
      remedy: "Upgrade pg2 first: standbys get a new minor version before their primary.",
    },
  ],
  [
    "replays with a delay",
    { targetMeasured: { replayDelaySeconds: 300 } },
    {
      name: "replay",
      measured: "delayed by 300 s",
      limit: "runs, no delay",
      remedy: "What was held back is replayed within the outage: remove recovery_min_apply_delay.",
    },
  ],
])("warns when the target %s", (_, given, expected) => {
  expect(objections(given)).toEqual([{ ...expected, verdict: "warn" }]);
});

describe("the target's slot on the primary", () => {
  const withSlot = (...held: Slot[]) => objections({ primary: { slots: [...held, slot("pgha_pg3")] } });
  const repair = "`pulumi up` without the change of primary repairs it.";

  it.each<[string, Slot[], Partial<Check>]>([
    ["missing", [], { verdict: "warn", measured: "pg1 has no slot pgha_pg2", remedy: repair }],
    [
      "unused",
      [slot("pgha_pg2", { active: false })],
      { verdict: "warn", measured: "pgha_pg2 is not used by pg2", remedy: repair },
    ],
    [
      "short of WAL",
      [slot("pgha_pg2", { walStatus: "unreserved" })],
      {
        verdict: "warn",
        measured: "pgha_pg2 is about to lose WAL",
        remedy: "Raise slotSizeLimit, or wait until it caught up.",
      },
    ],
    [
      "lost",
      [slot("pgha_pg2", { active: false, walStatus: "lost" })],
      { verdict: "block", measured: "pgha_pg2 lost WAL that pg2 may need", remedy: "pg2 must be cloned anew." },
    ],
  ])("is %s", (_, held, expected) => {
    expect(withSlot(...held)).toEqual([{ name: "target's slot", limit: "active, WAL kept", ...expected }]);
  });

  it("may hold more WAL than usual", () => {
    expect(withSlot(slot("pgha_pg2", { walStatus: "extended" }))).toEqual([]);
  });
});

it("blocks when the target has no slot for another member: it could not follow there", () => {
  expect(objections({ target: { slots: [slot("pgha_pg1")] } })).toEqual([
    {
      name: "slots on the target",
      verdict: "block",
      measured: "pg2 has no slot pgha_pg3",
      limit: "one for each member",
      remedy: "`pulumi up` without the change of primary makes them.",
    },
  ]);
});

describe("the target's lag", () => {
  const lag = (overrides: Partial<WalSender>, lsn = "0/4000000") =>
    objections({ primary: { lsn, walSenders: [sender("pg2", overrides), sender("pg3")] } });
  const blocked = (measured: string) => [
    blocks("target's lag", measured, "16 MB, 10 s", "Wait until it caught up, or raise limits.lagBytes / lagSeconds."),
  ];

  it("may be as large as the limit, and no larger", () => {
    expect(lag({ replayLsn: "0/3000000" })).toEqual([]);
    expect(lag({ replayLsn: "0/2FFFFFF" })).toEqual(blocked("16 MB, 0.0 s"));
  });

  it("counts the time only while bytes are missing", () => {
    expect(lag({ replayLsn: "0/4000000", replayLagSeconds: 3600 })).toEqual([]);
    expect(lag({ replayLsn: "0/3FFFF38", replayLagSeconds: 10.1 })).toEqual(blocked("200 B, 10.1 s"));
  });

  it("is none when the standby is ahead of what the primary said a moment ago", () => {
    expect(lag({ replayLsn: "0/4000100" })).toEqual([]);
  });

  it("blocks when the primary does not send to it", () => {
    expect(objections({ primary: { walSenders: [sender("pg3")] } })).toEqual([
      blocks("target's lag", "the primary has no wal sender for it", "16 MB, 10 s", "Wait until it streams."),
    ]);
  });

  it("is that of the connection in the target's slot, not of one that was left behind", () => {
    const stale = sender("pg2", { pid: 1, slot: undefined, replayLsn: "0/1000000", sentLsn: "0/1000000" });
    const walSenders = [stale, sender("pg2"), sender("pg3")];
    expect(check("target's lag", { primary: { walSenders } })).toMatchObject({ verdict: "ok", measured: "0 B, 0.0 s" });
  });

  it("is judged by the declared limits", () => {
    const limits = { ...defaultLimits, lagBytes: 100, lagSeconds: 0.5 };
    const primary = { walSenders: [sender("pg2", { replayLsn: "0/3FFFF38" }), sender("pg3")] };
    expect(objections({ group: { limits }, primary })[0]).toMatchObject({
      measured: "200 B, 0.0 s",
      limit: "100 B, 0.5 s",
    });
  });
});
