import { describe, expect, it } from "vitest";
import { defaultLimits } from "../../test/support/shapes.ts";
import { check, type Given, integers, objections, sender, thirdStandby } from "../../test/support/switchover.ts";
import type { WalSender } from "../observation.ts";
import type { LiveSetting } from "../parameters.ts";

describe("whoever streams from the primary", () => {
  const name = "wal senders keep up";
  const limit = "16 MB behind, heard 4 s ago";
  const remedy = "The fast stop waits for it, at most 5s (wal_sender_timeout): let it catch up, or end it.";
  const others = (...walSenders: WalSender[]): Given => ({ primary: { walSenders: [sender("pg2"), ...walSenders] } });
  const warned = (measured: string) => [{ name, verdict: "warn", measured, limit, remedy }];
  const receivewal = (overrides: Partial<WalSender>) =>
    sender("pg_receivewal", { pid: 42, slot: undefined, flushLsn: undefined, replayLsn: undefined, ...overrides });
  const subscription = (overrides: Partial<WalSender>) =>
    sender("audit", { pid: 43, slot: "audit", logical: true, ...overrides });

  it("is named, whatever it is", () => {
    expect(check(name, others(sender("pg3"), receivewal({}), subscription({})))).toEqual({
      name,
      verdict: "ok",
      measured: "pg2, pg3, pg_receivewal, audit",
      limit,
      remedy: "",
    });
  });

  it("warns when it does not stream yet, and tells each", () => {
    expect(objections(others(sender("pg3", { state: "catchup" }), receivewal({ state: "startup" })))).toEqual(
      warned("pg3 (pid 4711) is in state catchup, pg_receivewal (pid 42) is in state startup"),
    );
  });

  it("warns when it is further behind than the limit", () => {
    expect(objections(others(sender("pg3", { flushLsn: "0/3000000" })))).toEqual([]);
    expect(objections(others(sender("pg3", { flushLsn: "0/2FFFFFF" })))).toEqual(
      warned("pg3 (pid 4711) is 16 MB behind"),
    );
    expect(objections(others(subscription({ flushLsn: "0/1000000" })))).toEqual(
      warned("audit (pid 43) is 48 MB behind"),
    );
    expect(objections(others(receivewal({ writeLsn: "0/1000000" })))).toEqual(
      warned("pg_receivewal (pid 42) is 48 MB behind"),
    );
  });

  it("may flush only whole segments, when it is no member: it flushes the rest at the stop", () => {
    expect(objections(others(receivewal({ flushLsn: "0/1000000" })))).toEqual([]);
  });

  it("warns when it was not heard of lately: it may stand still", () => {
    expect(objections(others(receivewal({ silentSeconds: 4 })))).toEqual([]);
    expect(objections(others(receivewal({ silentSeconds: 4.4 })))).toEqual(
      warned("pg_receivewal (pid 42) was last heard 4.4 s ago"),
    );
  });

  it("is not taken for silent because its host's clock is behind", () => {
    const third = thirdStandby({}, { clock: { aheadSeconds: -60, uncertainSeconds: 0.1 } });
    const silent = (silentSeconds: number) =>
      check(name, { ...others(sender("pg3", { silentSeconds })), third }).verdict;
    expect([silent(64), silent(65)]).toEqual(["ok", "warn"]);
  });

  it("is waited for without an end where wal_sender_timeout is off", () => {
    const settings = integers({ max_wal_senders: 10, max_replication_slots: 10, wal_sender_timeout: 0 });
    const walSenders = [sender("pg2"), sender("pg3", { state: "catchup" })];
    expect(check(name, { primary: { settings, walSenders } }).remedy).toBe(
      "The fast stop waits for it, without an end (wal_sender_timeout): let it catch up, or end it.",
    );
  });
});

it("a base backup of the primary or of the target blocks: it would be lost", () => {
  const backup = sender("pg_basebackup", { pid: 7, state: "backup", slot: undefined, sentLsn: undefined });
  const walSenders = [sender("pg2"), sender("pg3"), backup];
  expect(objections({ primary: { walSenders }, target: { walSenders: [{ ...backup, pid: 8 }] } })).toEqual([
    {
      name: "base backups",
      verdict: "block",
      measured: "pg_basebackup (pid 7) on pg1, pg_basebackup (pid 8) on pg2",
      limit: "none",
      remedy: "It would be lost: wait for it to end.",
    },
  ]);
});

describe("the archiver", () => {
  const on: Record<string, LiveSetting> = { archive_mode: { setting: "on", unit: null, vartype: "enum" } };
  const archiver = (failing: boolean, waitingFiles: number, settings = on): Given => ({
    primaryMeasured: { settings, archiver: { failing, waitingFiles } },
    targetMeasured: { settings },
  });

  it("blocks when it fails", () => {
    expect(objections(archiver(true, 3))).toEqual([
      {
        name: "archiver",
        verdict: "block",
        measured: "its last attempt failed, 3 waiting",
        limit: "8 files waiting",
        remedy:
          "The stop of pg1 would wait for it: repair archive_command (the log of PostgreSQL on pg1 tells why it fails).",
      },
    ]);
  });

  it("warns when more files wait than the limit", () => {
    expect(objections(archiver(false, 8))).toEqual([]);
    expect(objections(archiver(false, 9))).toEqual([
      {
        name: "archiver",
        verdict: "warn",
        measured: "is behind, 9 waiting",
        limit: "8 files waiting",
        remedy: "pg1 comes back as a standby only when they are archived: wait until they are.",
      },
    ]);
  });

  it("is no matter where archiving is off, whatever failed before", () => {
    const off: Record<string, LiveSetting> = { archive_mode: { setting: "off", unit: null, vartype: "enum" } };
    expect(check("archiver", archiver(true, 0, off))).toMatchObject({ verdict: "ok", measured: "off" });
    expect(check("archiver", archiver(false, 2))).toMatchObject({ verdict: "ok", measured: "works, 2 waiting" });
  });
});

describe("what clients do", () => {
  const transaction = (seconds: number): Given => ({
    primaryMeasured: { oldestTransaction: { pid: 42, user: "app", seconds } },
  });

  it("a transaction older than the limit warns, with whose it is", () => {
    expect(check("oldest transaction", transaction(60))).toMatchObject({
      verdict: "ok",
      measured: "60 s (pid 42, app)",
    });
    expect(objections(transaction(61.2))).toEqual([
      {
        name: "oldest transaction",
        verdict: "warn",
        measured: "61 s (pid 42, app)",
        limit: "60 s",
        remedy: "Wait for its end, or it is cut off and rolled back.",
      },
    ]);
  });

  it("prepared transactions warn: they keep their locks", () => {
    expect(objections({ primaryMeasured: { prepared: { count: 2, oldestSeconds: 7200 } } })).toEqual([
      {
        name: "prepared transactions",
        verdict: "warn",
        measured: "2, the oldest 7200 s",
        limit: "none",
        remedy: "They survive, and keep their locks on pg2: end them first (pg_prepared_xacts names them).",
      },
    ]);
  });

  it("long queries warn, with their number and whose the longest is", () => {
    const longQueries = { count: 3, longest: { pid: 42, user: "report", seconds: 75 } };
    const limits = { ...defaultLimits, querySeconds: 0.5 };
    expect(objections({ group: { limits }, primaryMeasured: { longQueries } })).toEqual([
      {
        name: "running queries",
        verdict: "warn",
        measured: "3, the longest 75 s (pid 42, report)",
        limit: "none over 0.5 s",
        remedy: "Wait for their end, or they are cut off with an error.",
      },
    ]);
  });
});
