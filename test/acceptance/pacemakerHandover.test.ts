import { beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { standsBackSince } from "../../model/pacemaker/view.ts";
import { holdReceiver, holdShutdown, switchUntil, waitForPrimary } from "../support/handoverMoments.ts";
import { killTree } from "../support/killTree.ts";
import { plain } from "../support/labStack.ts";
import { expectRoles, holders, names, pacemakerStatus, setUpPacemakerCluster } from "../support/pacemaker.ts";
import {
  ageLocks,
  clusterName,
  expectExit,
  expectNothingLeft,
  expectSafe,
  type Observed,
  type TestCluster,
} from "../support/testCluster.ts";

/* Under Pacemaker a handover that is cut off, or undone, ends with Pacemaker managing again. */

let lab: Lab;
let cluster: TestCluster;
let observed: Observed;

setUpPacemakerCluster(3, "pacemaker-handover", (opened) => {
  cluster = opened;
  lab = opened.lab;
});
beforeAll(async () => {
  observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
});

async function expectManaged(primary: string): Promise<void> {
  await expectRoles(lab, primary);
  expect(standsBackSince(await pacemakerStatus(lab, primary), clusterName)).toBeUndefined();
}

test("a switchover that is undone: Pacemaker manages the old primary again, with its address, before `up` ends", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  const receiver = await holdReceiver(lab, "pg2");
  await held.release();
  const undone = await running.ended;
  await receiver.release();
  expectExit(undone, 1);
  expect(plain(undone.output)).toContain("switchover pg1 -> pg2 undone");
  await waitForPrimary(cluster, "pg1");
  await expectManaged("pg1");
  await expectNothingLeft(cluster);
});

test("an `up` that is killed within the outage: the hosts hand over with the address, and Pacemaker stands back until the next `up`", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  killTree(running);
  await running.ended;
  await held.release();
  await waitForPrimary(cluster, "pg2");
  expect(await holders(lab)).toEqual(["pg2"]);
  const status = await pacemakerStatus(lab, "pg3");
  expect(standsBackSince(status, clusterName)).toBeGreaterThan(0);
  expect(status.resources.filter(({ clone }) => clone === names.clone).every(({ maintenance }) => maintenance)).toBe(
    true,
  );

  await cluster.stack.pulumi("cancel", "--yes");
  await ageLocks(lab, cluster.members, 31);
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(plain(preview.output)).toContain("standsBack");
  expectExit(await cluster.stack.up(), 0);
  await expectManaged("pg2");
  await expectNothingLeft(cluster);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("in all of it no acknowledged row was lost, one member was writable, and one host answered for the address", async () => {
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", "pg2"]);
});
