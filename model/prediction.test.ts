import { describe, expect, it } from "vitest";
import { group, member } from "../test/support/shapes.ts";
import { evidence } from "../test/support/switchover.ts";
import { type Activity, activityOf, predictOutage } from "./prediction.ts";

const all = new Set(["pg2", "pg3"]);
const idle: Activity = { transactions: 0, archiving: false };
const quorum = group({ synchronous: { quorum: 1 } });

const total = (shape: typeof quorum, activity: Activity) =>
  predictOutage(shape, "pg1", "pg2", all, activity).totalMilliseconds;

describe("the predicted outage", () => {
  it("of an idle primary is what stopping, proving, promoting and acknowledging take", () => {
    expect(predictOutage(quorum, "pg1", "pg2", all, idle)).toEqual({
      parts: [
        { what: "fast stop", milliseconds: 35 },
        { what: "ticket and proof", milliseconds: 5 },
        { what: "promotion", milliseconds: 20 },
        { what: "copy of a 16MB segment", milliseconds: 27 },
        { what: "first acknowledged commit", milliseconds: 20 },
      ],
      totalMilliseconds: 107,
    });
  });

  it("grows with what clients are doing and with archiving, by what each costs", () => {
    expect(predictOutage(quorum, "pg1", "pg2", all, { transactions: 8, archiving: true })).toEqual({
      parts: [
        { what: "fast stop", milliseconds: 35 },
        { what: "end of 8 transactions", milliseconds: 24 },
        { what: "a full and a new 16MB segment (archiving)", milliseconds: 54 },
        { what: "16MB to pg2 at 1 Gbit/s", milliseconds: 134 },
        { what: "ticket and proof", milliseconds: 5 },
        { what: "promotion", milliseconds: 20 },
        { what: "copy of a 16MB segment", milliseconds: 27 },
        { what: "first acknowledged commit", milliseconds: 20 },
      ],
      totalMilliseconds: 319,
    });
  });

  /* What a client waited, the median of 15 switchovers of each kind: bench/results/2026-11-21-host-to-host.md. */
  it.each([
    ["16 MB segments, idle", quorum, idle, 94],
    ["1 MB segments, idle, from near and from 80 ms away", { ...quorum, walSegmentSize: "1MB" } as const, idle, 73],
    ["16 MB segments, 8 clients", quorum, { transactions: 8, archiving: false }, 117],
    ["16 MB segments, 8 clients, of which 5 are in a transaction", quorum, { transactions: 5, archiving: false }, 117],
    ["16 MB segments, 8 clients, archiving over 1 Gbit/s", quorum, { transactions: 8, archiving: true }, 393],
    ["the same, of which 5 are in a transaction", quorum, { transactions: 5, archiving: true }, 393],
  ])("is within 30 %% of what was measured: %s", (_, shape, activity, measured) => {
    expect(Math.abs(total(shape, activity) / measured - 1)).toBeLessThan(0.3);
  });

  it("counts the WAL of every standby that still streams from the old primary while it stops", () => {
    const two = group({ synchronous: { quorum: 2 } });
    const { parts } = predictOutage(two, "pg1", "pg2", all, { transactions: 0, archiving: true });
    expect(parts).toContainEqual({ what: "16MB to 2 standbys at 1 Gbit/s", milliseconds: 268 });
  });

  it.each([
    ["two members with quorum 1", group({ synchronous: { quorum: 1 }, members: [member("pg1"), member("pg2")] }), all],
    ["three members with quorum 2", group({ synchronous: { quorum: 2 } }), all],
    ["the third member away", quorum, new Set(["pg2"])],
  ])("includes the old primary's return: %s", (_, shape, streaming) => {
    const { parts, totalMilliseconds } = predictOutage(shape, "pg1", "pg2", streaming, idle);
    expect(parts.at(-1)).toEqual({
      what: "pg1 back as a standby (the synchronous rule needs it)",
      milliseconds: 350,
    });
    expect(totalMilliseconds).toBe(107 + 350);
  });
});

describe("what is going on at the primary", () => {
  const archiving = (setting: string) => ({
    settings: { archive_mode: { setting, unit: null, vartype: "enum" } },
    transactions: 3,
  });

  it.each([
    ["off", false],
    ["on", true],
    ["always", true],
  ])("archive_mode %s: archiving %s", (setting, expected) => {
    const { measured } = evidence({ primaryMeasured: archiving(setting) });
    expect(activityOf(measured)).toEqual({ transactions: 3, archiving: expected });
  });

  it("is taken for nothing where it could not be asked: a check says that already", () => {
    expect(activityOf({ failed: "pg1: no answer within 10 s" })).toEqual(idle);
  });
});
