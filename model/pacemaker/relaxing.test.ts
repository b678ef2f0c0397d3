import { expect, it } from "vitest";
import { member } from "../../test/support/shapes.ts";
import { faultText } from "../fault.ts";
import { relaxFaults } from "./relaxing.ts";

const members = [member("pg1"), member("pg2"), member("pg3")];
const nodes = members.map(({ host }) => host);
const well = { fenced: true, hasQuorumDevice: false, nodes };
const faults = (surroundings: Parameters<typeof relaxFaults>[1], relaxAfterSeconds: number | undefined = 30) =>
  relaxFaults(
    {
      name: "orders",
      members,
      failover: { manager: "pacemaker", agent: "paf" },
      ...(relaxAfterSeconds === undefined ? {} : { relaxAfterSeconds }),
    },
    surroundings,
  ).map(faultText);

it("commits may go on without standbys under Pacemaker, with fencing, among the cluster's own hosts", () => {
  expect(faults(well)).toEqual([]);
  expect(relaxFaults({ name: "orders", members, failover: { manager: "none" } }, undefined)).toEqual([]);
});

it("they may not where somebody could be promoted that does not know of it", () => {
  expect(faults(undefined)).toEqual([
    "pgha:clusters.orders.synchronous.onLoss: found relax without a failover manager, expected failover: { manager: pacemaker }, which keeps others from being promoted meanwhile. Write onLoss: block, with which commits wait.",
  ]);
  expect(faults({ fenced: false, hasQuorumDevice: true, nodes: [...nodes, "db9"] })).toEqual([
    "pgha:clusters.orders.synchronous.onLoss: found relax without fencing, expected fencing devices: a host that is cut off may decide by itself. Write onLoss: block, with which commits wait, or declare them.",
    "pgha:clusters.orders.synchronous.onLoss: found relax with a quorum device, expected none: a host that comes back alone has quorum by it, and does not know who went on alone. Write onLoss: block, with which commits wait, or remove the quorum device.",
    "pgha:clusters.orders.synchronous.onLoss: found relax in a Corosync cluster with db9, expected one that has this cluster's hosts alone: all its nodes are asked whether they know. Write onLoss: block, with which commits wait, or give the cluster a Corosync cluster of its own.",
  ]);
});

it("they may not under an agent that sets synchronous_standby_names itself", () => {
  const declared = {
    name: "orders",
    members,
    relaxAfterSeconds: 30,
    failover: { manager: "pacemaker", agent: "pgsql" },
  };
  expect(relaxFaults(declared, well).map(faultText)).toEqual([
    "pgha:clusters.orders.synchronous.onLoss: found relax with the agent pgsql, expected paf: another agent decides itself when commits wait. Write onLoss: block, with which commits wait, or agent: paf.",
  ]);
});

it("not so soon that a standby which restarts would be left out", () => {
  expect(faults(well, 9)).toEqual([
    "pgha:clusters.orders.synchronous.relaxAfter: found 9s, expected at least 10s. A standby that restarts is away for some seconds: write more.",
  ]);
  expect(faults(well, 10)).toEqual([]);
});
