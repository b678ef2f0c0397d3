import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { startTimes, unit, waitUntilStreaming } from "../support/byHand.ts";
import { onHost, plain, scriptOnHost } from "../support/labStack.ts";
import {
  names,
  pacemakerStatus,
  setUpPacemakerCluster,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import {
  adoptPrimary,
  boardOrders,
  comeBack,
  expectAsDeclared,
  fencingOf,
  ownersIn,
  promotedMember,
  serversIn,
  underWrites,
  waitForBoardOrders,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Limits of the agent's operations and what follows when one fails, declared in the stack. The tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(2, "operations", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

const members = ["pg1", "pg2"];

/** "monitor 5s 12s Promoted demote" */
async function configuredOperations(): Promise<string[]> {
  const text = await onHost(lab, "pg1", ["cibadmin", "--query", "--xpath", `//primitive[@id='${names.resource}']//op`]);
  const attribute = (op: string, name: string) => op.match(new RegExp(` ${name}="([^"]*)"`))?.[1];
  return [...text.matchAll(/<op .*?\/>/g)].map(([op]) =>
    ["name", "interval", "timeout", "role", "on-fail"].flatMap((name) => attribute(op, name) ?? []).join(" "),
  );
}

/** How often Pacemaker has looked or looks at the instance on this host, in milliseconds. */
async function looks(host: string): Promise<string[]> {
  const path = `//node_state[@uname='${host}']//lrm_resource[@id='${names.resource}']/lrm_rsc_op[@operation='monitor']`;
  const text = await onHost(lab, host, ["cibadmin", "--query", "--xpath", path]);
  return [...text.matchAll(/ interval="(\d+)"/g)].map(([, milliseconds]) => milliseconds ?? "");
}

/** Nothing starts it again but Pacemaker: systemd takes it for an order. */
function stopTheServer(member: string): Promise<string> {
  return scriptOnHost(lab, member, `systemctl stop ${unit(member)}`, 60);
}

/** A failure is forgotten after a minute; this is what an operator does who has seen its cause. */
async function cleanUp(asked: string): Promise<void> {
  await onHost(lab, asked, ["crm_resource", "--cleanup", "--resource", names.resource], 60);
}

const looksAt = (promoted: object) => ({
  manager: "pacemaker",
  operations: { monitor: { promoted: { interval: "2s", ...promoted } } },
});

test("limits, intervals, stickiness and threshold are changed while writes go on; what is changed by hand is put right", async (context) => {
  const started = await startTimes(lab, members);
  const verdict = await underWrites(cluster, context, async () => {
    await cluster.declare("failover", {
      manager: "pacemaker",
      operations: {
        start: { timeout: "2min" },
        stop: { onFail: "fence" },
        monitor: { promoted: { interval: "5s", timeout: "12s" }, unpromoted: { interval: "6s" } },
      },
      stickiness: 20,
      migrationThreshold: 3,
    });
    const preview = await cluster.stack.preview("--diff");
    expectExit(preview, 0);
    for (const change of [
      /~ migration-threshold: "5" => "3"/,
      /~ resource-stickiness: "10" => "20"/,
      /~ monitor Promoted *: \{\s+~ interval: "3s" => "5s"\s+~ timeout *: "10s" => "12s"/,
      /~ monitor Unpromoted *: \{\s+~ interval: "4s" => "6s"/,
      /~ start *: \{\s+~ timeout: "60s" => "120s"/,
      /~ stop *: \{\s+\+ on-fail: "fence"/,
    ]) {
      expect(plain(preview.output)).toMatch(change);
    }
    expect(plain(preview.output)).not.toContain("ReplicationGroup: (update)");
    expectExit(await cluster.stack.up(), 0);
    expect((await configuredOperations()).sort()).toEqual([
      "demote 0s 120s",
      "monitor 5s 12s Promoted",
      "monitor 6s 10s Unpromoted",
      "notify 0s 60s",
      "promote 0s 60s",
      "start 0s 120s",
      "stop 0s 60s fence",
    ]);
    for (const [host, milliseconds] of [
      ["pg1", "5000"],
      ["pg2", "6000"],
    ] as const) {
      const looked = async () => (await looks(host)).includes(milliseconds) || undefined;
      await waitFor(`Pacemaker to look at ${host} every ${milliseconds} ms`, 30, looked, 500);
    }
    await expectAsDeclared(cluster, "pg1");
    const byHand = `<op id="${names.resource}-monitor-interval-5s" timeout="40s"/>`;
    await onHost(lab, "pg2", ["cibadmin", "--modify", "--xml-text", byHand]);
    expect(plain((await cluster.stack.preview("--diff")).output)).toMatch(/~ timeout: "40s" => "12s"/);
    expectExit(await cluster.stack.up(), 0);
    await expectAsDeclared(cluster, "pg1");
  });
  expect(await startTimes(lab, members)).toEqual(started);
  expect(serversIn(verdict)).toEqual(["pg1"]);
});

test("equal intervals of the two roles are refused before anything is touched", async () => {
  const before = await configuredOperations();
  await cluster.declare("failover", looksAt({ interval: "4s" }));
  const refused = await cluster.stack.up();
  expectExit(refused, 1);
  expect(plain(refused.output)).toContain(
    "failover.operations.monitor.promoted.interval: found 4s, and unpromoted has 4s by default, expected two that differ",
  );
  expect(await configuredOperations()).toEqual(before);
});

test("onFail: standby takes everything from the host of a primary that failed, until it is cleaned up", async (context) => {
  await cluster.declare("failover", looksAt({ onFail: "standby" }));
  expectExit(await cluster.stack.up(), 0);
  const failed = await promotedMember(lab, "pg1");
  const [other = ""] = members.filter((name) => name !== failed);
  await underWrites(cluster, context, async () => {
    await stopTheServer(failed);
    expect(await waitUntilPromoted(lab, other, failed, 120)).toBe(other);
    const status = await pacemakerStatus(lab, other);
    expect(status.nodes.find(({ name }) => name === failed)?.standby).toBe(true);
    await cleanUp(other);
    await waitUntilRunning(lab, other, failed, 120);
    await waitUntilStreaming(lab, other, [failed]);
  });
  await adoptPrimary(cluster, other);
});

test("onFail: fence switches the host of a primary that failed off, and the other member is promoted", async (context) => {
  const failed = await promotedMember(lab, "pg1");
  const [other = ""] = members.filter((name) => name !== failed);
  await cluster.declare("failover", looksAt({ onFail: "fence" }));
  expectExit(await cluster.stack.up(), 0);
  const before = await boardOrders(lab, failed);
  const verdict = await underWrites(cluster, context, async () => {
    await stopTheServer(failed);
    expect(await waitUntilPromoted(lab, other, failed, 120)).toBe(other);
    await waitForBoardOrders(lab, failed, [...before, "ForceOff", "On"]);
    expect(await fencingOf(lab, other, failed)).toBe("success");
    await comeBack(cluster, failed, other);
  });
  expect(ownersIn(verdict)).toEqual([failed, other]);
});

test("onFail: demote makes a primary that failed a standby without a stop between, and one of the two is promoted", async (context) => {
  const failed = await promotedMember(lab, "pg1");
  const [other = ""] = members.filter((name) => name !== failed);
  await cluster.declare("failover", looksAt({ onFail: "demote" }));
  expectExit(await cluster.stack.up(), 0);
  const orders = await Promise.all(members.map((member) => boardOrders(lab, member)));
  const [startedBefore] = await startTimes(lab, [failed]);
  let primary = "";
  await underWrites(cluster, context, async () => {
    await stopTheServer(failed);
    const settled = async () => {
      const { resources } = await pacemakerStatus(lab, other);
      const roles = resources.filter(({ id }) => id === names.resource).map(({ role }) => role);
      const [startedNow] = await startTimes(lab, [failed]).catch(() => [startedBefore]);
      return (roles.sort().join() === "Promoted,Unpromoted" && startedNow !== startedBefore) || undefined;
    };
    await waitFor("a primary and a standby that was started again", 120, settled, 500);
    primary = await promotedMember(lab, other);
    await waitUntilStreaming(lab, primary, [primary === failed ? other : failed]);
  });
  context.task.meta.measured += `; ${primary === failed ? "the same one" : "the other one"} is primary`;
  expect(await Promise.all(members.map((member) => boardOrders(lab, member)))).toEqual(orders);
  await cleanUp(other);
  await adoptPrimary(cluster, primary);
});

test("under the agent pgsql they are declared and changed alike", async () => {
  const primary = await promotedMember(lab, "pg1");
  await cluster.declare("synchronous", { priority: 1 });
  await cluster.declare("failover", { ...looksAt({}), agent: "pgsql" });
  expectExit(await cluster.stack.up(), 0);
  await expectAsDeclared(cluster, primary);
  const started = await startTimes(lab, members);
  await cluster.declare("failover", {
    ...looksAt({ interval: "7s", timeout: "40s", onFail: "fence" }),
    agent: "pgsql",
  });
  expectExit(await cluster.stack.up(), 0);
  expect(await configuredOperations()).toContain("monitor 7s 40s Promoted fence");
  const looked = async () => (await looks(primary)).includes("7000") || undefined;
  await waitFor(`Pacemaker to look at ${primary} every 7 s`, 30, looked, 500);
  await expectAsDeclared(cluster, primary);
  expect(await startTimes(lab, members)).toEqual(started);
});
