import { expect, test } from "vitest";
import { exploreAll, type Scope, violationText, walk } from "../explorer/search.ts";
import type { Budget } from "../explorer/world.ts";

/*
 * The same search as in test/explorer, deeper: two and three `pulumi up` with several things going wrong, exhaustively up to
 * a number of states, and beyond that at random. PGHA_SEED replays a random one, PGHA_WALKS says how many.
 */
const seed = Number(process.env.PGHA_SEED ?? Math.floor(Math.random() * 2 ** 31));
const walks = Number(process.env.PGHA_WALKS ?? 2000);
const limit = 150_000;

const goals: Scope["goals"] = [
  { from: 0, to: 1 },
  { from: 1, to: 2 },
  { from: 0, to: 2 },
  { from: 2, to: 1 },
  { from: 1, to: 0 },
];

test.each<Partial<Budget>>([
  { ups: 2, deaths: 1 },
  { ups: 2, deaths: 1, powerCuts: 1 },
  { ups: 2, deaths: 1, kills: 1 },
  { ups: 2, deaths: 1, cuts: 1 },
  { ups: 2, lapses: 1, impatience: 1 },
  { ups: 1, powerCuts: 2 },
  { ups: 1, kills: 1, powerCuts: 1, rows: 1 },
  { ups: 1, powerCuts: 1, humans: 1 },
])("with %o nothing goes wrong, in whatever order", (budget) => {
  const { states, depth, complete, violation } = exploreAll({ budget, goals, limit, ends: true });
  console.log(`${states} states, ${depth} deep, ${complete ? "all there are" : "not all there are"}`);
  expect(violation === undefined ? "nothing" : violationText(violation)).toBe("nothing");
});

test(`at random nothing goes wrong either (PGHA_SEED=${seed})`, () => {
  const budget = {
    ...{ rows: 3, powerCuts: 3, freezes: 1, kills: 3, deaths: 3, lapses: 2 },
    ...{ cuts: 3, ups: 5, humans: 0, impatience: 3 },
  };
  for (let one = seed; one < seed + walks; one++) {
    const violation = walk({ budget, goals, ends: true }, one, 200);
    expect(violation === undefined ? "nothing" : `PGHA_SEED=${one} PGHA_WALKS=1\n${violationText(violation)}`).toBe(
      "nothing",
    );
  }
});
