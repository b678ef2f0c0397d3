import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { plannedActions, refusedActions } from "./simulation.ts";

/* What crm_simulate of Pacemaker 3.0.0 printed, word for word. */
function recorded(name: string): string {
  return readFileSync(new URL(`./recorded/${name}.xml`, import.meta.url), "utf8");
}

const own = {
  resource: "pgha-orders",
  addresses: ["pgha-orders-primary-ip"],
  primaryNode: "pg2",
  runningNodes: ["pg1", "pg2", "pg3"],
  idleNodes: [],
};

describe("what Pacemaker would do if it managed again", () => {
  it("is nothing when it lists no action, whatever it looks at besides", () => {
    expect(plannedActions(recorded("simulatedNothing"))).toEqual([]);
  });

  it("names each action with its resource and where it goes", () => {
    expect(plannedActions(recorded("simulatedMove"))).toEqual([
      { action: "demote", resource: "pgha-orders:0", node: "pg1" },
      { action: "promote", resource: "pgha-orders:1", node: "pg2" },
      { action: "move", resource: "pgha-orders-primary-ip", node: "pg2" },
    ]);
  });

  it("is allowed where it only starts the address beside the primary", () => {
    const actions = plannedActions(recorded("simulatedStart"));
    expect(actions).toEqual([{ action: "start", resource: "pgha-orders-primary-ip", node: "pg1" }]);
    expect(refusedActions(actions, { ...own, primaryNode: "pg1" })).toEqual([]);
    expect(refusedActions(actions, own)).toEqual(["start pgha-orders-primary-ip on pg1"]);
  });

  it("is refused for every action on an instance, and for an address that would leave the primary", () => {
    const actions = [
      { action: "promote", resource: "pgha-orders:1", node: "pg2" },
      { action: "start", resource: "pgha-orders:2", node: "pg3" },
      { action: "start", resource: "pgha-orders-primary-ip", node: "pg1" },
      { action: "move", resource: "pgha-orders-primary-ip", node: "pg2" },
    ];
    expect(refusedActions(actions, own)).toEqual([
      "promote pgha-orders:1 on pg2",
      "start pgha-orders:2 on pg3",
      "start pgha-orders-primary-ip on pg1",
      "move pgha-orders-primary-ip on pg2",
    ]);
  });

  it("may start a member that does not run, and nothing else with it", () => {
    const some = { ...own, runningNodes: ["pg1", "pg2"] };
    expect(refusedActions([{ action: "start", resource: "pgha-orders:2", node: "pg3" }], some)).toEqual([]);
    expect(refusedActions([{ action: "promote", resource: "pgha-orders:2", node: "pg3" }], some)).toEqual([
      "promote pgha-orders:2 on pg3",
    ]);
    expect(refusedActions([{ action: "start", resource: "pgha-orders:0", node: "pg1" }], some)).toEqual([
      "start pgha-orders:0 on pg1",
    ]);
  });

  it("may stop a standby where an operator ordered that nothing runs, and never the primary", () => {
    const ordered = { ...own, idleNodes: ["pg3", "pg2"] };
    expect(refusedActions([{ action: "stop", resource: "pgha-orders:0", node: "pg3" }], ordered)).toEqual([]);
    expect(
      refusedActions(
        [
          { action: "stop", resource: "pgha-orders:1", node: "pg2" },
          { action: "stop", resource: "pgha-orders:2", node: "pg1" },
          { action: "promote", resource: "pgha-orders:0", node: "pg3" },
          { action: "restart", resource: "pgha-orders:0", node: "pg3" },
        ],
        ordered,
      ),
    ).toEqual([
      "stop pgha-orders:1 on pg2",
      "stop pgha-orders:2 on pg1",
      "promote pgha-orders:0 on pg3",
      "restart pgha-orders:0 on pg3",
    ]);
  });

  it("may start an address beside the primary, and do what it wants with the resources of others", () => {
    const actions = [
      { action: "start", resource: "pgha-orders-primary-ip", node: "pg2" },
      { action: "stop", resource: "pgha-billing:0", node: "pg1" },
      { action: "start", resource: "mail", node: "pg3" },
    ];
    expect(refusedActions(actions, own)).toEqual([]);
  });
});
