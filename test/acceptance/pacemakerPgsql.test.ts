import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  expectRoles,
  names,
  openPacemakerLab,
  waitUntilPromoted,
  waitUntilSettled,
} from "../support/pacemaker.ts";
import { expectExit, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* Two hosts under the agent pgsql, fenced by the lab's management board; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(2);
  cluster = await declarePacemakerCluster(lab, "pgsql");
  await cluster.declare("synchronous", { priority: 1 });
  await cluster.declare("failover", { manager: "pacemaker", agent: "pgsql" });
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
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
