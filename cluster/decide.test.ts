import { describe, expect, it } from "vitest";
import type { MemberObservation } from "../model/observation.ts";
import { empty, primary, standby, systemIdentifier, unreachable } from "../test/support/observations.ts";
import { group } from "../test/support/shapes.ts";
import { decide, decideAgain, type Goal } from "./decide.ts";

const { members, ...rest } = group();
const declared = {
  ...rest,
  members: Object.fromEntries(members.map(({ name, ...member }) => [name, member])),
  synchronous: "off" as const,
  parameters: {},
  clientNetworks: [],
  socketUsers: ["root"],
  configuration: {},
};

const recorded = {
  primary: "pg1",
  applied: { member: "pg1", systemIdentifier, timeline: 1 },
  observed: { kind: "known", member: "pg1", systemIdentifier, timeline: 1 },
  configuration: {},
} as const;

const goal: Goal = { declared, olds: declared, recorded };
const switching: Goal = { ...goal, declared: { ...declared, primary: "pg2" } };

const creating: Goal = { declared, olds: undefined, recorded: undefined };

const steady = [primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1")];

/** The kind of situation that is carried out, or the refusal. */
function again(of: Goal, before: readonly MemberObservation[], now: readonly MemberObservation[]): string {
  try {
    return decideAgain(of, decide(of, before), now).situation.kind;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe("under the lock", () => {
  it("what was decided is carried out when the members still lead to it", () => {
    expect(again(goal, steady, steady)).toBe("unchanged");
    expect(again(switching, steady, steady)).toBe("switchover");
    const nothing = [empty("pg1"), empty("pg2"), empty("pg3")];
    expect(again(creating, nothing, nothing)).toBe("create");
  });

  it("a member that somebody else cloned meanwhile is only less to do", () => {
    const before = [primary("pg1"), standby("pg2", "pg1"), empty("pg3")];
    expect(again(goal, before, steady)).toBe("unchanged");
  });

  it("a switchover that somebody else did meanwhile is not done again", () => {
    const onTimeline2 = { postgres: { timeline: 2 } };
    const now = [standby("pg1", "pg2", onTimeline2), primary("pg2", onTimeline2), standby("pg3", "pg2", onTimeline2)];
    expect(again(switching, steady, now)).toBe(
      [
        "orders: it changed while this was being prepared: pg2 is primary on timeline 2 (before: pg1 is primary on timeline 1).",
        "  Nothing was touched. Run `pulumi up` again.",
        "  pg1: standby, timeline 2, streaming from 203.0.113.12:5432",
        "  pg2: primary, writable, timeline 2",
        "  pg3: standby, timeline 2, streaming from 203.0.113.12:5432",
      ].join("\n"),
    );
  });

  it("a member that was lost meanwhile stops it, though the others still name the primary", () => {
    expect(again(goal, steady, [primary("pg1"), standby("pg2", "pg1"), unreachable("pg3")])).toBe(
      [
        "orders: it changed while this was being prepared: pg3 cannot be reached any more (no answer within 8 s).",
        "  Nothing was touched. Run `pulumi up` again.",
        "  pg1: primary, writable, timeline 1",
        "  pg2: standby, timeline 1, streaming from 203.0.113.11:5432",
        "  pg3: unreachable (no answer within 8 s)",
      ].join("\n"),
    );
  });

  it("a cluster that somebody else made meanwhile is not made again", () => {
    const nothing = [empty("pg1"), empty("pg2"), empty("pg3")];
    expect(again(creating, nothing, steady)).toContain(
      "orders: it changed while this was being prepared: pg1 is primary on timeline 1 (before: every member is empty).\n  Nothing was touched.",
    );
  });

  it("what somebody else finished meanwhile is not finished again; while it is unfinished, the hosts may still move", () => {
    const journal = {
      operation: "switchover",
      from: "pg1",
      to: "pg2",
      epoch: 4,
      systemIdentifier,
      timeline: 1,
      startedAt: "2026-01-02T03:04:05Z",
      holder: "root@deploy, pid 7",
    } as const;
    const left = (observation: MemberObservation & { reached: true }): MemberObservation => ({
      ...observation,
      local: { ...observation.local, journal },
    });
    const before = [left(primary("pg1")), left(standby("pg2", "pg1")), standby("pg3", "pg1")];
    expect(again(goal, before, steady)).toContain(
      "orders: it changed while this was being prepared: pg1 is primary, as declared.\n  Nothing was touched.",
    );
    const moving = [unreachable("pg1"), left(standby("pg2", "pg1")), standby("pg3", "pg1")];
    expect(again(goal, before, moving)).toBe("finish");
  });
});
