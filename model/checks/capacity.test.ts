import { describe, expect, it } from "vitest";
import { unreachable } from "../../test/support/observations.ts";
import { member } from "../../test/support/shapes.ts";
import { check, integers, objections, sender, slot, thirdStandby } from "../../test/support/switchover.ts";
import type { Check } from "./check.ts";

const enough = { max_wal_senders: 10, max_replication_slots: 10 };
const connections = (max_connections: number) => ({ settings: integers({ ...enough, max_connections }) });

function blocks(name: string, measured: string, limit: string, remedy: string): Check[] {
  return [{ name, verdict: "block", measured, limit, remedy }];
}

describe("hot-standby settings", () => {
  const name = "hot-standby settings";
  const follow = "It could not follow pg2: give every member the same value, and restart it.";

  it("of the target must not be lower than the primary's, each of the five", () => {
    const primary = {
      max_connections: 200,
      max_locks_per_transaction: 128,
      max_prepared_transactions: 5,
      max_wal_senders: 20,
      max_worker_processes: 16,
    };
    const target = {
      max_connections: 100,
      max_locks_per_transaction: 64,
      max_prepared_transactions: 0,
      max_wal_senders: 10,
      max_worker_processes: 8,
    };
    const settings = (values: Record<string, number>) => ({
      settings: integers({ ...values, max_replication_slots: 10 }),
    });
    expect(check(name, { primary: settings(primary), target: settings(target) })).toEqual(
      blocks(
        name,
        "max_connections 100 on pg2, 200 on pg1, max_locks_per_transaction 64 on pg2, 128 on pg1, max_prepared_transactions 0 on pg2, 5 on pg1, max_wal_senders 10 on pg2, 20 on pg1, max_worker_processes 8 on pg2, 16 on pg1",
        "not lower",
        "Restart pg2 with the declared parameters.",
      )[0],
    );
  });

  it("of the others must not be lower than the target's: they are to follow it", () => {
    const third = thirdStandby(connections(100));
    expect(objections({ primary: connections(200), target: connections(200), third })).toEqual(
      blocks(name, "afterwards max_connections 100 on pg3, 200 on pg2", "not lower", follow),
    );
    expect(objections({ primary: connections(100), target: connections(200) })).toEqual(
      blocks(
        name,
        "afterwards max_connections 100 on pg1, 200 on pg2, max_connections 100 on pg3, 200 on pg2",
        "not lower",
        follow,
      ),
    );
  });

  it("of the old primary are what its files say: it is started anew", () => {
    const pending = (value: string) => ({ pendingRestart: { max_connections: value } });
    const third = unreachable("pg3");
    const raised = { primary: connections(100), target: connections(200), third, primaryMeasured: pending("200") };
    expect(check(name, raised).verdict).toBe("ok");
    const lowered = { primary: connections(100), target: connections(100), third, primaryMeasured: pending("50") };
    expect(check(name, lowered)).toMatchObject({
      verdict: "block",
      measured: "afterwards max_connections 50 on pg1, 100 on pg2",
    });
  });
});

it("settings that wait for a restart warn, each with what then happens", () => {
  const target = { shared_buffers: "256MB", shared_preload_libraries: null };
  expect(objections({ targetMeasured: { pendingRestart: target } })).toEqual([
    {
      name: "pending restart",
      verdict: "warn",
      measured: "pg2: shared_buffers = 256MB, shared_preload_libraries",
      limit: "none",
      remedy: "pg2 goes on with its old values until it is restarted.",
    },
  ]);
  const both = {
    targetMeasured: { pendingRestart: target },
    primaryMeasured: { pendingRestart: { huge_pages: "on" } },
  };
  expect(check("pending restart", both)).toMatchObject({
    measured: "pg2: shared_buffers = 256MB, shared_preload_libraries; pg1: huge_pages = on",
    remedy: "pg2 goes on with its old values until it is restarted. The switchover restarts pg1, with the new values.",
  });
});

describe("the target must have room", () => {
  it("for the clients of the primary", () => {
    const clients = (open: number) => ({ primaryMeasured: { clients: { open, most: 197 } } });
    expect(objections(clients(97))).toEqual([]);
    expect(objections(clients(98))).toEqual(
      blocks("connections", "98 open on pg1", "97 on pg2", "Raise max_connections of pg2, and restart it."),
    );
  });

  it("for every other member, and for whoever else streams from the primary", () => {
    const foreign = ["audit", "pg_receivewal"].map((name) => sender(name, { slot: undefined }));
    const walSenders = [sender("pg2"), sender("pg3"), ...foreign];
    const settings = (max_wal_senders: number) => ({ settings: integers({ ...enough, max_wal_senders }) });
    const primary = { walSenders, ...settings(3) };
    const third = thirdStandby(settings(4));
    expect(check("wal senders", { primary, target: settings(4), third }).verdict).toBe("ok");
    expect(objections({ primary, target: settings(3), third })).toEqual(
      blocks("wal senders", "4 needed", "3 on pg2", "Raise max_wal_senders of pg2, and restart it."),
    );
  });

  it("for the slots that it holds and those that the primary holds for others", () => {
    const slots = [
      slot("pgha_pg2"),
      slot("pgha_pg3"),
      slot("audit", { kind: "logical", failover: true }),
      slot("throwaway", { kind: "logical" }),
      slot("pg_basebackup_77", { temporary: true }),
    ];
    const target = (max_replication_slots: number) => ({
      slots: [slot("pgha_pg1"), slot("pgha_pg3"), slot("audit", { kind: "logical", failover: true, synced: true })],
      settings: integers({ max_connections: 100, max_wal_senders: 10, max_replication_slots }),
    });
    const group = { disposableSlots: ["throwaway"] };
    expect(objections({ group, primary: { slots }, target: target(3) })).toEqual([]);
    expect(objections({ group, primary: { slots }, target: target(2) })).toEqual(
      blocks("replication slots", "3 needed", "2 on pg2", "Raise max_replication_slots of pg2, and restart it."),
    );
  });

  it("for nobody, when it is alone with the primary", () => {
    const members = [member("pg1"), member("pg2")];
    expect(check("wal senders", { group: { members } })).toMatchObject({ verdict: "ok", measured: "2 needed" });
  });
});

it("too little room for WAL blocks, on the primary and on the target", () => {
  const megabytes = (count: number) => ({ walFreeBytes: count * 1024 ** 2 });
  expect(objections({ primaryHost: megabytes(256), targetHost: megabytes(256) })).toEqual([]);
  for (const [pg1, pg2] of [
    [255, 4096],
    [4096, 255],
  ] as const) {
    expect(objections({ primaryHost: megabytes(pg1), targetHost: megabytes(pg2) })).toEqual(
      blocks(
        "room for WAL",
        `pg1 ${pg1 === 255 ? "255 MB" : "4.0 GB"}, pg2 ${pg2 === 255 ? "255 MB" : "4.0 GB"} free`,
        "256 MB",
        "Make room on the volume of pg_wal: a full one stops PostgreSQL.",
      ),
    );
  }
});
