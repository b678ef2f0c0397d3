import { expect, test } from "vitest";
import { type Rules, realRules } from "./rules.ts";
import { exploreAll, type Scope, violationText } from "./search.ts";
import type { Budget } from "./world.ts";

/*
 * Every order of everything that may happen within a budget, from a steady cluster of three. docs/internals/handover.md says
 * what is in it and what is not; test/acceptance/explorer.test.ts goes deeper.
 */

const there = { from: 0, to: 1 };
const back = { from: 1, to: 0 };

const limit = 100_000;
/** Seconds even on a slow machine; a machine with other work to do takes longer. */
const patience = { timeout: 120_000 };

function explore(budget: Partial<Budget>, rules: Rules = realRules, goals: Scope["goals"] = [there, back]) {
  const result = exploreAll({ budget, goals, limit, ends: true }, rules);
  console.log(`${Object.entries(budget).flat().join(" ")}: ${result.states} states, ${result.depth} deep`);
  return result;
}

test.each<Partial<Budget>>([
  { ups: 1, rows: 1 },
  { ups: 1, kills: 1 },
  { ups: 1, powerCuts: 1 },
  { ups: 1, cuts: 1, impatience: 1 },
  { ups: 1, lapses: 1 },
])("with %o nothing goes wrong, in whatever order", patience, (budget) => {
  const { violation, complete, seen } = explore(budget);
  expect(violation === undefined ? "" : violationText(violation)).toBe("");
  expect(complete).toBe(true);
  expect([...seen]).toEqual(expect.arrayContaining(["promotes", "is writable", "gives its place up"]));
});
