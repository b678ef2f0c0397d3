import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { boardFiles } from "../../lab/board.ts";
import type { Lab } from "../../lab/lab.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost } from "../support/labStack.ts";
import {
  address,
  declarePacemakerCluster,
  names,
  openPacemakerLab,
  pacemakerStatus,
  waitUntilPromoted,
  waitUntilSettled,
  whereItRuns,
} from "../support/pacemaker.ts";
import { expectExit, expectNothingLeft, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* One cluster under Corosync, Pacemaker and PAF, fenced by the lab's management board; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  cluster = await declarePacemakerCluster(lab, "pacemaker");
});
afterAll(async () => {
  await cluster?.close();
  // Its hosts have another image than those of the other files.
  await lab?.down();
});

/** Which hosts have the virtual IP, whether they answer for it or not. */
async function holders(): Promise<string[]> {
  const held = await Promise.all(
    lab.hosts.map(async ({ name }) => {
      const output = await onHost(lab, name, ["ip", "-oneline", "address", "show", "to", `${lab.virtualIp}/32`]);
      return output === "" ? [] : [name];
    }),
  );
  return held.flat();
}

/** Everything as it was declared, and Pulumi sees nothing to do. */
async function expectAsDeclared(primary: string): Promise<void> {
  const others = lab.hosts.map(({ name }) => name).filter((name) => name !== primary);
  await waitUntilSettled(lab, primary, 120);
  const members = [`${primary} Promoted`, ...others.map((name) => `${name} Unpromoted`)].sort();
  expect(whereItRuns(await pacemakerStatus(lab, primary))).toBe(
    `${names.resource}: ${members.join(", ")}; ${address}: ${primary} Started`,
  );
  expect(await holders()).toEqual([primary]);
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
  const board = await readFile(boardFiles(lab.name).log, "utf8");
  expect(board).toMatch(/ (On|ForceOff|ForceRestart) pg1$/m);
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", promoted]);

  // Pacemaker switched its host on again: the next `up` makes it a standby of the new primary.
  await cluster.declare("primary", promoted);
  expectExit(await cluster.stack.up(), 0);
  const others = ["pg1", "pg2", "pg3"].filter((member) => member !== promoted);
  await waitUntilStreaming(lab, promoted, others);
  await expectAsDeclared(promoted);
});
