import { describe, expect, it } from "vitest";
import { plannedActions, refusedActions } from "./simulation.ts";

const simulated = (actions: string) => `<?xml version="1.0"?>
<pacemaker-result api-version="2.38" request="crm_simulate --simulate --xml-file /tmp/c.xml --output-as=xml">
  <cluster_status><nodes/><resources/></cluster_status>
  <actions>${actions}</actions>
  <transition><rsc_action resource="pgha-orders" task="monitor" node="pg1"/></transition>
  <status code="0" message="OK"/>
</pacemaker-result>`;

describe("what Pacemaker would do if it managed again", () => {
  it("is nothing when it lists no action, whatever it looks at besides", () => {
    expect(plannedActions(simulated(""))).toEqual([]);
  });

  it("names each action with its resource and where it goes", () => {
    const xml = simulated(`
      <rsc_action action="Promote" resource="pgha-orders:1" node="pg2" role="Unpromoted" next-role="Promoted"/>
      <rsc_action action="Move" resource="pgha-orders-primary-ip" source="pg1" dest="pg2" role="Started" next-role="Started"/>`);
    expect(plannedActions(xml)).toEqual([
      { action: "Promote", resource: "pgha-orders:1", node: "pg2" },
      { action: "Move", resource: "pgha-orders-primary-ip", node: "pg2" },
    ]);
  });

  const own = { resource: "pgha-orders", addresses: ["pgha-orders-primary-ip"], primaryNode: "pg2" };

  it("is refused for every action on an instance, and for an address that would leave the primary", () => {
    const actions = [
      { action: "Promote", resource: "pgha-orders:1", node: "pg2" },
      { action: "Start", resource: "pgha-orders:2", node: "pg3" },
      { action: "Start", resource: "pgha-orders-primary-ip", node: "pg1" },
      { action: "Move", resource: "pgha-orders-primary-ip", node: "pg2" },
    ];
    expect(refusedActions(actions, own)).toEqual([
      "Promote pgha-orders:1 on pg2",
      "Start pgha-orders:2 on pg3",
      "Start pgha-orders-primary-ip on pg1",
      "Move pgha-orders-primary-ip on pg2",
    ]);
  });

  it("may start an address beside the primary, and do what it wants with the resources of others", () => {
    const actions = [
      { action: "Start", resource: "pgha-orders-primary-ip", node: "pg2" },
      { action: "Stop", resource: "pgha-billing:0", node: "pg1" },
      { action: "Start", resource: "mail", node: "pg3" },
    ];
    expect(refusedActions(actions, own)).toEqual([]);
  });
});
