import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import {
  holdBeforeOutage,
  holdShutdown,
  journal,
  switchUntil,
  waitForPrimary,
  waitInside,
} from "../support/handoverMoments.ts";
import { killTree } from "../support/killTree.ts";
import { plain } from "../support/labStack.ts";
import type { Running } from "../support/stack.ts";
import {
  ageLocks,
  createTestCluster,
  expectExit,
  expectNothingLeft,
  expectSafe,
  type Observed,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

/* Whoever runs `pulumi up` goes away at the worst moments; the hosts do not. */

let lab: Lab;
let cluster: TestCluster;
let observed: Observed;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "interruption" });
  observed = await cluster.observeWrites();
});
afterAll(() => cluster?.close());

/** Ends the CLI, its language host and the provider, as a power failure would. */
async function killAll(running: Running): Promise<void> {
  killTree(running);
  await running.ended;
  expectExit(await cluster.stack.pulumi("cancel", "--yes"), 0);
}

/** The next `up` takes the dead one's hold over, says what became of its switchover, and leaves nothing of it. */
async function expectMended(says: string, primary: string): Promise<void> {
  await ageLocks(lab, cluster.members, 31);
  const next = await cluster.stack.up();
  expectExit(next, 0);
  expect(plain(next.output)).toContain(says);
  await waitForPrimary(cluster, primary);
  await expectNothingLeft(cluster);
}

test("of two `pulumi up` with two states one wins, and the other says who holds the cluster and since when", async () => {
  const other = await createTestCluster({ lab, name: "other-state" });
  const { running, held } = await switchUntil(cluster, "pg2", holdBeforeOutage(lab, "pg1"));
  await other.declare("primary", "pg2");
  const loser = await other.stack.up();
  await held.release();
  expectExit(await running.ended, 0);
  expect(loser.exitCode, loser.output).toBe(1);
  expect(plain(loser.output)).toMatch(/\S+@\S+, pid \d+ holds the cluster since \d{4}-\d\d-\d\dT[\d:.]+Z/);
  await waitForPrimary(cluster, "pg2");
  await expectNothingLeft(cluster);
  // Whoever lost finds it done.
  expectExit(await other.stack.up(), 0);
  await other.close();
});

test("killed before the stop: the hold of the dead one is respected for 30 s, then taken over, and nobody was stopped", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdBeforeOutage(lab, "pg2"));
  await killAll(running);
  await held.release();
  // However slow this machine is: the dead one renewed its hold just before the next `up` looked.
  await ageLocks(lab, cluster.members, -60);
  const early = await cluster.stack.up();
  await ageLocks(lab, cluster.members, 60);
  expectExit(early, 1);
  expect(plain(early.output)).toMatch(/pid \d+ holds the cluster since .*: the switchover pg2 -> pg1 may still run\./);
  await expectMended("the unfinished switchover pg2 -> pg1 had stopped nobody: undone", "pg2");
});

test("killed while the primary stops: the hosts hand over by themselves, and the next `up` has only to say so", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdShutdown(lab, "pg2"));
  await killAll(running);
  await held.release();
  await waitForPrimary(cluster, "pg1");
  await expectMended("the unfinished switchover pg2 -> pg1 was finished", "pg1");
});

test("cut off from the hosts while the primary stops: `up` says so and ends, the hosts hand over by themselves", async () => {
  const link = await lab.slowLink("pg3", 0);
  const jump = { address: link.address, port: link.port, user: "root", hostKey: lab.host("pg3").hostKey };
  await cluster.stack.edit(["pgha:ssh", "jump"], jump);
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  link.cut();
  await held.release();
  await waitForPrimary(cluster, "pg2");
  const cutOff = await running.ended;
  await link.stop();
  await cluster.stack.edit(["pgha:ssh", "jump"], undefined);
  expectExit(cutOff, 1);
  expect(plain(cutOff.output)).toContain("pg1 is out of sight during the handover");
  expect(plain(cutOff.output)).toContain("The hosts go on by themselves. Run `pulumi up` again");
  await expectMended("the unfinished switchover pg1 -> pg2 was finished", "pg2");
});

test("interrupted once before the outage: it stops there, and the next `up` switches", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdBeforeOutage(lab, "pg2"));
  running.child.kill("SIGINT");
  await held.release();
  const interrupted = await running.ended;
  expect(interrupted.exitCode, interrupted.output).not.toBe(0);
  expect(plain(interrupted.output)).toContain("interrupted before the primary was stopped");
  await waitForPrimary(cluster, "pg2");
  await expectNothingLeft(cluster);
  expectExit(await cluster.stack.up(), 0);
  await waitForPrimary(cluster, "pg1");
});

test("interrupted once within the outage: the switchover is completed, and the next `up` has nothing to do", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  running.child.kill("SIGINT");
  await held.release();
  const interrupted = await running.ended;
  await waitForPrimary(cluster, "pg2");
  await expectNothingLeft(cluster);
  expect(plain(interrupted.output)).toContain("switchover pg1 -> pg2 done");
  expectExit(await cluster.stack.up(), 0);
});

test("interrupted twice within the outage: the hosts hand over by themselves", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdShutdown(lab, "pg2"));
  running.child.kill("SIGINT");
  await waitForOutput(running, /[Ii]nterrupt|[Cc]ancel/);
  running.child.kill("SIGINT");
  // Not longer on a busy machine: the hosts undo a stop that hangs for 30 s.
  await Promise.race([running.ended, pause(10_000)]);
  await held.release();
  await waitForPrimary(cluster, "pg1");
  await running.ended;
  await cluster.stack.pulumi("cancel", "--yes");
  await ageLocks(lab, cluster.members, 31);
  expectExit(await cluster.stack.up(), 0);
  await expectNothingLeft(cluster);
});

test("the CLI alone killed: the provider goes to a safe point by itself", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdBeforeOutage(lab, "pg1"));
  running.child.kill("SIGKILL");
  await held.release();
  // It lets all members go at once, and each in its own time.
  const isReleased = (member: string) =>
    `[ ! -e ${journal(member)} ] && grep -q '"holder":""' /var/lib/pgha/orders/${member}/lock.json`;
  await Promise.all(cluster.members.map((member) => waitInside(lab, member, isReleased(member))));
  await expectNothingLeft(cluster);
  expectExit(await cluster.stack.pulumi("cancel", "--yes"), 0);
  expectExit(await cluster.stack.up(), 0);
  await waitForPrimary(cluster, "pg2");
});

test("in all of it no acknowledged row was lost, and no two members were ever writable at once", async () => {
  expectSafe(await observed.finish());
});

async function waitForOutput(running: Running, expected: RegExp): Promise<void> {
  await waitFor(`pulumi to print ${expected}`, 20, () => (expected.test(running.output()) ? true : undefined));
}
