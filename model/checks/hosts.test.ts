import { describe, expect, it } from "vitest";
import { unreachable } from "../../test/support/observations.ts";
import { instance, pacemaker } from "../../test/support/pacemakerView.ts";
import { group } from "../../test/support/shapes.ts";
import { check, evidence, objections, thirdStandby } from "../../test/support/switchover.ts";
import { checkSwitchover } from "../checks.ts";
import type { RunningStatus } from "../pacemaker/status.ts";

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

describe("Pacemaker as the failover manager", () => {
  const declared = group({ failover: { manager: "pacemaker", agent: "paf", corosync: "main" } });
  const seen = (overrides: Partial<RunningStatus> = {}) =>
    check("failover manager", { group: declared, primaryHost: { pacemaker: pacemaker(overrides) } });

  it("is well when it manages the cluster, has quorum, and has promoted the primary", () => {
    expect(seen()).toEqual({
      name: "failover manager",
      verdict: "ok",
      measured: "Pacemaker, decided by pg2, has promoted pg1",
      limit: "Pacemaker manages it, with quorum, and nothing failed",
      remedy: "",
    });
  });

  it("warns where it does not manage the cluster yet: nobody fails over then", () => {
    expect(check("failover manager", { group: declared })).toMatchObject({
      verdict: "warn",
      measured: "Pacemaker answers on no host",
    });
    expect(seen({ resources: [] })).toMatchObject({ verdict: "warn", measured: "Pacemaker does not know orders yet" });
  });

  it("blocks while an operator keeps it in maintenance: the switchover would end that", () => {
    expect(seen({ maintenance: true })).toMatchObject({
      verdict: "block",
      measured: "the whole Pacemaker cluster is in maintenance",
    });
  });

  it("blocks while commits go on without standbys: the target lacks acknowledged rows, or may", () => {
    const relaxed = { pg1: "2026-01-02T03:04:05Z" };
    const primaryHost = { pacemaker: pacemaker(), relaxed };
    expect(check("failover manager", { group: declared, primaryHost })).toMatchObject({
      verdict: "block",
      measured:
        "pg1: since 2026-01-02T03:04:05Z it acknowledges commits alone, and nobody else is promoted, until standbys have everything again",
      remedy: "Bring a standby back, and wait until preview no longer tells of it.",
    });
  });

  it("blocks without quorum, while a node waits to be fenced, and while an instance is blocked", () => {
    expect(seen({ quorum: false }).verdict).toBe("block");
    const nodes = pacemaker().nodes.map((node) => (node.name === "pg3" ? { ...node, unclean: true } : node));
    expect(seen({ nodes })).toMatchObject({
      verdict: "block",
      measured: "pg3 is unclean: it must be fenced before what ran there runs elsewhere",
    });
    const fencing = [{ target: "pg3", action: "off", status: "pending" as const }];
    expect(seen({ fencing })).toMatchObject({
      verdict: "block",
      measured: "fencing of pg3 (off) is under way",
    });
    const resources = [instance("pg1", "Promoted", { blocked: true }), instance("pg2", "Unpromoted")];
    expect(seen({ resources }).verdict).toBe("block");
  });

  it("blocks while a ring is broken, and warns where that is allowed", () => {
    const rings = `Local node ID 1, transport knet
LINK ID 0 udp
\taddr\t= 192.0.2.11
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tdisconnected
LINK ID 1 udp
\taddr\t= 203.0.113.11
\tstatus:
\t\tnodeid:          1:\tlocalhost
\t\tnodeid:          2:\tconnected
`;
    const judged = (brokenRings: number) =>
      check("failover manager", {
        group: { ...declared, limits: { ...declared.limits, brokenRings } },
        primaryHost: { pacemaker: pacemaker(), rings },
      });
    const measured = "ring 0: pg1 (192.0.2.11) and pg2 do not hear each other";
    expect(judged(0)).toMatchObject({ verdict: "block", measured });
    expect(judged(1)).toMatchObject({ verdict: "warn", measured });
  });

  it("blocks when it has promoted another member than the primary", () => {
    expect(seen({ resources: [instance("pg1", "Unpromoted"), instance("pg2", "Promoted")] })).toMatchObject({
      verdict: "block",
      measured: "Pacemaker has promoted pg2, the primary is pg1",
    });
  });

  it("warns of what does not hinder: another node is away, or something failed once", () => {
    const nodes = pacemaker().nodes.map((node) => (node.name === "pg3" ? { ...node, online: false } : node));
    expect(seen({ nodes })).toMatchObject({ verdict: "warn", measured: "pg3 is offline" });
    const failCounts = [{ resource: "pgha-orders", node: "pg1", count: 1, threshold: 5 }];
    expect(seen({ failCounts })).toMatchObject({ verdict: "warn" });
    expect(seen({ failCounts: [{ resource: "pgha-orders", node: "pg2", count: 5, threshold: 5 }] }).verdict).toBe(
      "block",
    );
    const nodeAttributes = { ...pacemaker().nodeAttributes, pg3: { "master-pgha-orders": "-1000" } };
    expect(seen({ nodeAttributes })).toMatchObject({
      verdict: "warn",
      measured: "pg3 does not stream from the primary (or lags by more than maxlag), and must not be promoted",
    });
  });
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
