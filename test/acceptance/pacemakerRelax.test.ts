import { beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import {
  expectRoles,
  names,
  setUpPacemakerCluster,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import { expectExit, expectSafe, type Observed, type TestCluster } from "../support/testCluster.ts";

/* Commits that go on without standbys (synchronous.onLoss: relax); the tests go on from each other, under one writer. */
let lab: Lab;
let cluster: TestCluster;
let observed: Observed;

setUpPacemakerCluster(3, "relax", async (opened) => {
  cluster = opened;
  lab = opened.lab;
  await cluster.declare("synchronous", { quorum: 1, onLoss: "relax", relaxAfter: "10s" });
});
beforeAll(async () => {
  observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
});

const standbys = ["pg2", "pg3"];
const unit = (member: string) => `pgha-orders-${member}.service`;
const relaxUnit = "pgha-orders-pg1.relax.service";

/** It stops, and its next start fails, whoever orders it. */
async function keepDown(member: string): Promise<void> {
  const folder = `/run/systemd/system/${unit(member)}.d`;
  const script = `mkdir -p ${folder}; printf '[Unit]\\nAssertPathExists=/nowhere\\n' > ${folder}/down.conf; systemctl daemon-reload; systemctl stop ${unit(member)}`;
  await scriptOnHost(lab, member, script);
}

async function letStart(member: string): Promise<void> {
  await scriptOnHost(lab, member, `rm -r /run/systemd/system/${unit(member)}.d; systemctl daemon-reload`);
  await onHost(lab, member, ["crm_resource", "--cleanup", "--resource", names.resource], 60);
}

/** Whom Pacemaker's configuration names, by this host's copy. */
function recorded(member: string): Promise<string> {
  return scriptOnHost(lab, member, `cibadmin --query --scope nodes | grep -c 'name="pgha-orders-relaxed"' || true`);
}

const setting = (member: string) => sql(lab, member, "show synchronous_standby_names");

async function waitUntilTight(primary: string): Promise<void> {
  const tight = async () => ((await setting(primary)) !== "" && (await recorded("pg2")) === "0") || undefined;
  await waitFor("commits to wait for standbys again, and nobody to be bound any more", 90, tight, 500);
}

test("nothing of it is seen while standbys stream", async () => {
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
  expect(await setting("pg1")).toBe('ANY 1 ("pg1", "pg2", "pg3")');
  expect(await recorded("pg2")).toBe("0");
});

test("without standbys commits stall for the declared time, though the unit is killed, and go on once every node knows it", async () => {
  await Promise.all(standbys.map(keepDown));
  const since = Date.now();
  await onHost(lab, "pg1", ["systemctl", "kill", "--signal=KILL", relaxUnit], 20);
  await observed.writer.waitForAcknowledgement(60);
  await waitFor("commits to go on", 60, async () => (await setting("pg1")) === "" || undefined, 200);
  const gap = observed.writer.longestGap(since).milliseconds;
  console.log(`no standby: ${gap.toFixed(0)} ms without a row`);
  expect(gap).toBeGreaterThan(8000);
  expect(await Promise.all(standbys.map(recorded))).toEqual(["1", "1"]);
  await observed.writer.waitForAcknowledgement(10);
  const preview = await cluster.stack.preview();
  expect(preview.output).toContain("1 of 3 members go on without standbys (onLoss: relax)");
  expect(preview.output).toContain("pg1: since 2");
  await onHost(lab, "pg1", ["systemctl", "kill", "--signal=KILL", relaxUnit], 20);
  await observed.writer.waitForAcknowledgement(10);
});

test("when its host dies then, nobody else is promoted, and it is primary again when it is back", async () => {
  await lab.kill("pg1");
  await Promise.all(standbys.map(letStart));
  const elect = "python3 -u /usr/local/lib/pgha/agent.py elect /etc/pgha/orders/pg2/member.json 2>&1 || true";
  const running = async () => ((await sql(lab, "pg2", "select 1").catch(() => "")) === "1" ? true : undefined);
  await waitFor("the PostgreSQL of pg2 to run", 60, running, 200);
  expect(await scriptOnHost(lab, "pg2", elect)).toContain(
    "pg2 is not promoted: pg1 went on without standbys and has rows that nobody else has: bring it back. If it is lost for good, and its rows with it: `crm_attribute --type nodes --node pg1 --name pgha-orders-relaxed --delete`",
  );
  const primary = await waitUntilPromoted(lab, "pg2", "nobody", 180);
  expect(primary).toBe("pg1");
  await observed.writer.waitForAcknowledgement(60);
});

test("once standbys have everything again commits wait for them, and a failover loses nothing", async () => {
  await waitUntilStreaming(lab, "pg1", standbys);
  await waitUntilTight("pg1");
  for (const standby of standbys) await waitUntilRunning(lab, "pg1", standby, 90);
  await expectRoles(lab, "pg1");
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
  await lab.kill("pg1");
  const promoted = await waitUntilPromoted(lab, "pg2", "pg1", 90);
  await observed.writer.waitForAcknowledgement(60);
  expect(standbys).toContain(promoted);
  expectSafe(await observed.finish());
});
