import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { said, waitUntilStreaming } from "../support/byHand.ts";
import { onHost } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  holders,
  openPacemakerLab,
  pacemakerStatus,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import {
  boardOrders,
  comeBack,
  expectAsDeclared,
  ownersIn,
  promotedMember,
  seconds,
  serversIn,
  underWrites,
  waitForBoardOrders,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/*
 * Two members, fenced by the lab's management board, and no third host that could decide; two virtual IPs move with the primary,
 * each on a network of its own. The tests go on from each other.
 */
let lab: Lab;
let cluster: TestCluster;
let replicationIp: string;

beforeAll(async () => {
  lab = await openPacemakerLab(2);
  const [number] = /\d+$/.exec(lab.virtualIp) ?? [];
  replicationIp = lab.host("pg1").addresses.replication.replace(/\d+$/, `${number}`);
  cluster = await declarePacemakerCluster(lab, "two-nodes", { virtualIps: { replication: `${replicationIp}/26` } });
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

test("two hosts have quorum each, and the one with the primary goes first when both want to switch the other off", async () => {
  expectExit(await cluster.stack.up(), 0);
  const twoNode = await onHost(lab, "pg2", ["corosync-cmapctl", "-g", "runtime.votequorum.two_node"]);
  expect(twoNode).toBe("runtime.votequorum.two_node (u8) = 1");
  const delay = ["crm_attribute", "--query", "--quiet", "--name", "priority-fencing-delay"];
  expect(await onHost(lab, "pg2", delay)).toBe("10s");
  await expectAsDeclared(cluster, "pg1");
  expect(await holders(lab, replicationIp)).toEqual(["pg1"]);
});

test("cut off from each other, the primary's host switches the other off and goes on; the other, back alone, does nothing", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    await lab.partition("pg1", { from: ["pg2"] });
    await waitForBoardOrders(lab, "pg2", ["ForceOff", "On"]);
    await lab.start("pg2");
    expect(await quorumOnceItRuns("pg2")).toBe(false);
    expect(await promotedMember(lab, "pg1")).toBe("pg1");
    // A commit needs the second copy again.
    await lab.heal();
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  await waitUntilRunning(lab, "pg1", "pg2", 120);
  await waitUntilStreaming(lab, "pg1", ["pg2"]);
  await expectAsDeclared(cluster, "pg1");
  expect(await boardOrders(lab, "pg1")).toEqual([]);
});

test("a primary whose host is cut off from everything is switched off, and the other is promoted", async (context) => {
  const before = await boardOrders(lab, "pg1");
  const verdict = await underWrites(cluster, context, async () => {
    const since = Date.now();
    await lab.partition("pg1");
    expect(await waitUntilPromoted(lab, "pg2", "pg1", 90)).toBe("pg2");
    context.task.meta.measured = `promoted after ${seconds(Date.now() - since)}`;
    expect(await boardOrders(lab, "pg1")).toEqual([...before, "ForceOff", "On"]);
    await lab.heal("pg1");
    await comeBack(cluster, "pg1", "pg2");
  });
  expect(ownersIn(verdict)).toEqual(["pg1", "pg2"]);
});

test("a primary whose host dies is fenced, the other is promoted without a lost row, with both addresses, and preview and up name it although it is alone", async (context) => {
  const second = await lab.watchOwners(replicationIp);
  const verdict = await underWrites(cluster, context, async () => {
    const since = Date.now();
    await lab.kill("pg2");
    expect(await waitUntilPromoted(lab, "pg1", "pg2", 90)).toBe("pg1");
    context.task.meta.measured = `promoted after ${seconds(Date.now() - since)}`;
    const preview = await cluster.stack.preview();
    expectExit(preview, 0);
    expect(said(preview)).toContain("a failover happened: pg1 is primary, the stack file says pg2");
    expectExit(await cluster.stack.up(), 0);
    expect(await promotedMember(lab, "pg1")).toBe("pg1");
    await comeBack(cluster, "pg2", "pg1");
  });
  expect(ownersIn(verdict)).toEqual(["pg2", "pg1"]);
  const { owners, disputed } = await second.stop();
  expect(owners.map(({ owner }) => owner)).toEqual(["pg2", "pg1"]);
  expect(disputed).toEqual([]);
  expect(await holders(lab, replicationIp)).toEqual(["pg1"]);
});

test("after the power of both, one alone does nothing, and both together come back by themselves", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    await Promise.all(["pg1", "pg2"].map((host) => lab.kill(host)));
    await lab.start("pg2");
    expect(await quorumOnceItRuns("pg2")).toBe(false);
    await lab.start("pg1");
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  await expectAsDeclared(cluster, "pg1");
});

async function quorumOnceItRuns(host: string): Promise<boolean> {
  const running = () => pacemakerStatus(lab, host).catch(() => undefined);
  return (await waitFor(`Pacemaker on ${host} to run`, 60, running)).quorum;
}
