import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { memberPaths, slotName } from "./names.ts";
import {
  describeMember,
  isEmptyAndUnmarked,
  isLost,
  isWritable,
  type MemberObservation,
  missingData,
  type ReachedMember,
  reachedMembers,
  streamingMembers,
  type WalDirectory,
} from "./observation.ts";

describe("one line on one member", () => {
  it.each<[MemberObservation, string]>([
    [primary("pg1", { postgres: { timeline: 3 } }), "pg1: primary, writable, timeline 3"],
    [standby("pg2", "pg1"), "pg2: standby, timeline 1, streaming from 203.0.113.11:5432"],
    [
      standby("pg2", "pg1", { postgres: { walReceiver: undefined } }),
      "pg2: standby, timeline 1, not streaming, WAL up to 0/4000000",
    ],
    [
      standby("pg2", "pg1", {
        postgres: { walReceiver: undefined, lsn: "0/1301178" },
        control: { timeline: 3 },
      }),
      "pg2: standby, timeline 3, not streaming, WAL up to 0/1301178",
    ],
    [stopped("pg2"), "pg2: not running (unit inactive, shut down, timeline 1)"],
    [stopped("pg2", { local: { unit: "failed", controlData: undefined } }), "pg2: not running (unit failed)"],
    [empty("pg2"), "pg2: no data (missing)"],
    [
      empty("pg2", {
        dataDirectory: "empty",
        marker: { cluster: "orders", member: "pg2", state: "ready", dataDirectory: "/d" },
      }),
      "pg2: no data (empty), marked ready",
    ],
    [
      stopped("pg2", { local: { walDirectory: { directory: "/w", path: "/w", pgWal: "/w", kind: "missing" } } }),
      "pg2: not running (unit inactive, shut down, timeline 1), and /w is missing",
    ],
    [unreachable("pg2"), "pg2: unreachable (no answer within 8 s)"],
  ])("%#: %s", (observation, text) => {
    expect(describeMember(observation)).toBe(text);
  });
});

const all = [primary("pg1"), standby("pg2", "pg1"), stopped("pg3"), unreachable("pg4"), empty("pg5")];

it("writable is who answers and is not in recovery", () => {
  expect(all.filter(isWritable).map(({ member }) => member)).toEqual(["pg1"]);
});

it("streaming is who receives WAL now", () => {
  const waiting = standby("pg6", "pg1", {
    postgres: { walReceiver: { status: "waiting", senderHost: "203.0.113.11", senderPort: 5432, timeline: 1 } },
  });
  expect([...streamingMembers([...all, waiting])]).toEqual(["pg2"]);
});

it("empty and unmarked is where nothing of anybody's lies", () => {
  expect(
    reachedMembers(all)
      .filter(isEmptyAndUnmarked)
      .map(({ member }) => member),
  ).toEqual(["pg5"]);
});

describe("what is missing of a finished member", () => {
  const directory = "/var/lib/postgresql/17/orders-pg2";
  const wal = (overrides: Partial<WalDirectory>) => ({
    local: { walDirectory: { directory: "/w", path: "/w", pgWal: "/w", kind: "foreign", ...overrides } as const },
  });
  const ready = { cluster: "orders", member: "pg2", state: "ready", dataDirectory: "/d" } as const;

  it.each<[string, ReachedMember, string | undefined, boolean]>([
    ["nothing, where all is there", standby("pg2", "pg1", wal({})), undefined, false],
    ["nothing, where it was not finished", empty("pg2", { marker: { ...ready, state: "cloning" } }), undefined, false],
    ["nothing, where it was never begun", empty("pg2"), undefined, false],
    ["the data directory", empty("pg2", { marker: ready }), "/d is missing", true],
    [
      "the data under files of somebody",
      empty("pg2", { marker: ready, dataDirectory: "foreign" }),
      "/d holds files of somebody else",
      true,
    ],
    [
      "the data of one that still runs",
      standby("pg2", "pg1", { local: { dataDirectory: "empty" } }),
      `${directory} is empty`,
      true,
    ],
    ["the directory of pg_wal", stopped("pg2", wal({ kind: "missing" })), "/w is missing", true],
    ["the WAL in it", stopped("pg2", wal({ kind: "empty" })), "/w is empty", true],
    ["the link to it", stopped("pg2", wal({ pgWal: "/x" })), `pg_wal in ${directory} leads to /x, not to /w`, true],
    [
      "pg_wal itself",
      stopped("pg2", wal({ pgWal: undefined })),
      `pg_wal in ${directory} leads nowhere, not to /w`,
      true,
    ],
    [
      "the link to it, while it runs on other WAL: it is told, but goes on",
      standby("pg2", "pg1", wal({ pgWal: "/x" })),
      `pg_wal in ${directory} leads to /x, not to /w`,
      false,
    ],
  ])("%s", (_, seen, text, lost) => {
    expect(missingData(seen.local)?.text).toBe(text);
    expect(isLost(seen)).toBe(lost);
  });
});

it("everything of a member has its place by the names of cluster and member", () => {
  expect(memberPaths("orders", "pg-1")).toEqual({
    configDirectory: "/etc/pgha/orders/pg-1",
    stateDirectory: "/var/lib/pgha/orders/pg-1",
    unit: "pgha-orders-pg-1.service",
    dataUnit: "pgha-orders-pg-1.data.service",
    rejoinUnit: "pgha-orders-pg-1.rejoin.service",
    relaxUnit: "pgha-orders-pg-1.relax.service",
    relaxedConf: "/etc/pgha/orders/pg-1/relaxed.conf",
    postgresqlConf: "/etc/pgha/orders/pg-1/postgresql.conf",
    roleConf: "/etc/pgha/orders/pg-1/role.conf",
    repMode: "/etc/pgha/orders/pg-1/rep_mode.conf",
    hba: "/etc/pgha/orders/pg-1/pg_hba.conf",
    ident: "/etc/pgha/orders/pg-1/pg_ident.conf",
    passfile: "/etc/pgha/orders/pg-1/passfile",
    marker: "/var/lib/pgha/orders/pg-1/marker.json",
    journal: "/var/lib/pgha/orders/pg-1/journal.json",
    lock: "/var/lib/pgha/orders/pg-1/lock.json",
    ticket: "/var/lib/pgha/orders/pg-1/ticket.json",
    switch: "/var/lib/pgha/orders/pg-1/switch.json",
    givenUp: "/var/lib/pgha/orders/pg-1/given-up.json",
    pass: "/var/lib/pgha/orders/pg-1/pass",
    gateReason: "/run/pgha/orders-pg-1/gate",
    yields: "/run/pgha/orders-pg-1/yields",
    runDirectory: "/run/pgha/orders-pg-1",
    memberFile: "/etc/pgha/orders/pg-1/member.json",
    channelKey: "/etc/pgha/orders/pg-1/channel_key",
    knownHosts: "/etc/pgha/orders/pg-1/known_hosts",
    authorized: "/etc/pgha/channel/authorized/orders-pg-1",
    rejoinLock: "/var/lib/pgha/orders/pg-1/rejoin.lock",
    rewindLog: "/var/lib/pgha/orders/pg-1/rewind.log",
    kept: "/var/lib/pgha/orders/pg-1/kept",
    logDirectory: "/var/log/postgresql/orders-pg-1",
  });
  expect(slotName("pg-1")).toBe("pgha_pg_1");
});
