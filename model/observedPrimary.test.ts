import { describe, expect, it } from "vitest";
import {
  empty,
  endpoints,
  primary,
  standby,
  stopped,
  systemIdentifier,
  unreachable,
} from "../test/support/observations.ts";
import type { MemberObservation } from "./observation.ts";
import { type ObservedPrimary, observePrimary } from "./observedPrimary.ts";
import type { RunningStatus } from "./pacemaker/status.ts";

/** Members are declared in the order in which they are observed. */
function observed(...observations: MemberObservation[]): ObservedPrimary {
  return observePrimary(observations, endpoints(...observations.map((one) => one.member)));
}

const pg1 = { kind: "known", member: "pg1", timeline: 1, systemIdentifier };

const silent = { local: { unit: "active" }, postgres: undefined } as const;

/** Pacemaker with quorum and fencing: that node is promoted, this one was fenced. */
function afterFencing(promoted: string, off: string): RunningStatus {
  const node = { standby: false, maintenance: false, pending: false, unclean: false, shutdown: false };
  const instance = { managed: true, maintenance: false, failed: false, blocked: false, orphaned: false };
  return {
    running: true,
    ...{ coordinator: "host2", quorum: true, maintenance: false, fencingEnabled: true },
    nodes: ["host1", "host2", "host3"].map((name, id) => ({
      ...node,
      ...{ id, name, online: name !== off, isCoordinator: name === "host2" },
    })),
    resources: [
      {
        ...instance,
        id: "pgha-orders",
        agent: "ocf:heartbeat:pgsqlms",
        clone: "pgha-orders-clone",
        role: "Promoted",
        nodes: [promoted],
      },
    ],
    ...{ failedActions: [], bans: [], failCounts: [], nodeAttributes: {}, fencing: [] },
  };
}

/** PostgreSQL runs on that host, but does not answer. */
function mute(member: string): MemberObservation {
  const { postgres: _postgres, ...rest } = standby(member, "pg1", { local: silent.local });
  return { ...rest, postgresSilent: "the database system is starting up" };
}

describe("two members were promoted apart to a timeline of the same number", () => {
  const at = (endLsn: string, timeline = 2) => ({ control: { timeline, began: { timeline: timeline - 1, endLsn } } });
  const writable = primary("pg1", { postgres: { timeline: 2 }, ...at("0/5000148") });
  const other = stopped("pg2", at("0/5000100"));
  const apart =
    "timeline 2 of pg2 began at 0/5000100 (timeline 1), that of pg1 at 0/5000148 (timeline 1): they were promoted apart";

  it("the writable one is not named because it is writable", () => {
    expect(observed(writable, other)).toEqual({
      kind: "unknown",
      reason: `pg1 is writable, but only 1 of 2 members confirm it (${apart}; pg2 is stopped)`,
      stopped: ["pg2"],
    });
    const bystander = stopped("pg3", { local: { standbySignal: true } });
    expect(observed(writable, other, bystander)).toMatchObject({ kind: "unknown" });
  });

  it("it is named when a majority follows it, by its own history", () => {
    const follower = (endLsn: string) => standby("pg3", "pg1", { postgres: { timeline: 2 }, ...at(endLsn) });
    const named = { ...pg1, timeline: 2 };
    expect(observed(writable, other, follower("0/5000148"))).toEqual(named);
    expect(observed(writable, other, follower("0/5000100"))).toMatchObject({ kind: "unknown" });
  });

  it("a standby that streams by another history does not confirm it", () => {
    const streaming = standby("pg2", "pg1", { postgres: { timeline: 2 }, ...at("0/5000100") });
    expect(observed(writable, streaming, unreachable("pg3"))).toEqual({
      kind: "unknown",
      reason: `pg1 is writable, but only 1 of 3 members confirm it (${apart}; pg3 cannot be reached)`,
    });
  });

  it("neither is the stopped primary", () => {
    const down = stopped("pg1", at("0/5000148"));
    expect(observed(down, stopped("pg2", { local: { standbySignal: true }, ...at("0/5000100") }))).toEqual({
      kind: "none",
    });
    expect(observed(down, stopped("pg2", { local: { standbySignal: true }, ...at("0/5000148") }))).toEqual({
      ...pg1,
      kind: "stopped",
      timeline: 2,
    });
  });

  it("a history that is not known is no doubt, nor is one that a clone brings", () => {
    const unread = stopped("pg2", { control: { timeline: 2, began: undefined } });
    expect(observed(writable, unread)).toEqual({ ...pg1, timeline: 2 });
    const marker = { cluster: "orders", member: "pg2", state: "rewinding", dataDirectory: "/srv/pg2" } as const;
    expect(observed(writable, stopped("pg2", { local: { marker }, ...at("0/5000100") }))).toEqual({
      ...pg1,
      timeline: 2,
    });
  });
});

describe("every member was read", () => {
  it("names the only writable one", () => {
    expect(observed(primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1"))).toEqual(pg1);
  });

  it("names it whoever the standbys follow: a standby that does not stream is no doubt about the primary", () => {
    const astray = standby("pg2", "pg1", { postgres: { walReceiver: undefined } });
    expect(observed(primary("pg1"), astray, standby("pg3", "pg2"))).toEqual(pg1);
  });

  it("names it although another member's instance is stopped", () => {
    expect(observed(primary("pg1"), stopped("pg2", { local: { standbySignal: true } }))).toEqual(pg1);
  });

  it("names it although other members are still empty", () => {
    expect(observed(primary("pg1"), empty("pg2"), empty("pg3"))).toEqual(pg1);
  });

  it("names the only member of a cluster of one", () => {
    expect(observed(primary("pg1"))).toEqual(pg1);
  });

  it("names nobody when two are writable, on whatever timelines", () => {
    expect(observed(primary("pg1"), primary("pg2", { postgres: { timeline: 2 } }), standby("pg3", "pg2"))).toEqual({
      kind: "several",
      members: ["pg1", "pg2"],
      ahead: ["pg2"],
    });
  });

  it("names nobody when a standby has seen a higher timeline than the writable one: that is a former primary", () => {
    const ahead = standby("pg2", "pg3", { postgres: { timeline: 2 } });
    expect(observed(primary("pg1"), ahead, stopped("pg3", { control: { timeline: 2 } }))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable on timeline 1, but pg2 and pg3 have timeline 2: pg1 is a former primary",
      former: "pg1",
    });
  });

  it("does not count the timeline of a clone that never ended", () => {
    const marker = { cluster: "orders", member: "pg2", state: "cloning", dataDirectory: "/d" } as const;
    expect(observed(primary("pg1"), stopped("pg2", { local: { marker }, control: { timeline: 9 } }))).toEqual(pg1);
  });

  it("says none when all are standbys", () => {
    expect(observed(standby("pg1", "pg2"), standby("pg2", "pg1"))).toEqual({ kind: "none" });
  });

  it("names the address from which standbys stream when it is no declared member's: a removed one that lives", () => {
    expect(observed(standby("pg2", "pg1"), standby("pg3", "pg1"))).toEqual({
      kind: "elsewhere",
      text: "pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member",
    });
  });

  it("names every such address, and the port where another instance of a declared host sends", () => {
    const otherPort = { status: "streaming", senderHost: "203.0.113.13", senderPort: 5433, timeline: 1 };
    const pg3 = standby("pg3", "pg1", { postgres: { walReceiver: otherPort } });
    expect(observed(standby("pg2", "pg1"), pg3, standby("pg4", "pg2"))).toEqual({
      kind: "elsewhere",
      text: "pg2 streams from 203.0.113.11:5432, which is no declared member; pg3 streams from 203.0.113.13:5433, which is no declared member",
    });
  });

  it("does not speak of an address from which nobody streams any more", () => {
    const waiting = { status: "waiting", senderHost: "203.0.113.11", senderPort: 5432, timeline: 1 };
    expect(observed(standby("pg2", "pg1", { postgres: { walReceiver: waiting } }), empty("pg3"))).toEqual({
      kind: "none",
    });
  });

  it("says nothing when all are empty and unmarked", () => {
    expect(observed(empty("pg1"), empty("pg2", { dataDirectory: "empty" }), empty("pg3"))).toEqual({ kind: "nothing" });
  });

  it("says none, not nothing, when one is empty but marked", () => {
    const marker = { cluster: "orders", member: "pg2", state: "creating", dataDirectory: "/d" } as const;
    expect(observed(empty("pg1"), empty("pg2", { marker }))).toEqual({ kind: "none" });
  });

  it("says none, not nothing, when a directory holds something else", () => {
    expect(observed(empty("pg1"), empty("pg2", { dataDirectory: "foreign" }))).toEqual({ kind: "none" });
  });
});

describe("a primary that is not running, with every member read", () => {
  const down = stopped("pg1");
  const standbyDown = stopped("pg2", {
    local: { standbySignal: true },
    control: { state: "shut down in recovery" },
  });
  const is = { kind: "stopped", member: "pg1", timeline: 1, systemIdentifier };

  it("is named by its data, whether it was shut down or died", () => {
    expect(observed(down, standby("pg2", "pg1", { postgres: { walReceiver: undefined } }))).toEqual(is);
    expect(observed(stopped("pg1", { control: { state: "in production" } }), standbyDown)).toEqual(is);
    expect(observed(down, standbyDown, empty("pg3"))).toEqual(is);
  });

  it.each<[string, MemberObservation[]]>([
    ["a second one could be it too", [down, stopped("pg2")]],
    [
      "another member has a higher timeline",
      [down, standby("pg2", "pg1", { postgres: { timeline: 2, walReceiver: undefined } })],
    ],
    [
      "its data directory is in the middle of a recovery",
      [stopped("pg1", { control: { state: "in crash recovery" } })],
    ],
    ["it has been made a standby", [stopped("pg1", { local: { standbySignal: true } }), standbyDown]],
    [
      "its data is not finished",
      [
        stopped("pg1", {
          local: { marker: { cluster: "orders", member: "pg1", state: "cloning", dataDirectory: "/d" } },
        }),
      ],
    ],
    ["its data has no marker", [stopped("pg1", { local: { marker: undefined } })]],
    ["its control file could not be read", [stopped("pg1", { local: { controlData: undefined } })]],
    [
      "the data of another member is not there: it may be newer",
      [
        down,
        empty("pg2", {
          dataDirectory: "empty",
          unit: "inactive",
          marker: { cluster: "orders", member: "pg2", state: "ready", systemIdentifier, dataDirectory: "/d" },
        }),
      ],
    ],
    [
      "its WAL is not there",
      [
        stopped("pg1", {
          local: { walDirectory: { directory: "/w", path: "/w", pgWal: "/w", kind: "empty" } },
        }),
        standbyDown,
      ],
    ],
  ])("is not named when %s", (_, observations) => {
    expect(observed(...observations)).toEqual({ kind: "none" });
  });

  it("is not named when a standby streams from elsewhere: a primary that is not declared runs beside it", () => {
    expect(observed(down, standby("pg2", "pg9"))).toEqual({
      kind: "elsewhere",
      text: "pg2 streams from 203.0.113.19:5432, which is no declared member",
    });
  });

  it("is named although a standby still streams from another declared standby", () => {
    expect(
      observed(down, standby("pg2", "pg1", { postgres: { walReceiver: undefined } }), standby("pg3", "pg2")),
    ).toEqual(is);
  });

  it("is not named when a member could not be read: that one may be the primary now", () => {
    expect(observed(down, unreachable("pg2"))).toEqual({
      kind: "unknown",
      reason: "pg2 cannot be reached; pg1 is stopped",
      stopped: ["pg1"],
    });
  });
});

describe("a member could not be read", () => {
  it("names the writable one when a majority of the declared members confirms it", () => {
    expect(observed(primary("pg1"), standby("pg2", "pg1"), unreachable("pg3"))).toEqual(pg1);
  });

  it("names it although PostgreSQL on a third member does not answer", () => {
    expect(observed(primary("pg1"), standby("pg2", "pg1"), mute("pg3"))).toEqual(pg1);
  });

  it.each<[string, MemberObservation]>([
    ["streams from somebody else", standby("pg2", "pg3")],
    ["does not stream", standby("pg2", "pg1", { postgres: { walReceiver: undefined } })],
    [
      "only waits for WAL",
      standby("pg2", "pg1", {
        postgres: { walReceiver: { status: "waiting", senderHost: "203.0.113.11", senderPort: 5432, timeline: 1 } },
      }),
    ],
    [
      "streams from another instance of that host",
      standby("pg2", "pg1", {
        postgres: { walReceiver: { status: "streaming", senderHost: "203.0.113.11", senderPort: 5433, timeline: 1 } },
      }),
    ],
    ["is empty", empty("pg2")],
  ])("names nobody of three when the only other one %s", (_, other) => {
    expect(observed(primary("pg1"), other, unreachable("pg3"))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable, but only 1 of 3 members confirm it (pg3 cannot be reached)",
    });
  });

  it("names nobody of three when the only other one is stopped, and says so: it could confirm", () => {
    const other = stopped("pg2", { local: { standbySignal: true } });
    expect(observed(primary("pg1"), other, unreachable("pg3"))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable, but only 1 of 3 members confirm it (pg3 cannot be reached; pg2 is stopped)",
      stopped: ["pg2"],
    });
  });

  it("names nobody of two: one is no majority", () => {
    expect(observed(primary("pg1"), unreachable("pg2"))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable, but only 1 of 2 members confirm it (pg2 cannot be reached)",
    });
  });

  describe("of two under Pacemaker, where the other one cannot be reached", () => {
    const managed = (...members: string[]) =>
      endpoints(...members).map((one) => ({
        ...one,
        pacemaker: { clone: "pgha-orders-clone", node: one.member.replace("pg", "host") },
      }));
    const known = { ...pg1, member: "pg2", timeline: 2 };
    const two = { postgres: { timeline: 2 } };

    it("names the one that Pacemaker promoted after it had fenced the other", () => {
      const pg2 = primary("pg2", { local: { pacemaker: afterFencing("host2", "host1") }, ...two });
      expect(observePrimary([unreachable("pg1"), pg2], managed("pg1", "pg2"))).toEqual(known);
      expect(observePrimary([unreachable("pg1"), pg2], endpoints("pg1", "pg2"))).toMatchObject({ kind: "unknown" });
    });

    it("does not name one that somebody promoted beside Pacemaker, or whose Pacemaker does not run", () => {
      const beside = primary("pg2", { local: { pacemaker: afterFencing("host1", "host1") }, ...two });
      expect(observePrimary([unreachable("pg1"), beside], managed("pg1", "pg2"))).toMatchObject({ kind: "unknown" });
      const alone = primary("pg2", { local: { pacemaker: { running: false, reason: "" } }, ...two });
      expect(observePrimary([unreachable("pg1"), alone], managed("pg1", "pg2"))).toMatchObject({ kind: "unknown" });
    });

    it("does not name a former primary, and none that was promoted apart from a member that answers", () => {
      const word = { pacemaker: afterFencing("host1", "host3") };
      const left = standby("pg2", "pg3", two);
      const all = managed("pg1", "pg2", "pg3");
      expect(observePrimary([primary("pg1", { local: word }), left, unreachable("pg3")], all)).toMatchObject({
        kind: "unknown",
        former: "pg1",
      });
      const at = (endLsn: string) => ({ control: { timeline: 2, began: { timeline: 1, endLsn } } });
      const writable = primary("pg1", { local: word, ...two, ...at("0/5000148") });
      expect(observePrimary([writable, stopped("pg2", at("0/5000100")), unreachable("pg3")], all)).toMatchObject({
        kind: "unknown",
      });
    });
  });

  it("names nobody of four with two: half is no majority", () => {
    expect(observed(primary("pg1"), standby("pg2", "pg1"), unreachable("pg3"), unreachable("pg4"))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable, but only 2 of 4 members confirm it (pg3 and pg4 cannot be reached)",
    });
  });

  it("never names a former primary on a lower timeline", () => {
    expect(observed(primary("pg1"), standby("pg2", "pg3", { postgres: { timeline: 2 } }), unreachable("pg3"))).toEqual({
      kind: "unknown",
      reason: "pg1 is writable on timeline 1, but pg2 has timeline 2: pg1 is a former primary",
      former: "pg1",
    });
  });

  it("names the writable one on the highest timeline", () => {
    const two = { postgres: { timeline: 2 } };
    expect(observed(stopped("pg1"), primary("pg2", two), standby("pg3", "pg2", two), unreachable("pg4"))).toEqual({
      kind: "unknown",
      reason: "pg2 is writable, but only 2 of 4 members confirm it (pg4 cannot be reached; pg1 is stopped)",
      stopped: ["pg1"],
    });
    expect(observed(unreachable("pg1"), primary("pg2", two), standby("pg3", "pg2", two))).toEqual({
      kind: "known",
      member: "pg2",
      timeline: 2,
      systemIdentifier,
    });
  });

  it("says which members are silent when none is seen writable", () => {
    expect(observed(unreachable("pg1"), mute("pg2"), standby("pg3", "pg1"))).toEqual({
      kind: "unknown",
      reason:
        "pg1 cannot be reached; PostgreSQL on pg2 does not answer (the database system is starting up); pg3 still streams from pg1",
      missing: { unread: ["pg1", "pg2"], streaming: ["pg3"] },
    });
  });

  it("tells a primary that is gone from one that only cannot be reached from here: the others do not stream any more", () => {
    const idle = { postgres: { walReceiver: undefined } };
    expect(observed(unreachable("pg1"), standby("pg2", "pg1", idle), standby("pg3", "pg1", idle))).toEqual({
      kind: "unknown",
      reason: "pg1 cannot be reached",
      missing: { unread: ["pg1"], streaming: [] },
    });
    expect(observed(unreachable("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1"))).toEqual({
      kind: "unknown",
      reason: "pg1 cannot be reached; pg2 and pg3 still stream from pg1",
      missing: { unread: ["pg1"], streaming: ["pg2", "pg3"] },
    });
  });

  it("takes a standby that feeds another one for no primary", () => {
    const idle = { postgres: { walReceiver: undefined } };
    expect(observed(unreachable("pg1"), standby("pg2", "pg1", idle), standby("pg3", "pg2"))).toEqual({
      kind: "unknown",
      reason: "pg1 cannot be reached",
      missing: { unread: ["pg1"], streaming: [] },
    });
  });

  it("says from whom the others stream when that is no declared member", () => {
    expect(observed(standby("pg2", "pg1"), unreachable("pg3"))).toEqual({
      kind: "unknown",
      reason: "pg3 cannot be reached; pg2 streams from 203.0.113.11:5432, which is no declared member",
      missing: { unread: ["pg3"], streaming: ["pg2"] },
    });
  });

  it("does not take a unit that is starting or stopping for stopped", () => {
    const starting = stopped("pg2", { local: { unit: "activating", standbySignal: true } });
    expect(observed(stopped("pg1"), starting)).toEqual({
      kind: "unknown",
      reason: "PostgreSQL on pg2 does not answer (unit activating); pg1 is stopped",
      stopped: ["pg1"],
    });
  });

  it("does not take hosts for unused while one of them is away", () => {
    expect(observed(empty("pg1"), unreachable("pg2"), empty("pg3"))).toEqual({
      kind: "unknown",
      reason: "pg2 cannot be reached",
    });
  });

  it("still reports two writable ones", () => {
    expect(observed(primary("pg1"), primary("pg2"), unreachable("pg3"))).toEqual({
      kind: "several",
      members: ["pg1", "pg2"],
      ahead: [],
    });
  });
});

describe("a member of another database", () => {
  const other = "7000000000000000009";
  const text = "pg1 has system identifier 7000000000000000001, pg2 has system identifier 7000000000000000009";

  it("is reported, running or not", () => {
    const running = standby("pg2", "pg1", { postgres: { systemIdentifier: other } });
    const resting = stopped("pg2", { control: { systemIdentifier: other } });
    expect(observed(primary("pg1"), running)).toEqual({ kind: "foreign", text });
    expect(observed(primary("pg1"), resting)).toEqual({ kind: "foreign", text });
  });

  it("is reported even when both are writable, and even when a third is away", () => {
    const writable = primary("pg2", { postgres: { systemIdentifier: other } });
    expect(observed(primary("pg1"), writable, unreachable("pg3"))).toEqual({ kind: "foreign", text });
  });

  it("is told by its marker when its data is away", () => {
    const marker = {
      cluster: "orders",
      member: "pg2",
      state: "ready",
      systemIdentifier: other,
      dataDirectory: "/d",
    } as const;
    expect(observed(primary("pg1"), empty("pg2", { marker }))).toEqual({ kind: "foreign", text });
  });

  it("does not count while it is being cloned: that data is begun anew", () => {
    const marker = { cluster: "orders", member: "pg2", state: "cloning", dataDirectory: "/d" } as const;
    const half = stopped("pg2", { local: { marker }, control: { systemIdentifier: other } });
    expect(observed(primary("pg1"), half)).toEqual(pg1);
  });
});
