import { describe, expect, it } from "vitest";
import { primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { evidence } from "../test/support/switchover.ts";
import { checkSwitchover } from "./checks.ts";
import type { MemberObservation } from "./observation.ts";

it("all is well: every check in the order in which people read them, with what it measured and what is allowed", () => {
  const checks = checkSwitchover(evidence({ group: { synchronous: { quorum: 1 } } }));
  expect(checks.map(({ verdict, name, measured, limit, remedy }) => [verdict, name, measured, limit, remedy])).toEqual([
    ["ok", "no other orchestrator", "none", "none", ""],
    ["ok", "failover manager", "none declared, none runs", "as declared", ""],
    ["ok", "clocks", "0 s apart", "2 s apart", ""],
    ["ok", "target answers", "pg2 is a standby", "a standby", ""],
    ["ok", "version", "PostgreSQL 17.12 on both", "the same", ""],
    ["ok", "same database", "timeline 1", "one timeline", ""],
    ["ok", "target streams", "from 203.0.113.11:5432", "from pg1", ""],
    ["ok", "target's slot", "pgha_pg2 active", "active, WAL kept", ""],
    ["ok", "replay", "runs", "runs, no delay", ""],
    ["ok", "target's lag", "0 B, 0.0 s", "16 MB, 10 s", ""],
    ["ok", "wal senders keep up", "pg2, pg3", "16 MB behind, heard 4 s ago", ""],
    ["ok", "base backups", "none", "none", ""],
    ["ok", "archiver", "off", "8 files waiting", ""],
    ["ok", "oldest transaction", "none open", "60 s", ""],
    ["ok", "prepared transactions", "none", "none", ""],
    ["ok", "running queries", "none longer", "none over 10 s", ""],
    ["ok", "synchronous rule", "1 without pg1", "1 standby", ""],
    ["ok", "hot-standby settings", "the same or higher", "not lower", ""],
    ["ok", "pending restart", "none", "none", ""],
    ["ok", "connections", "3 open on pg1", "97 on pg2", ""],
    ["ok", "wal senders", "2 needed", "10 on pg2", ""],
    ["ok", "replication slots", "2 needed", "10 on pg2", ""],
    ["ok", "slots on the target", "pgha_pg1, pgha_pg3", "one for each member", ""],
    ["ok", "logical slots", "none", "none lost", ""],
    ["ok", "other slots", "none", "on both", ""],
    ["ok", "room for WAL", "pg1 10.0 GB, pg2 10.0 GB free", "256 MB", ""],
    ["ok", "settings", "3 compared", "equal", ""],
    ["ok", "extensions", "1 extension, 0 libraries", "all on the host of pg2", ""],
  ]);
});

describe("without an answer nothing else is looked at", () => {
  const check = (...observations: MemberObservation[]) => checkSwitchover({ ...evidence(), observations });

  it.each<[string, MemberObservation]>([
    ["not running", stopped("pg1")],
    ["no answer within 8 s", unreachable("pg1")],
  ])("of the primary: %s", (measured, seen) => {
    expect(check(seen, standby("pg2", "pg1"))).toEqual([
      { name: "primary answers", verdict: "block", measured, limit: "an answer", remedy: "Bring pg1 back." },
    ]);
  });

  it.each<[string, MemberObservation]>([
    ["no answer within 8 s", unreachable("pg2")],
    ["not running", stopped("pg2")],
    ["the database system is starting up", { ...stopped("pg2"), postgresSilent: "the database system is starting up" }],
  ] as [string, MemberObservation][])("of the target: %s", (measured, target) => {
    expect(check(primary("pg1"), target)).toEqual([
      {
        name: "target answers",
        verdict: "block",
        measured,
        limit: "an answer",
        remedy: "Bring pg2 back, or declare another primary.",
      },
    ]);
  });

  it("of what the checks measure", () => {
    const failed = "pg1: no answer of PostgreSQL within 12 s";
    expect(checkSwitchover({ ...evidence(), measured: { failed } })).toEqual([
      {
        name: "measurements",
        verdict: "block",
        measured: failed,
        limit: "an answer",
        remedy: "Put that right, and look again.",
      },
    ]);
  });
});
