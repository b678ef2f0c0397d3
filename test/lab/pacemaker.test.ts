import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { boardFiles } from "../../lab/board.ts";
import type { Lab } from "../../lab/lab.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { scriptOnHost } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  expectRoles,
  names,
  openPacemakerLab,
  pacemakerStatus,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import { expectExit, expectNothingLeft, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* One cluster under Corosync, Pacemaker and PAF, fenced by the lab's management board; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  cluster = await declarePacemakerCluster(lab, "failover");
});
afterAll(async () => {
  await cluster?.close();
  // Its hosts have another image than those of the other files.
  await lab?.down();
});

/** Everything as it was declared, and Pulumi sees nothing to do. */
async function expectAsDeclared(primary: string): Promise<void> {
  await expectRoles(lab, primary);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("a cluster is created, fenced and with its address, and a second up changes nothing", async () => {
  expectExit(await cluster.stack.up(), 0);
  const status = await pacemakerStatus(lab, "pg2");
  expect(status.fencingEnabled).toBe(true);
  const devices = status.resources.filter(({ agent }) => agent === "stonith:fence_redfish");
  expect(devices.map(({ role }) => role)).toEqual(["Started", "Started", "Started"]);
  await expectAsDeclared("pg1");
  expectExit(await cluster.stack.up("--expect-no-changes"), 0);
});

test("a planned switchover moves the address with the primary, and Pacemaker goes on where it was", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  for (const primary of ["pg2", "pg1"]) {
    await cluster.declare("primary", primary);
    expectExit(await cluster.stack.up(), 0);
    await observed.writer.waitForAcknowledgement(30);
    await expectAsDeclared(primary);
  }
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect([...new Set(verdict.writer.acknowledgements.map((row) => `${row.server} ${row.timeline}`))]).toEqual([
    "pg1 1",
    "pg2 2",
    "pg1 3",
  ]);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", "pg2", "pg1"]);
  await expectNothingLeft(cluster);
});

test("a primary whose process dies is started again in place, and nobody else is promoted", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await scriptOnHost(lab, "pg1", `kill -9 $(head -1 ${names.dataLink}/postmaster.pid)`);
  await observed.writer.waitForAcknowledgement(60);
  console.log(`process death: ${observed.writer.longestGap(since).milliseconds.toFixed(0)} ms without a row`);
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(new Set(verdict.writer.acknowledgements.map((row) => row.server))).toEqual(new Set(["pg1"]));
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1"]);
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  await expectAsDeclared("pg1");
});

test("a primary whose host dies is fenced, another member is promoted with its address, and no acknowledged row is lost", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await lab.kill("pg1");
  const promoted = await waitUntilPromoted(lab, "pg2", "pg1", 90);
  await observed.writer.waitForAcknowledgement(60);
  console.log(`host death: ${observed.writer.longestGap(since).milliseconds.toFixed(0)} ms without a row`);
  // It was off already: the board is only asked to switch it on again.
  expect(await orders("pg1")).toEqual(["On"]);
  expect(await fenced(promoted, "pg1")).toBe("success");
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", promoted]);
  await comeBack("pg1", promoted);
});

/** What the management board was told to do with this host, in order. */
async function orders(host: string): Promise<string[]> {
  const log = await readFile(boardFiles(lab.name).log, "utf8");
  return [...log.matchAll(new RegExp(`^\\S+ (On|ForceOff|ForceRestart) ${host}$`, "gm"))].map(
    ([, order]) => order ?? "",
  );
}

/** How the newest fencing of this host ended, as Pacemaker has it. */
async function fenced(asked: string, host: string): Promise<string | undefined> {
  return (await pacemakerStatus(lab, asked)).fencing.find(({ target }) => target === host)?.status;
}

/** Its host runs again, and Pacemaker has started it; the stack file says who is primary now: the next `up` makes it follow. */
async function comeBack(member: string, primary: string): Promise<void> {
  await lab.start(member);
  await waitUntilRunning(lab, primary, member, 90);
  await cluster.declare("primary", primary);
  expectExit(await cluster.stack.up(), 0);
  const others = lab.hosts.map(({ name }) => name).filter((name) => name !== primary);
  await waitUntilStreaming(lab, primary, others);
  await expectAsDeclared(primary);
}
