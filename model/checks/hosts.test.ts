import { describe, expect, it } from "vitest";
import { unreachable } from "../../test/support/observations.ts";
import { check, evidence, objections, thirdStandby } from "../../test/support/switchover.ts";
import { checkSwitchover } from "../checks.ts";

it("another orchestrator blocks", () => {
  const heldLock = { member: "pg3", holder: "anna@desk", since: "2026-03-01 10:00" };
  expect(checkSwitchover({ ...evidence(), heldLock }).filter(({ verdict }) => verdict !== "ok")).toEqual([
    {
      name: "no other orchestrator",
      verdict: "block",
      measured: "anna@desk holds the cluster since 2026-03-01 10:00 (seen on pg3)",
      limit: "none",
      remedy: "Wait for it to end; a dead one loses its hold after 30 s.",
    },
  ]);
});

it("a failover manager that runs although none is declared warns", () => {
  const third = thirdStandby({}, { failoverManagers: ["patroni", "repmgrd"] });
  expect(objections({ targetHost: { failoverManagers: ["repmgrd"] }, third })).toMatchObject([
    {
      name: "failover manager",
      verdict: "warn",
      measured: "none declared, but repmgrd runs on pg2, patroni runs on pg3, repmgrd runs on pg3",
      limit: "as declared",
      remedy: "Stop it, or make sure that it leaves this cluster alone: it may promote another member meanwhile.",
    },
  ]);
});

describe("clocks", () => {
  const clock = (aheadSeconds: number, uncertainSeconds = 0.1) => ({ clock: { aheadSeconds, uncertainSeconds } });

  it("may differ as far as the limit, and what cannot be told for sure is not held against them", () => {
    expect(check("clocks", { targetHost: clock(2.2) })).toMatchObject({ verdict: "ok", measured: "2 s apart" });
    expect(
      check("clocks", { primaryHost: clock(-9, 5), targetHost: clock(0, 4), third: unreachable("pg3") }),
    ).toMatchObject({
      verdict: "ok",
      measured: "0 s apart",
    });
  });

  it("warn beyond it, of whichever members", () => {
    expect(objections({ targetHost: clock(31), third: thirdStandby({}, clock(-1)) })).toEqual([
      {
        name: "clocks",
        verdict: "warn",
        measured: "pg2 is 32 s ahead of pg3",
        limit: "2 s apart",
        remedy: "Let both hosts follow a time server (timedatectl).",
      },
    ]);
  });

  it("of a host that was not reached are not known", () => {
    expect(check("clocks", { third: unreachable("pg3") })).toMatchObject({ verdict: "ok" });
  });
});
