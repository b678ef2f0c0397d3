import { describe, expect, it } from "vitest";
import { primary, standby, unreachable } from "../../test/support/observations.ts";
import { instance, pacemaker } from "../../test/support/pacemakerView.ts";
import { group } from "../../test/support/shapes.ts";
import {
  actsOn,
  leftStandingBack,
  maintenanceOf,
  managesCluster,
  ownResources,
  pacemakerView,
  promotedMember,
  standsBackSince,
} from "./view.ts";

const marked = { nodeAttributes: { pg3: { "pgha-orders-stands-back": "7" } } };

describe("what Pacemaker says", () => {
  it("is heard from the first host that it answers on, and rather from one that sees most nodes", () => {
    const cutOff = pacemaker({ quorum: false });
    const whole = pacemaker();
    expect(pacemakerView([unreachable("pg1"), primary("pg2", { local: { pacemaker: cutOff } })])).toBe(cutOff);
    expect(
      pacemakerView([
        primary("pg1", { local: { pacemaker: cutOff } }),
        standby("pg2", "pg1", { local: { pacemaker: { running: false, reason: "it starts" } } }),
        standby("pg3", "pg1", { local: { pacemaker: whole } }),
      ]),
    ).toBe(whole);
    expect(pacemakerView([primary("pg1"), unreachable("pg2")])).toBeUndefined();
  });

  it("is about this cluster once it has instances of it", () => {
    expect(managesCluster(pacemaker(), "orders")).toBe(true);
    expect(managesCluster(pacemaker(), "billing")).toBe(false);
    expect(managesCluster(undefined, "orders")).toBe(false);
    expect(ownResources(pacemaker(), "orders")).toEqual(["pgha-orders", "pgha-orders-primary-ip"]);
  });

  it("names the member that it has promoted, by its host", () => {
    expect(promotedMember(pacemaker(), group())).toBe("pg1");
    expect(promotedMember(pacemaker({ resources: [instance("pg1", "Unpromoted")] }), group())).toBeUndefined();
  });
});

describe("a Pacemaker that is at work", () => {
  const acting = (...resources: Parameters<typeof instance>[]) =>
    actsOn(pacemaker({ resources: resources.map((one) => instance(...one)) }), "orders");

  it("starts, stops or promotes one of this cluster's members", () => {
    expect(acting(["pg1", "Promoted"], ["pg2", "Starting"])).toBe(true);
    expect(acting(["pg1", "Unpromoted", { pending: "Promoting" }])).toBe(true);
  });

  it("is not one that watches them, or works on another cluster's", () => {
    expect(acting(["pg1", "Promoted", { pending: "Monitoring" }], ["pg2", "Unpromoted"])).toBe(false);
    expect(acting(["pg1", "Starting", { clone: "pgha-billing-clone" }])).toBe(false);
    expect(actsOn(undefined, "orders")).toBe(false);
  });
});

describe("a Pacemaker that stands back", () => {
  it("does so for us where a node carries our attribute, by the newest hold", () => {
    expect(standsBackSince(pacemaker(marked), "orders")).toBe(7);
    expect(standsBackSince(pacemaker(marked), "billing")).toBeUndefined();
    const twice = { pg1: { "pgha-orders-stands-back": "9" }, pg3: { "pgha-orders-stands-back": "7" } };
    expect(standsBackSince(pacemaker({ nodeAttributes: twice }), "orders")).toBe(9);
  });

  it("was left so when nobody holds the cluster any more", () => {
    const seen = (alive: boolean) => [
      primary("pg1", {
        local: { pacemaker: pacemaker(marked), lock: { epoch: 7, holder: "anna@desk", since: "then", alive } },
      }),
    ];
    expect(leftStandingBack(group(), seen(false))).toBe(
      "Pacemaker leaves orders alone since a `pulumi up` (epoch 7) that was cut off",
    );
    expect(leftStandingBack(group(), seen(true))).toBeUndefined();
    expect(leftStandingBack(group(), [primary("pg1", { local: { pacemaker: pacemaker() } })])).toBeUndefined();
  });

  it("does so for an operator where there is maintenance without our attribute", () => {
    const left = { resources: [instance("pg1", "Promoted", { managed: false, maintenance: true })] };
    expect(maintenanceOf(pacemaker(left), "orders")).toBe("pgha-orders-clone is in maintenance or unmanaged");
    expect(maintenanceOf(pacemaker({ ...left, ...marked }), "orders")).toBeUndefined();
    expect(maintenanceOf(pacemaker({ maintenance: true, ...marked }), "orders")).toBe(
      "the whole Pacemaker cluster is in maintenance",
    );
    const [first, ...rest] = pacemaker().nodes;
    const nodes = first === undefined ? [] : [{ ...first, maintenance: true }, ...rest];
    expect(maintenanceOf(pacemaker({ nodes }), "orders")).toBe("pg1 is in maintenance");
    expect(maintenanceOf(pacemaker(), "orders")).toBeUndefined();
  });
});
