import { describe, expect, it } from "vitest";
import { primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { group, member } from "../test/support/shapes.ts";
import { type Check, checkSwitchover, formatBytes, neededStandbys, needsOldPrimary } from "./checks.ts";
import type { Group } from "./group.ts";
import type { MemberObservation, PostgresFacts, WalSender } from "./observation.ts";

const megabyte = 1024 * 1024;

function sender(name: string, overrides: Partial<WalSender> = {}): WalSender {
  return {
    name,
    pid: 4711,
    state: "streaming",
    connectedSeconds: 3600,
    syncState: "async",
    sentLsn: "0/4000000",
    flushLsn: "0/4000000",
    replayLsn: "0/4000000",
    replayLagSeconds: 0,
    ...overrides,
  };
}

interface Given {
  readonly group?: Partial<Group>;
  readonly primary?: Partial<PostgresFacts>;
  readonly target?: Partial<PostgresFacts>;
  readonly third?: MemberObservation;
}

/** A switchover pg1 -> pg2 of three healthy members, with what is given otherwise. */
function checks(given: Given = {}): Check[] {
  const observations = [
    primary("pg1", { postgres: { walSenders: [sender("pg2"), sender("pg3")], ...given.primary } }),
    standby("pg2", "pg1", { postgres: given.target ?? {} }),
    given.third ?? standby("pg3", "pg1"),
  ];
  return checkSwitchover(group(given.group), "pg1", "pg2", observations, undefined);
}

/** Every check that is not ok; the others are ok. */
function found(given: Given): Check[] {
  return checks(given).filter((check) => check.verdict !== "ok");
}

it("all is well: every check with what it measured and what is allowed", () => {
  expect(checks({ group: { synchronous: { quorum: 1 } } })).toEqual([
    { name: "no other orchestrator", verdict: "ok", measured: "none", limit: "none", remedy: "" },
    {
      name: "target streams from the primary",
      verdict: "ok",
      measured: "from 203.0.113.11:5432",
      limit: "streaming",
      remedy: "",
    },
    { name: "same history", verdict: "ok", measured: "timeline 1", limit: "one timeline", remedy: "" },
    { name: "replay runs", verdict: "ok", measured: "running", limit: "running", remedy: "" },
    { name: "target's lag", verdict: "ok", measured: "0 B, 0.0 s", limit: "16 MB, 10 s", remedy: "" },
    {
      name: "synchronous rule afterwards",
      verdict: "ok",
      measured: "1 without pg1",
      limit: "1 standby",
      remedy: "",
    },
    {
      name: "target's capacity",
      verdict: "ok",
      measured: "not lower than the primary's",
      limit: "not lower",
      remedy: "",
    },
    { name: "wal senders keep up", verdict: "ok", measured: "2 of 2", limit: "streaming, 16 MB", remedy: "" },
    {
      name: "open transactions",
      verdict: "ok",
      measured: "oldest 0 s, 0 prepared",
      limit: "60 s, none prepared",
      remedy: "",
    },
    { name: "archiver", verdict: "ok", measured: "off", limit: "not failing", remedy: "" },
  ]);
});

describe("without an answer nothing else is looked at", () => {
  const check = (observations: MemberObservation[]) => checkSwitchover(group(), "pg1", "pg2", observations, undefined);

  it("of the primary", () => {
    const expected = [
      {
        name: "primary answers",
        verdict: "block",
        measured: "it does not",
        limit: "an answer",
        remedy: "Bring pg1 back.",
      },
    ];
    expect(check([stopped("pg1"), standby("pg2", "pg1")])).toEqual(expected);
    expect(check([unreachable("pg1"), standby("pg2", "pg1")])).toEqual(expected);
    expect(check([standby("pg2", "pg1")])).toEqual(expected);
  });

  it.each<[string, MemberObservation]>([
    ["no answer within 8 s", unreachable("pg2")],
    ["not running", stopped("pg2")],
    ["the database system is starting up", { ...stopped("pg2"), postgresSilent: "the database system is starting up" }],
  ] as [string, MemberObservation][])("of the target: %s", (measured, target) => {
    expect(check([primary("pg1"), target])).toEqual([
      {
        name: "target answers",
        verdict: "block",
        measured,
        limit: "an answer",
        remedy: "Bring pg2 back, or declare another primary.",
      },
    ]);
  });
});

it("another orchestrator blocks", () => {
  const held = { member: "pg3", holder: "anna@desk", since: "2026-03-01 10:00" };
  const [first] = checkSwitchover(group(), "pg1", "pg2", [primary("pg1"), standby("pg2", "pg1")], held);
  expect(first).toEqual({
    name: "no other orchestrator",
    verdict: "block",
    measured: "anna@desk holds the cluster since 2026-03-01 10:00 (seen on pg3)",
    limit: "none",
    remedy: "Wait for it to end; a dead one loses its hold after 30 s.",
  });
});

describe("the target", () => {
  const streams = "target streams from the primary";
  const receiver = { status: "streaming", senderHost: "203.0.113.11", senderPort: 5432, timeline: 1 };

  it.each<[string, Partial<PostgresFacts>, Check]>([
    [
      "is writable",
      { inRecovery: false },
      {
        name: streams,
        verdict: "block",
        measured: "pg2 is writable",
        limit: "a standby",
        remedy: "Find out why there are two primaries.",
      },
    ],
    [
      "has no wal receiver",
      { walReceiver: undefined },
      {
        name: streams,
        verdict: "block",
        measured: "no wal receiver",
        limit: "streaming",
        remedy: "See the log of PostgreSQL on pg2.",
      },
    ],
    [
      "waits",
      { walReceiver: { ...receiver, status: "waiting" } },
      {
        name: streams,
        verdict: "block",
        measured: "waiting",
        limit: "streaming",
        remedy: "See the log of PostgreSQL on pg2.",
      },
    ],
    [
      "cascades",
      { walReceiver: { ...receiver, senderHost: "203.0.113.13" } },
      {
        name: streams,
        verdict: "block",
        measured: "from 203.0.113.13:5432",
        limit: "from pg1",
        remedy: "Let pg2 follow pg1 first (`pulumi up` without the change).",
      },
    ],
    [
      "streams from another port",
      { walReceiver: { ...receiver, senderPort: 5433 } },
      {
        name: streams,
        verdict: "block",
        measured: "from 203.0.113.11:5433",
        limit: "from pg1",
        remedy: "Let pg2 follow pg1 first (`pulumi up` without the change).",
      },
    ],
    [
      "holds another database",
      { systemIdentifier: "9" },
      {
        name: "same history",
        verdict: "block",
        measured: "system identifiers 7000000000000000001 and 9",
        limit: "one system identifier",
        remedy: "The target holds another database: give it an empty data directory.",
      },
    ],
    [
      "has another major version",
      { version: 160_010 },
      {
        name: "same history",
        verdict: "block",
        measured: "PostgreSQL 17 and 16",
        limit: "one major version",
        remedy: "Upgrade the older one.",
      },
    ],
    [
      "is on another timeline",
      { timeline: 2 },
      {
        name: "same history",
        verdict: "block",
        measured: "timelines 1 and 2",
        limit: "one timeline",
        remedy: "Wait until it follows.",
      },
    ],
    [
      "does not replay",
      { replayPaused: true },
      {
        name: "replay runs",
        verdict: "block",
        measured: "paused",
        limit: "running",
        remedy: "On pg2: select pg_wal_replay_resume()",
      },
    ],
    [
      "waits for a restart",
      { pendingRestart: ["max_connections", "shared_buffers"] },
      {
        name: "pending restart",
        verdict: "warn",
        measured: "pg2: max_connections, shared_buffers",
        limit: "none",
        remedy: "These parameters have their old value until it is restarted.",
      },
    ],
  ])("%s", (_, target, expected) => {
    expect(found({ target })).toEqual([expected]);
  });

  it("may have another minor version", () => {
    expect(found({ target: { version: 170_013 } })).toEqual([]);
  });

  it("must not be smaller than the primary", () => {
    const settings = (connections: string, senders: string) => ({
      max_connections: { setting: connections, unit: null, vartype: "integer" },
      max_wal_senders: { setting: senders, unit: null, vartype: "integer" },
    });
    expect(
      found({ primary: { settings: settings("200", "20") }, target: { settings: settings("100", "10") } }),
    ).toEqual([
      {
        name: "target's capacity",
        verdict: "block",
        measured: "max_connections 100 < 200, max_wal_senders 10 < 20",
        limit: "not lower",
        remedy: "Restart pg2 with the declared parameters.",
      },
    ]);
    expect(
      found({ primary: { settings: settings("100", "10") }, target: { settings: settings("200", "10") } }),
    ).toEqual([]);
  });
});

describe("the target's lag", () => {
  const lag = (overrides: Partial<WalSender>, lsn = "0/4000000") =>
    found({ primary: { lsn, walSenders: [sender("pg2", overrides), sender("pg3")] } });
  const blocked = (measured: string) => [
    {
      name: "target's lag",
      verdict: "block",
      measured,
      limit: "16 MB, 10 s",
      remedy: "Wait until it caught up, or raise limits.lagBytes / lagSeconds.",
    },
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
    expect(found({ primary: { walSenders: [sender("pg3")] } })).toEqual([
      {
        name: "target's lag",
        verdict: "block",
        measured: "the primary has no wal sender for it",
        limit: "16 MB, 10 s",
        remedy: "Wait until it streams.",
      },
    ]);
  });

  it("is judged by the declared limits", () => {
    const limits = { ...group().limits, lagBytes: 100, lagSeconds: 0.5 };
    const primaryFacts = { walSenders: [sender("pg2", { replayLsn: "0/3FFFF38" }), sender("pg3")] };
    expect(found({ group: { limits }, primary: primaryFacts })[0]).toMatchObject({
      measured: "200 B, 0.0 s",
      limit: "100 B, 0.5 s",
    });
  });
});

describe("the synchronous rule", () => {
  const warning = (measured: string, limit: string) => [
    {
      name: "synchronous rule afterwards",
      verdict: "warn",
      measured,
      limit,
      remedy: "The outage lasts until pg1 streams again as a standby (predicted below).",
    },
  ];

  it("warns when the standbys that remain are not enough", () => {
    expect(found({ group: { synchronous: { quorum: 2 } } })).toEqual(warning("1 without pg1", "2 standbys"));
  });

  it.each<[string, MemberObservation]>([
    ["is away", unreachable("pg3")],
    ["is stopped", stopped("pg3")],
    ["does not stream", standby("pg3", "pg1", { postgres: { walReceiver: undefined } })],
  ])("warns when the third member %s", (_, third) => {
    expect(found({ group: { synchronous: { priority: 1 } }, third })).toEqual(warning("0 without pg1", "1 standby"));
  });

  it("does not count a member that is no candidate", () => {
    const members = [member("pg1"), member("pg2"), member("pg3", { candidate: false })];
    expect(found({ group: { synchronous: { quorum: 1 }, members } })).toEqual(warning("0 without pg1", "1 standby"));
  });

  it("asks for as many standbys as are declared", () => {
    expect([neededStandbys({ synchronous: "off" }), neededStandbys({ synchronous: { quorum: 2 } })]).toEqual([0, 2]);
    expect(neededStandbys({ synchronous: { priority: 3 } })).toBe(3);
  });

  it("needs the old primary back when nobody else can acknowledge", () => {
    const both = new Set(["pg2", "pg3"]);
    expect(needsOldPrimary(group(), "pg1", "pg2", new Set())).toBe(false);
    expect(needsOldPrimary(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", both)).toBe(false);
    expect(needsOldPrimary(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", new Set(["pg2"]))).toBe(true);
    expect(needsOldPrimary(group({ synchronous: { quorum: 2 } }), "pg1", "pg2", both)).toBe(true);
    const two = group({ synchronous: { quorum: 1 }, members: [member("pg1"), member("pg2")] });
    expect(needsOldPrimary(two, "pg1", "pg2", new Set(["pg2"]))).toBe(true);
  });
});

describe("what a fast stop waits for", () => {
  const limit = "streaming, 16 MB";
  const name = "wal senders keep up";
  const others = (...walSenders: WalSender[]) => found({ primary: { walSenders: [sender("pg2"), ...walSenders] } });

  it("a sender that does not stream, or is far behind, warns", () => {
    expect(others(sender("pg3", { state: "catchup" }), sender("app", { pid: 42, flushLsn: "0/2FFFFFF" }))).toEqual([
      {
        name,
        verdict: "warn",
        measured: "pg3 (pid 4711) is catchup",
        limit,
        remedy: "The fast stop waits for it, at most wal_sender_timeout.",
      },
      {
        name,
        verdict: "warn",
        measured: "app (pid 42) is too far behind",
        limit,
        remedy: "The fast stop waits for it, at most wal_sender_timeout.",
      },
    ]);
  });

  it("a base backup blocks: it would be lost", () => {
    expect(others(sender("pg_basebackup", { state: "backup", sentLsn: undefined }))).toEqual([
      {
        name,
        verdict: "block",
        measured: "a base backup runs (pg_basebackup, pid 4711)",
        limit,
        remedy: "Wait for it to end.",
      },
    ]);
  });

  it.each([
    [61, 0, "oldest 61 s, 0 prepared"],
    [0, 2, "oldest 0 s, 2 prepared"],
  ])(
    "transactions: one of %i s and %i prepared ones warn",
    (oldestTransactionSeconds, preparedTransactions, measured) => {
      const activity = { oldestTransactionSeconds, preparedTransactions, archiverFailing: false };
      expect(found({ primary: { activity } })).toEqual([
        {
          name: "open transactions",
          verdict: "warn",
          measured,
          limit: "60 s, none prepared",
          remedy: "Open ones are cut off and rolled back; prepared ones survive.",
        },
      ]);
    },
  );

  const archiving = { archive_mode: { setting: "on", unit: null, vartype: "enum" } };
  const activity = { oldestTransactionSeconds: 0, preparedTransactions: 0, archiverFailing: true };

  it("an archiver that fails blocks", () => {
    expect(found({ primary: { settings: archiving, activity } })).toEqual([
      {
        name: "archiver",
        verdict: "block",
        measured: "its last attempt failed",
        limit: "not failing",
        remedy: "A fast stop would wait for it: repair archive_command.",
      },
    ]);
  });

  it("an archiver that works, or that failed before it was switched off, is well", () => {
    expect(found({ primary: { settings: archiving } })).toEqual([]);
    expect(found({ primary: { activity } })).toEqual([]);
  });
});

it.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 kB"],
  [1536, "2 kB"],
  [megabyte, "1.0 MB"],
  [9.5 * megabyte, "9.5 MB"],
  [16 * megabyte, "16 MB"],
  [1024 * megabyte, "1.0 GB"],
  [1536 * megabyte, "1.5 GB"],
])("%i bytes are written %s", (bytes, written) => {
  expect(formatBytes(bytes)).toBe(written);
});
