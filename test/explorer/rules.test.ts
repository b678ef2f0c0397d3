import { expect, test } from "vitest";
import { pretendHosts } from "../support/pretendHosts.ts";
import { realRules } from "./rules.ts";

/* The explorer goes by decisions of the hosts' program that are said again in TypeScript: here both are asked the same. */
const hosts = pretendHosts();

/** Every combination of the values. */
function combinations<T extends Record<string, readonly unknown[]>>(values: T): { [K in keyof T]: T[K][number] }[] {
  return Object.entries(values).reduce<object[]>(
    (before, [name, each]) => before.flatMap((one) => each.map((value) => ({ ...one, [name]: value }))),
    [{}],
  ) as { [K in keyof T]: T[K][number] }[];
}

const states = ["armed", "consumed", "promoted", "revoked"] as const;
const boolean = [true, false] as const;

test("a ticket is consumed by the same rule in the explorer and on the hosts", async () => {
  const cases = combinations({
    state: states,
    epoch: [1, 2, 3],
    thisBoot: boolean,
    lock: [1, 2, 3],
    alive: boolean,
    isLate: boolean,
  });
  const onHosts = await hosts.evaluate(
    cases.map(({ state, epoch, thisBoot, lock, alive, isLate }) => {
      const ticket = { state, epoch, boot: thisBoot ? "this" : "earlier", timeline: 1 };
      return ["may_consume", ticket, { epoch: lock, alive }, 2, "this", isLate ? 5 : 4.9];
    }),
  );
  const explored = cases.map(({ lock, alive, isLate, ...ticket }) =>
    realRules.mayConsume({ ...ticket, timeline: 1 }, { epoch: lock, alive }, 2, isLate),
  );
  expect(onHosts).toEqual(explored);
  expect(explored.filter((allowed) => allowed)).toHaveLength(1);
});

test("a revocation is answered by the same rule in the explorer and on the hosts", async () => {
  const cases = combinations({ state: states, epoch: [1, 2, 3], own: [4, 5, 6], isStandby: boolean });
  const onHosts = await hosts.evaluate(
    cases.map(({ state, epoch, own, isStandby }) => ["after_revocation", { state, epoch }, 2, 5, own, isStandby]),
  );
  const explored = cases.map(({ state, epoch, own, isStandby }) => {
    const ticket = { state, epoch, thisBoot: true, timeline: 5 };
    return realRules.afterRevocation(ticket, { epoch: 2, timeline: 5 }, { timeline: own, isStandby });
  });
  expect(onHosts).toEqual(explored);
  expect(new Set(explored)).toEqual(new Set(["revoked", "consumed", "promoted", "overtaken"]));
});

test("a former primary passes its gate by the same rule in the explorer and on the hosts", async () => {
  const cases = combinations({
    timeline: [1, 2, 3],
    inProduction: boolean,
    consumed: boolean,
    pg2: boolean,
    pg3: ["silent", "agrees", "ahead"],
  });
  const silent = { unreachable: "no route" };
  const onHosts = await hosts.evaluate(
    cases.map(({ timeline, inProduction, consumed, pg2, pg3 }) => {
      const answer = { systemIdentifier: "7", ticketEpoch: 1, ticketState: "none", state: "shut down" };
      const state = inProduction ? "in production" : "in archive recovery";
      const ticketState = consumed ? "consumed" : "promoted";
      const answers = {
        pg2: pg2 ? { ...answer, timeline, state, ticketState } : silent,
        pg3: pg3 === "silent" ? silent : { ...answer, timeline: pg3 === "ahead" ? 3 : 2 },
      };
      return ["verdict", { systemIdentifier: "7", timeline: 2 }, answers, 3];
    }),
  );
  const explored = cases.map(({ timeline, inProduction, consumed, pg2, pg3 }) => {
    const answers = [
      ...(pg2 ? [{ member: 1, timeline, inProduction, consumed }] : []),
      ...(pg3 === "silent"
        ? []
        : [{ member: 2, timeline: pg3 === "ahead" ? 3 : 2, inProduction: false, consumed: false }]),
    ];
    return realRules.verdict(2, answers, 3);
  });
  expect(onHosts.map((reason) => reason === null)).toEqual(explored);
  expect(new Set(explored)).toEqual(new Set(boolean));
});
