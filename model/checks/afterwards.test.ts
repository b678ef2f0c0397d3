import { describe, expect, it } from "vitest";
import { stopped, unreachable } from "../../test/support/observations.ts";
import { member } from "../../test/support/shapes.ts";
import { check, type Given, objections, slot, thirdStandby } from "../../test/support/switchover.ts";
import type { MemberObservation, Slot } from "../observation.ts";

describe("the synchronous rule", () => {
  const warning = (measured: string, limit: string) => [
    {
      name: "synchronous rule",
      verdict: "warn",
      measured,
      limit,
      remedy: "The outage lasts until pg1 streams again as a standby (predicted below).",
    },
  ];

  it("warns when the standbys that remain are not enough", () => {
    expect(objections({ group: { synchronous: { quorum: 2 } } })).toEqual(warning("1 without pg1", "2 standbys"));
  });

  it.each<[string, Given, string]>([
    ["a third member is away that it needs too", { third: unreachable("pg3") }, "1 with pg1"],
    [
      "the old primary is no candidate",
      { group: { members: [member("pg1", { candidate: false }), member("pg2"), member("pg3")] } },
      "1 with pg1",
    ],
  ])("blocks when %s: no commit would ever be acknowledged", (_, given, measured) => {
    expect(check("synchronous rule", { ...given, group: { ...given.group, synchronous: { quorum: 2 } } })).toEqual({
      name: "synchronous rule",
      verdict: "block",
      measured,
      limit: "2 standbys",
      remedy:
        "Every commit on pg2 would wait without an end: bring the other standbys back, or ask for fewer (synchronous:).",
    });
  });

  it.each<[string, MemberObservation]>([
    ["is away", unreachable("pg3")],
    ["is stopped", stopped("pg3")],
    ["does not stream", thirdStandby({ walReceiver: undefined })],
  ])("warns when the third member %s", (_, third) => {
    expect(check("synchronous rule", { group: { synchronous: { priority: 1 } }, third })).toEqual(
      warning("0 without pg1", "1 standby")[0],
    );
  });

  it("does not count a member that is no candidate", () => {
    const members = [member("pg1"), member("pg2"), member("pg3", { candidate: false })];
    expect(objections({ group: { synchronous: { quorum: 1 }, members } })).toEqual(
      warning("0 without pg1", "1 standby"),
    );
  });
});

/** Beside the members' own slots. */
function withSlots(onPrimary: readonly Slot[], onTarget: readonly Slot[] = [], more: Given = {}): Given {
  return {
    ...more,
    primary: { ...more.primary, slots: [slot("pgha_pg2"), slot("pgha_pg3"), ...onPrimary] },
    target: { ...more.target, slots: [slot("pgha_pg1"), slot("pgha_pg3"), ...onTarget] },
  };
}

describe("logical slots", () => {
  const name = "logical slots";
  const limit = "none lost";
  const audit = slot("audit", { kind: "logical" });
  const failover = { ...audit, failover: true };
  const copy = { ...failover, active: false, synced: true };
  const remedy =
    "Make them failover slots, and declare sync_replication_slots and hot_standby_feedback on under parameters: (wait until pg2 has them); or declare disposableSlots: [audit] if their consumers may begin anew.";

  it.each<[string, Slot, Slot[], string]>([
    ["is no failover slot", audit, [], "audit is not a failover slot"],
    ["is not on the target", failover, [], "audit is not synced yet"],
    ["is on the target, but as a slot of its own", failover, [{ ...copy, synced: false }], "audit is not synced yet"],
    ["is on the target, but not ready", failover, [{ ...copy, temporary: true }], "audit is not synced yet"],
    ["was lost on the target", failover, [{ ...copy, walStatus: "lost" }], "audit is lost on the target"],
  ])("block when one %s", (_, held, onTarget, measured) => {
    expect(objections(withSlots([held], onTarget))).toEqual([{ name, verdict: "block", measured, limit, remedy }]);
  });

  it("are well when the target has a copy that is ready", () => {
    expect(check(name, withSlots([failover], [copy]))).toEqual({
      name,
      verdict: "ok",
      measured: "audit synced",
      limit,
      remedy: "",
    });
  });

  it("block before PostgreSQL 17, which cannot copy them", () => {
    const version = { version: 150_018 };
    const both = withSlots([audit, slot("cdc", { kind: "logical", active: false })], [], {
      primary: version,
      target: version,
    });
    expect(objections(both)).toEqual([
      {
        name,
        verdict: "block",
        measured: "audit, cdc would be lost",
        limit,
        remedy:
          "PostgreSQL before 17 cannot keep them: declare disposableSlots: [audit, cdc] if their consumers may begin anew.",
      },
    ]);
  });

  it("may be lost when they are declared disposable, each by its name", () => {
    const group = { disposableSlots: ["audit"] };
    expect(check(name, withSlots([audit], [], { group }))).toMatchObject({
      verdict: "ok",
      measured: "audit disposable",
    });
    const other = slot("cdc", { kind: "logical" });
    expect(objections(withSlots([audit, other], [], { group }))).toMatchObject([
      { verdict: "block", measured: "cdc is not a failover slot" },
    ]);
  });

  it("are no matter when nothing can be lost: a temporary one, one that is lost already", () => {
    const gone = [slot("a", { kind: "logical", temporary: true }), slot("b", { kind: "logical", walStatus: "lost" })];
    expect(objections(withSlots(gone))).toEqual([]);
  });
});

describe("physical slots of others", () => {
  const barman = slot("barman");

  it("warn when the target has none of that name", () => {
    expect(objections(withSlots([barman, slot("dr")]))).toEqual([
      {
        name: "other slots",
        verdict: "warn",
        measured: "barman, dr not on pg2",
        limit: "on both",
        remedy:
          "Its consumer may miss WAL: on pg2, select pg_create_physical_replication_slot('barman'), or declare it under disposableSlots.",
      },
    ]);
  });

  it("are well on both, and where they are temporary or declared disposable", () => {
    expect(check("other slots", withSlots([barman], [barman]))).toMatchObject({ verdict: "ok", measured: "barman" });
    expect(objections(withSlots([slot("pg_basebackup_7", { temporary: true })]))).toEqual([]);
    expect(objections(withSlots([barman], [], { group: { disposableSlots: ["barman"] } }))).toEqual([]);
  });
});
