import { describe, expect, it } from "vitest";
import { standby, stopped, primary as writable } from "../../test/support/observations.ts";
import { instance, pacemaker } from "../../test/support/pacemakerView.ts";
import { group } from "../../test/support/shapes.ts";
import { memberHealth } from "../health.ts";
import type { MemberObservation, SourceFacts, StrayFacts } from "../observation.ts";
import { planRejoins, planUnderWay } from "../rejoin.ts";
import { idleNodes, keptFromRunning, staysInMaintenance, stoppedByOrder } from "./operatorOrders.ts";
import { type Ban, parseStatus, type RunningStatus } from "./status.ts";

const declared = group({ failover: { manager: "pacemaker", agent: "paf", corosync: "main" } });

function inStandby(name: string): RunningStatus {
  return pacemaker({ nodes: pacemaker().nodes.map((node) => ({ ...node, standby: node.name === name })) });
}

function banned(overrides: Partial<Ban> = {}): RunningStatus {
  const ban = { id: "cli-ban-x", resource: "pgha-orders-clone", node: "pg3", score: -1_000_000, promotedOnly: false };
  return pacemaker({ bans: [{ ...ban, ...overrides }] });
}

const maintained = { resources: [instance("pg1", "Promoted", { managed: false, maintenance: true })] };

const source: SourceFacts = {
  timeline: 1,
  past: [],
  lsn: "0/8000000",
  oldestLsn: "0/3000000",
  databaseBytes: 1,
  tablespaces: [],
};

const stray: StrayFacts = {
  timeline: 1,
  past: [],
  endLsn: "0/5000000",
  minRecoveryLsn: "0/0",
  oldestLsn: "0/3000000",
  redoLsn: "0/4000028",
  canBeRewound: true,
  neverStarted: false,
  busy: false,
  besideBytes: 1,
  dataBytes: 1,
  keptBytes: 1024 ** 3,
};

/** pg1 writes, pg2 streams, and pg3, a standby unless told otherwise, is stopped. */
function withStopped(status: RunningStatus, standbySignal = true): MemberObservation[] {
  return [
    { ...writable("pg1", { local: { pacemaker: status } }), source },
    standby("pg2", "pg1"),
    { ...stopped("pg3", { local: { standbySignal } }), stray },
  ];
}

function planOf(status: RunningStatus, standbySignal?: boolean) {
  return planRejoins(declared, "pg1", withStopped(status, standbySignal)).pg3;
}

const standbyText =
  "its host is in standby: Pacemaker runs nothing there. Nothing is done to it. `crm_standby -N pg3 -D` ends that.";

describe("a node on which an operator wants nothing to run", () => {
  it("is one in standby, or with a ban of this cluster's clone or member", () => {
    expect(idleNodes(inStandby("pg3"), "orders")).toEqual(["pg3"]);
    expect(idleNodes(banned(), "orders")).toEqual(["pg3"]);
    expect(idleNodes(banned({ resource: "pgha-orders" }), "orders")).toEqual(["pg3"]);
    expect(keptFromRunning(banned(), "orders", "pg3")).toEqual({
      found: "Pacemaker may not run it on pg3 (constraint cli-ban-x)",
      wayOut: "`crm_resource --clear --resource pgha-orders-clone --node pg3` ends that, and so does `pulumi up`",
    });
  });

  it("is none where only a promotion is banned, something else is, or it is merely disliked", () => {
    expect(idleNodes(banned({ promotedOnly: true }), "orders")).toEqual([]);
    expect(idleNodes(banned({ resource: "pgha-billing-clone" }), "orders")).toEqual([]);
    expect(idleNodes(banned({ score: -10 }), "orders")).toEqual([]);
    expect(idleNodes(pacemaker(), "orders")).toEqual([]);
    expect(idleNodes(undefined, "orders")).toEqual([]);
  });

  it("is read from what crm_mon says of bans, by either of the names for promotion", () => {
    const ban = (rest: string) => `<ban id="b" resource="pgha-orders-clone" node="pg3" weight="-1000000" ${rest}/>`;
    const status = parseStatus(
      `<pacemaker-result><summary/><bans>${ban('promoted-only="false" master_only="false"')}${ban('master_only="true"')}</bans></pacemaker-result>`,
    );
    const bans = status.running ? status.bans : [];
    const read = { id: "b", resource: "pgha-orders-clone", node: "pg3", score: -1_000_000 };
    expect(bans).toEqual([
      { ...read, promotedOnly: false },
      { ...read, promotedOnly: true },
    ]);
  });
});

describe("a stopped member", () => {
  it("follows again where nobody ordered otherwise", () => {
    expect(planOf(pacemaker())?.text).toBe("it follows pg1 again");
    expect(planOf(inStandby("pg2"))?.text).toBe("it follows pg1 again");
  });

  it("is left alone on a host in standby, whatever its data needs, and that is no fault of its health", () => {
    expect(planOf(inStandby("pg3"))).toEqual({ kind: "refuse", text: standbyText });
    expect(planOf(inStandby("pg3"), false)).toEqual({ kind: "refuse", text: standbyText });
    const seen = withStopped(inStandby("pg3"));
    expect(memberHealth(declared, "pg1", seen).pg3).toBeUndefined();
    expect(stoppedByOrder(declared, "pg1", seen)).toEqual({
      pg3: "its host is in standby: Pacemaker runs nothing there. `crm_standby -N pg3 -D` ends that",
    });
    expect(memberHealth(declared, "pg1", withStopped(inStandby("pg2"))).pg3).toBe("service stopped");
    expect(stoppedByOrder(declared, "pg3", seen)).toEqual({});
  });

  it("is left alone where its clone is banned from its host", () => {
    expect(planOf(banned())?.kind).toBe("refuse");
  });

  it("is left alone in an operator's maintenance where it is a standby; a former primary comes back", () => {
    expect(planOf(pacemaker(maintained))).toEqual({
      kind: "refuse",
      text: "it is stopped, and pgha-orders-clone is in maintenance or unmanaged by somebody's hand. Nothing is done to it. Whoever set it may need it: end it first (`crm_resource --resource pgha-orders-clone --meta --delete-parameter maintenance`, or what else set it).",
    });
    expect(planOf(pacemaker(maintained), false)?.kind).toBe("follow");
  });

  it("is brought back in a maintenance of ours, with its node's maintenance elsewhere, and beside a blocked instance", () => {
    const ours = { ...maintained, nodeAttributes: { pg2: { "pgha-orders-stands-back": "7" } } };
    expect(planOf(pacemaker(ours))?.kind).toBe("follow");
    const nodes = pacemaker().nodes.map((node) => ({ ...node, maintenance: node.name === "pg2" }));
    expect(planOf(pacemaker({ nodes }))?.kind).toBe("follow");
    const blocked = { resources: [instance("pg3", "Unpromoted", { managed: false, blocked: true })] };
    expect(planOf(pacemaker(blocked))?.kind).toBe("follow");
  });

  it("that `up` stopped itself, to bring it back, is started again by its data alone", () => {
    const seen = withStopped(pacemaker(maintained));
    expect(planUnderWay(declared, "pg1", "pg3", seen)?.kind).toBe("follow");
    expect(planUnderWay(declared, "pg1", "pg2", seen)).toBeUndefined();
  });
});

it("an `up` under an operator's maintenance says that it stays, and how it is left to `up`", () => {
  expect(staysInMaintenance("orders", "pg1")).toBe(
    [
      "pgha-orders-clone stays in maintenance, which somebody set by hand: nobody fails over.",
      "  Once it is needed no more: `crm_attribute --type nodes --node pg1 --name pgha-orders-stands-back --update 0` on pg1",
      "  leaves it to `pulumi up` to end it, once Pacemaker would find everything in its place.",
    ].join("\n"),
  );
});
