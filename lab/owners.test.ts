import { expect, test } from "vitest";
import { type Owned, ownersSeen } from "./owners.ts";

const seen = (...answers: readonly (readonly string[])[]): Owned[] =>
  answers.map((owners, index) => ({ milliseconds: index * 20, owners }));

test("an address that moves has one owner after the other, and nobody in between", () => {
  expect(ownersSeen(seen(["pg1"], ["pg1"], [], [], ["pg2"], ["pg2"]))).toEqual({
    asked: 6,
    answered: 4,
    disputed: [],
    owners: [
      { owner: "pg1", fromMilliseconds: 0, toMilliseconds: 20 },
      { owner: "pg2", fromMilliseconds: 80, toMilliseconds: 100 },
    ],
  });
});

test("a question that two hosts answer is disputed, and each of them goes on owning", () => {
  const { disputed, owners } = ownersSeen(seen(["pg1"], ["pg1", "pg2"], ["pg1", "pg2"], ["pg2"]));
  expect(disputed).toEqual([
    { milliseconds: 20, owners: ["pg1", "pg2"] },
    { milliseconds: 40, owners: ["pg1", "pg2"] },
  ]);
  expect(owners).toEqual([
    { owner: "pg1", fromMilliseconds: 0, toMilliseconds: 40 },
    { owner: "pg2", fromMilliseconds: 20, toMilliseconds: 60 },
  ]);
});

test("an address that comes back to a host is a second stretch", () => {
  expect(ownersSeen(seen(["pg1"], ["pg2"], ["pg1"])).owners.map(({ owner }) => owner)).toEqual(["pg1", "pg2", "pg1"]);
});
