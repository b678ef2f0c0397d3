import { expect, it } from "vitest";
import type { DeclaredGroup, GroupState } from "../model/groupDiff.ts";
import { groupInputs } from "../test/support/shapes.ts";
import { noticesOf } from "./notices.ts";

const declared: DeclaredGroup = { ...groupInputs(["pg1"]), configuration: {} };
const one = { member: "pg1", systemIdentifier: "7", timeline: 1 };
const settled: GroupState = { primary: "pg1", applied: one, observed: { kind: "known", ...one }, configuration: {} };

it("of a cluster that is as declared nothing is said", () => {
  expect(noticesOf(declared, declared, settled)).toEqual([]);
});

it("a primary that does not run is told before its members, and that `up` starts it", () => {
  const state: GroupState = {
    ...settled,
    observed: { kind: "stopped", ...one },
    unhealthy: { pg1: "service stopped" },
  };
  expect(noticesOf(declared, declared, state).map(({ text }) => text)).toEqual([
    "pg1, the primary, does not run, and nobody was promoted\n  `pulumi up` starts it as primary again.",
    "1 of 1 members unhealthy\n  pg1: service stopped",
  ]);
});
