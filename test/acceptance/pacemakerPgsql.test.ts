import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import {
  expectRoles,
  names,
  setUpPacemakerCluster,
  waitUntilPromoted,
  waitUntilSettled,
} from "../support/pacemaker.ts";
import { promotedMember } from "../support/pacemakerProof.ts";
import { expectExit, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* Two hosts under the agent pgsql, fenced by the lab's management board; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(2, "pgsql", async (opened) => {
  cluster = opened;
  lab = opened.lab;
  await cluster.declare("synchronous", { priority: 1 });
  await cluster.declare("failover", { manager: "pacemaker", agent: "pgsql" });
});

const lock = `${names.agentDirectory}/PGSQL.lock`;

async function hasLock(member: string): Promise<boolean> {
  return (await scriptOnHost(lab, member, `test -e ${lock} && echo there || echo gone`)) === "there";
}

/** Everything as it was declared, the agent's files included, and Pulumi sees nothing to do. */
async function expectAsDeclared(primary: string, standby: string): Promise<void> {
  await waitUntilSettled(lab, primary, 120);
  await expectRoles(lab, primary);
  await waitUntilStreaming(lab, primary, [standby]);
  expect(await sql(lab, primary, "select application_name, sync_state from pg_stat_replication")).toBe(
    `${standby}|sync`,
  );
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("rep_mode is changed and changed back while writes go on", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const parameter = () =>
    onHost(lab, "pg1", ["crm_resource", "--resource", names.resource, "--get-parameter", "rep_mode"]);
  await cluster.declare("synchronous", "off");
  expectExit(await cluster.stack.up(), 0);
  expect(await parameter()).toBe("async");
  expect(await sql(lab, "pg1", "select application_name, sync_state from pg_stat_replication")).toBe("pg2|async");
  for (const { name } of lab.hosts) {
    const left = `ls ${names.agentDirectory}/rep_mode.conf 2>/dev/null || true`;
    expect(await scriptOnHost(lab, name, left)).toBe("");
  }
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
  await cluster.declare("synchronous", { priority: 1 });
  expectExit(await cluster.stack.up(), 0);
  expect(await parameter()).toBe("sync");
  await expectAsDeclared("pg1", "pg2");
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(new Set(verdict.writer.acknowledgements.map((row) => row.server))).toEqual(new Set(["pg1"]));
});

test("a primary whose postmaster is killed is primary again, or its standby is, and nothing is lost", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  for (const moment of [0, 1000, 2000]) {
    // The agent looks every 3 s.
    await pause(moment);
    const since = Date.now();
    await scriptOnHost(lab, "pg1", `kill -KILL $(head -1 ${names.dataLink}/postmaster.pid)`);
    await observed.writer.waitForAcknowledgement(90);
    // Two of its looks, so that it has acted if it is to act.
    await pause(6000);
    await waitUntilSettled(lab, "pg2", 120);
    console.log(`kill -9: ${observed.writer.longestGap(since).milliseconds.toFixed(0)} ms without a row`);
    const promoted = await promotedMember(lab, "pg2");
    console.log(`${promoted} is promoted`);
    if (promoted !== "pg1") break;
  }
  await observed.writer.waitForAcknowledgement(30);
  const verdict = await observed.finish();
  expectSafe(verdict);
  const primary = verdict.writer.acknowledgements.at(-1)?.server ?? "";
  for (const member of new Set([primary, "pg1"])) {
    await cluster.declare("primary", member);
    expectExit(await cluster.stack.up(), 0);
  }
  await expectAsDeclared("pg1", "pg2");
});

test("a planned switchover takes the agent's records with it", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  for (const [from, to] of [
    ["pg1", "pg2"],
    ["pg2", "pg1"],
  ] as const) {
    await cluster.declare("primary", to);
    expectExit(await cluster.stack.up(), 0);
    await observed.writer.waitForAcknowledgement(30);
    expect([await hasLock(to), await hasLock(from)]).toEqual([true, false]);
    await expectAsDeclared(to, from);
  }
  expectSafe(await observed.finish());
});

test("a primary whose host dies is fenced, the standby is promoted, and pulumi up brings it back and removes its lock", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await lab.kill("pg1");
  expect(await waitUntilPromoted(lab, "pg2", "pg1", 120)).toBe("pg2");
  await observed.writer.waitForAcknowledgement(60);
  console.log(`host death: ${observed.writer.longestGap(since).milliseconds.toFixed(0)} ms without a row`);
  expectSafe(await observed.finish());
  await lab.start("pg1");
  const refused = async () => (await onHost(lab, "pg2", ["crm_mon", "-1r"], 30)).includes(lock) || undefined;
  await waitFor("the agent to refuse the start of the former primary", 120, refused, 1000);
  await cluster.declare("primary", "pg2");
  expectExit(await cluster.stack.up(), 0);
  expect([await hasLock("pg2"), await hasLock("pg1")]).toEqual([true, false]);
  await expectAsDeclared("pg2", "pg1");
});

test("commits stop waiting for a standby whose host died, and wait for it again when it is back", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await lab.kill("pg1");
  await observed.writer.waitForAcknowledgement(90);
  const rule = () => sql(lab, "pg2", "show synchronous_standby_names");
  await waitFor("commits to wait for nobody", 90, async () => ((await rule()) === "" ? true : undefined), 500);
  await lab.start("pg1");
  await waitFor("commits to wait for the standby", 180, async () => ((await rule()) === "" ? undefined : true), 500);
  expectSafe(await observed.finish());
  await expectAsDeclared("pg2", "pg1");
});

test("the agent is changed and changed back while writes go on, and nothing of the other one is left", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await cluster.declare("failover", { manager: "pacemaker", agent: "paf" });
  expectExit(await cluster.stack.up(), 0);
  await expectAsDeclared("pg2", "pg1");
  for (const { name } of lab.hosts) {
    expect(await scriptOnHost(lab, name, `ls -d ${names.agentDirectory} 2>/dev/null || true`)).toBe("");
    expect(await scriptOnHost(lab, name, `cat ${names.agentConfiguration}`)).toBe("");
  }
  expect(await onHost(lab, "pg2", ["cibadmin", "--query"])).not.toContain(`${names.resource}-data-status`);
  await cluster.declare("failover", { manager: "pacemaker", agent: "pgsql" });
  expectExit(await cluster.stack.up(), 0);
  await expectAsDeclared("pg2", "pg1");
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(new Set(verdict.writer.acknowledgements.map((row) => row.server))).toEqual(new Set(["pg2"]));
});
