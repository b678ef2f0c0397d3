import { describe, expect, it } from "vitest";
import { empty, endpoints, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { movedSince } from "./moved.ts";

const known = endpoints("pg1", "pg2", "pg3");
const steady = [primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1")];
const onTimeline2 = { postgres: { timeline: 2 } };

describe("nothing moved", () => {
  it("when the same member is primary on the same timeline and the same members are reached", () => {
    expect(movedSince(steady, steady, known)).toEqual([]);
    expect(movedSince([empty("pg1"), empty("pg2")], [empty("pg1"), empty("pg2")], known)).toEqual([]);
  });

  it("when a standby was repaired meanwhile: whoever works next sees that it is well", () => {
    const before = [primary("pg1"), standby("pg2", "pg1"), empty("pg3")];
    expect(movedSince(before, steady, known)).toEqual([]);
  });

  it("when only the words differ that say why a member is not reached", () => {
    const lost = (reason: string) => [
      primary("pg1"),
      standby("pg2", "pg1"),
      { member: "pg3", reached: false, reason } as const,
    ];
    expect(movedSince(lost("no answer within 8 s"), lost("connection refused"), known)).toEqual([]);
  });
});

describe("it moved", () => {
  it("when another member became primary", () => {
    const now = [standby("pg1", "pg2", onTimeline2), primary("pg2", onTimeline2), standby("pg3", "pg2", onTimeline2)];
    expect(movedSince(steady, now, known)).toEqual([
      "pg2 is primary on timeline 2 (before: pg1 is primary on timeline 1)",
    ]);
  });

  it("when the primary came back to the same member on another timeline", () => {
    const now = [primary("pg1", onTimeline2), standby("pg2", "pg1", onTimeline2), standby("pg3", "pg1", onTimeline2)];
    expect(movedSince(steady, now, known)).toEqual([
      "pg1 is primary on timeline 2 (before: pg1 is primary on timeline 1)",
    ]);
  });

  it("when another database lies there", () => {
    const now = [primary("pg1", { postgres: { systemIdentifier: "7" } })];
    expect(movedSince([primary("pg1")], now, known)).toEqual([
      "pg1 is primary on timeline 1 of system 7 (before: of system 7000000000000000001)",
    ]);
  });

  it("when somebody made the cluster meanwhile, or stopped it", () => {
    expect(movedSince([empty("pg1"), empty("pg2")], [primary("pg1"), standby("pg2", "pg1")], known)).toEqual([
      "pg1 is primary on timeline 1 (before: every member is empty)",
    ]);
    expect(movedSince([primary("pg1")], [stopped("pg1")], known)).toEqual([
      "pg1 is primary on timeline 1, and stopped (before: pg1 is primary on timeline 1)",
    ]);
  });

  it("when two are writable now", () => {
    expect(movedSince(steady, [primary("pg1"), primary("pg2"), standby("pg3", "pg1")], known)).toEqual([
      "pg1 and pg2 are writable (before: pg1 is primary on timeline 1)",
    ]);
  });

  it("when a member was lost, or came back, though the others still name the primary", () => {
    const without = [primary("pg1"), standby("pg2", "pg1"), unreachable("pg3")];
    expect(movedSince(steady, without, known)).toEqual(["pg3 cannot be reached any more (no answer within 8 s)"]);
    expect(movedSince(without, steady, known)).toEqual(["pg3 can be reached now"]);
  });

  it("in both ways at once, and both are told", () => {
    expect(movedSince(steady, [unreachable("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1")], known)).toEqual([
      "who is primary cannot be told (pg1 cannot be reached; pg2 and pg3 still stream from pg1) (before: pg1 is primary on timeline 1)",
      "pg1 cannot be reached any more (no answer within 8 s)",
    ]);
  });
});
