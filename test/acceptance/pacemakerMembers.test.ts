import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { startTimes } from "../support/byHand.ts";
import { onHost } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  openPacemakerLab,
  pacemakerStatus,
  waitUntilSettled,
  whereItRuns,
} from "../support/pacemaker.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* A host that comes to a cluster under Pacemaker, and goes again; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
let device: unknown;
const three = ["pg1", "pg2", "pg3"];
const devices = ["pgha:pacemaker", "main", "fencing", "devices"];

beforeAll(async () => {
  lab = await openPacemakerLab(4);
  cluster = await declarePacemakerCluster(lab, "members");
  const { address: ip, port, user } = lab.board;
  device = {
    agent: "fence_redfish",
    hosts: ["pg4"],
    parameters: { ip, ipport: port, username: user, ssl_insecure: true, systems_uri: "/redfish/v1/Systems/pg4" },
    secretParameters: { password: "board" },
  };
  await cluster.stack.edit([...devices, "board-pg4"], undefined);
  await cluster.stack.edit(["pgha:clusters", "orders", "members", "pg4"], undefined);
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

/** "1 pg1": number and name of every node, as Pacemaker on this host knows them. */
async function nodesKnownTo(host: string): Promise<string[]> {
  const text = await onHost(lab, host, ["crm_node", "--list"]);
  return text.split("\n").map((line) => line.split(" ").slice(0, 2).join(" "));
}

async function expectAsDeclared(members: readonly string[]): Promise<void> {
  await waitUntilSettled(lab, "pg1", 120);
  const roles = members.map((name) => `${name} ${name === "pg1" ? "Promoted" : "Unpromoted"}`).join(", ");
  expect(whereItRuns(await pacemakerStatus(lab, "pg1"))).toBe(
    `pgha-orders: ${roles}; pgha-orders-primary-ip: pg1 Started`,
  );
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("a host that comes joins Corosync with a number of its own, and nobody is restarted", async () => {
  const started = await startTimes(lab, three);
  await cluster.stack.edit([...devices, "board-pg4"], device);
  await cluster.stack.edit(["pgha:clusters", "orders", "members", "pg4"], {});
  expectExit(await cluster.stack.up(), 0);
  expect(await nodesKnownTo("pg4")).toEqual(["1 pg1", "2 pg2", "3 pg3", "4 pg4"]);
  await expectAsDeclared([...three, "pg4"]);
  expect(await startTimes(lab, three)).toEqual(started);
});

test("a host that goes leaves Corosync, and nobody is restarted or waits for it", async () => {
  const started = await startTimes(lab, three);
  await cluster.stack.edit([...devices, "board-pg4"], undefined);
  await cluster.stack.edit(["pgha:clusters", "orders", "members", "pg4"], undefined);
  expectExit(await cluster.stack.up(), 0);
  expect(await nodesKnownTo("pg1")).toEqual(["1 pg1", "2 pg2", "3 pg3"]);
  await expectAsDeclared(three);
  expect(await startTimes(lab, three)).toEqual(started);
});
