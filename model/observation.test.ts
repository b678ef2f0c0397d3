import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { memberPaths, slotName } from "./names.ts";
import {
  describeMember,
  isEmptyAndUnmarked,
  isWritable,
  type MemberObservation,
  reachedMembers,
  streamingMembers,
} from "./observation.ts";

describe("one line on one member", () => {
  it.each<[MemberObservation, string]>([
    [primary("pg1", { postgres: { timeline: 3 } }), "pg1: primary, writable, timeline 3"],
    [standby("pg2", "pg1"), "pg2: standby, timeline 1, streaming from 203.0.113.11:5432"],
    [standby("pg2", "pg1", { postgres: { walReceiver: undefined } }), "pg2: standby, timeline 1, not streaming"],
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

it("everything of a member has its place by the names of cluster and member", () => {
  expect(memberPaths("orders", "pg-1")).toEqual({
    configDirectory: "/etc/pgha/orders/pg-1",
    stateDirectory: "/var/lib/pgha/orders/pg-1",
    unit: "pgha-orders-pg-1.service",
    postgresqlConf: "/etc/pgha/orders/pg-1/postgresql.conf",
    roleConf: "/etc/pgha/orders/pg-1/role.conf",
    hba: "/etc/pgha/orders/pg-1/pg_hba.conf",
    ident: "/etc/pgha/orders/pg-1/pg_ident.conf",
    passfile: "/etc/pgha/orders/pg-1/passfile",
    marker: "/var/lib/pgha/orders/pg-1/marker.json",
    journal: "/var/lib/pgha/orders/pg-1/journal.json",
    lock: "/var/lib/pgha/orders/pg-1/lock.json",
    ticket: "/var/lib/pgha/orders/pg-1/ticket.json",
    switch: "/var/lib/pgha/orders/pg-1/switch.json",
    pass: "/var/lib/pgha/orders/pg-1/pass",
    gateReason: "/run/pgha/orders-pg-1/gate",
    runDirectory: "/run/pgha/orders-pg-1",
    memberFile: "/etc/pgha/orders/pg-1/member.json",
    channelKey: "/etc/pgha/orders/pg-1/channel_key",
    knownHosts: "/etc/pgha/orders/pg-1/known_hosts",
    authorized: "/etc/pgha/channel/authorized/orders-pg-1",
    logDirectory: "/var/log/postgresql/orders-pg-1",
  });
  expect(slotName("pg-1")).toBe("pgha_pg_1");
});
