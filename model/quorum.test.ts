import { expect, it } from "vitest";
import { group, member } from "../test/support/shapes.ts";
import { acknowledgingStandbys, neededStandbys, needsOldPrimary } from "./quorum.ts";

it("a commit waits for as many standbys as are declared", () => {
  expect([
    neededStandbys({ members: [], synchronous: "off" }),
    neededStandbys({ members: [], synchronous: { quorum: 2 } }),
  ]).toEqual([0, 2]);
  expect(neededStandbys({ members: [], synchronous: { priority: 3 } })).toBe(3);
});

it("who streams and is a candidate can acknowledge, except the old primary and the target", () => {
  const members = [member("pg1"), member("pg2"), member("pg3"), member("pg4", { candidate: false }), member("pg5")];
  const streaming = new Set(["pg1", "pg2", "pg3", "pg4"]);
  expect(acknowledgingStandbys(group({ members }), "pg1", "pg2", streaming)).toBe(1);
});

it("the old primary is needed when nobody else can acknowledge", () => {
  const both = new Set(["pg2", "pg3"]);
  expect(needsOldPrimary(group(), "pg1", "pg2", new Set())).toBe(false);
  expect(needsOldPrimary(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", both)).toBe(false);
  expect(needsOldPrimary(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", new Set(["pg2"]))).toBe(true);
  expect(needsOldPrimary(group({ synchronous: { quorum: 2 } }), "pg1", "pg2", both)).toBe(true);
  const two = group({ synchronous: { quorum: 1 }, members: [member("pg1"), member("pg2")] });
  expect(needsOldPrimary(two, "pg1", "pg2", new Set(["pg2"]))).toBe(true);
});
