import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { pacemakerNames } from "../../model/pacemaker/names.ts";
import { promotedNodes } from "../../model/pacemaker/status.ts";
import { sql } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  expectRoles,
  holders,
  names,
  openPacemakerLab,
  pacemakerStatus,
  secondVirtualIp,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import { ownersIn, seconds, serversIn, waitUntilOnline } from "../support/pacemakerProof.ts";
import { expectExit, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* Two PostgreSQL clusters in one Corosync cluster, on the same hosts; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
let billingIp: string;
const hosts = ["pg1", "pg2", "pg3"];
const billing = pacemakerNames("billing");
const billingPort = 5433;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  cluster = await declarePacemakerCluster(lab, "sharing");
  billingIp = secondVirtualIp(lab);
  await cluster.stack.edit(["pgha:clusters", "billing"], {
    postgresVersion: 17,
    members: Object.fromEntries(hosts.map((host) => [host, { port: billingPort }])),
    primary: "pg2",
    synchronous: { quorum: 1 },
    walSegmentSize: "1MB",
    clientNetworks: ["lab"],
    failover: { manager: "pacemaker" },
    virtualIps: { primary: { address: `${billingIp}/26`, nic: "host0" } },
  });
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

/** When each server was started, and on which timeline it is. */
function runs(port: number, on = hosts): Promise<string[]> {
  const asking = "select pg_postmaster_start_time(), (select timeline_id from pg_control_checkpoint())";
  return Promise.all(on.map((host) => sql(lab, host, asking, port)));
}

/** Of every instance of either cluster, whether Pacemaker has it in maintenance. */
async function leftAlone(): Promise<{ orders: boolean[]; other: boolean[] }> {
  const { resources } = await pacemakerStatus(lab, "pg2");
  const of = (clone: string) =>
    resources.filter((one) => one.clone === clone && one.nodes.length > 0).map(({ maintenance }) => maintenance);
  return { orders: of(names.clone), other: of(billing.clone) };
}

/** A writer for each, through its own virtual IP. */
async function observeBoth() {
  const orders = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  return { orders, billing: await cluster.observeWrites({ cluster: "billing", virtualIp: billingIp }) };
}

/** Both clusters as declared, on these hosts, each with its address, and Pulumi sees nothing to do. */
async function expectBothAsDeclared(ordersOn: string, billingOn: string): Promise<void> {
  await expectRoles(lab, ordersOn);
  const streaming = () => sql(lab, billingOn, "select count(*) from pg_stat_replication", billingPort);
  await waitFor("both standbys of billing to stream", 60, async () => (await streaming()) === "2" || undefined);
  expect(promotedNodes(await pacemakerStatus(lab, "pg1"), billing.clone)).toEqual([billingOn]);
  expect(await holders(lab, billingIp)).toEqual([billingOn]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("a switchover of one cluster leaves the other managed and untouched", async () => {
  const before = await runs(billingPort);
  const observed = await observeBoth();
  await cluster.declare("primary", "pg3");
  const running = cluster.stack.start("up", "--yes", "--skip-preview");
  const stood: { orders: boolean[]; other: boolean[] }[] = [];
  const over = running.ended.then(() => true as const);
  while (!(await Promise.race([over, leftAlone().then((seen) => void stood.push(seen))])));
  expectExit(await running.ended, 0);
  expect(stood).toContainEqual({ orders: [true, true, true], other: [false, false, false] });
  expect(stood.filter(({ other }) => other.includes(true))).toEqual([]);
  const [orders, other] = [await observed.orders.finish(), await observed.billing.finish()];
  expectSafe(orders);
  expectSafe(other);
  expect([serversIn(orders), ownersIn(orders)]).toEqual([
    ["pg1", "pg3"],
    ["pg1", "pg3"],
  ]);
  expect([serversIn(other), ownersIn(other)]).toEqual([["pg2"], ["pg2"]]);
  expect(other.writer.maxGap.milliseconds).toBeLessThan(2000);
  expect(await runs(billingPort)).toEqual(before);
  await expectBothAsDeclared("pg3", "pg2");
});

test("a host's death fails over the cluster whose primary was there; the other one's goes on", async ({ task }) => {
  const survivors = ["pg1", "pg3"];
  const before = await runs(5432, survivors);
  const observed = await observeBoth();
  const since = Date.now();
  await lab.kill("pg2");
  const elsewhere = async () => {
    const status = await pacemakerStatus(lab, "pg1").catch(() => undefined);
    return status && promotedNodes(status, billing.clone).find((node) => node !== "pg2");
  };
  const promoted = await waitFor("Pacemaker to promote another member of billing", 90, elsewhere, 200);
  await observed.billing.writer.waitForAcknowledgement(60);
  const gaps = [observed.billing, observed.orders].map(({ writer }) => writer.longestGap(since).milliseconds);
  task.meta.measured = `${gaps.map(seconds).join(" without a row, the other ")}`;
  console.log(task.meta.measured);
  const [orders, other] = [await observed.orders.finish(), await observed.billing.finish()];
  expectSafe(orders);
  expectSafe(other);
  expect([serversIn(other), ownersIn(other)]).toEqual([
    ["pg2", promoted],
    ["pg2", promoted],
  ]);
  expect([serversIn(orders), ownersIn(orders)]).toEqual([["pg3"], ["pg3"]]);
  expect(gaps[1]).toBeLessThan((gaps[0] ?? 0) / 2);
  expect(await runs(5432, survivors)).toEqual(before);

  await lab.start("pg2");
  await waitUntilOnline(lab, promoted, hosts, 90);
  await waitUntilRunning(lab, promoted, "pg2", 90);
  await cluster.stack.edit(["pgha:clusters", "billing", "primary"], promoted);
  expectExit(await cluster.stack.up(), 0);
  await expectBothAsDeclared("pg3", promoted);
});
