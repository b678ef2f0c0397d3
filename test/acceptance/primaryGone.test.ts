import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { promoteByHand, said, showsChangeOfPrimary, waitUntilAlone, waitUntilStreaming } from "../support/byHand.ts";
import { scriptOnHost, sql } from "../support/labStack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster, touchable } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "primary-gone" });
});
afterAll(async () => {
  await cluster?.close();
});

/** What must not change on the two hosts that are left. */
function left(): Promise<string[]> {
  return touchable({ ...cluster, members: ["pg2", "pg3"] });
}

test("the primary's host cannot be reached from here while the cluster runs: nothing is done, and a promotion warned against", async () => {
  await scriptOnHost(lab, "pg1", "systemctl stop ssh.socket ssh.service");
  const before = await touchable(cluster);
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toMatch(
      /who is primary cannot be told; nothing is changed that depends on it\npg1 cannot be reached; pg2 and pg3 still stream from pg1\.\nPromote nobody: as long as standbys stream, a primary runs, and two would be writable\.\n\(For some seconds after its host's death it still looks so: preview again\.\)\nBring the members back, then run `pulumi up` again\./,
    );
  }
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);
});

test("the primary's host dies: nobody is promoted, preview and up say why, and what depends on a primary is not changed", async () => {
  await lab.kill("pg1");
  await waitUntilAlone(lab, ["pg2", "pg3"]);
  const before = await left();
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toMatch(
      /who is primary cannot be told; nothing is changed that depends on it\npg1 cannot be reached\.\nBring the members back, then run `pulumi up` again\.\nTo fail over by hand: make sure that pg1 is off and stays off; then `select pg_promote\(\)` in psql \(`su postgres -c psql`\) on the standby\nwith the newest data \(of those on the highest timeline the one with the furthest `select pg_last_wal_receive_lsn\(\)`\), then `pulumi up`\.\nTo go on without one for good: take it out of members: \(that is your word that it is fenced: off, and never writable again\)\./,
    );
    expect(said(ran)).toMatch(/1 of 3 members unreachable; nothing is changed there\npg1: .+/);
  }
  expect(await left()).toEqual(before);
});

test("declaring another primary while the old one's host is dead is no failover: preview and up stop", async () => {
  const before = await left();
  await cluster.declare("primary", "pg2");
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 1);
    expect(said(ran)).toMatch(/orders: who is primary cannot be told: pg1 cannot be reached\./);
    expect(said(ran)).toContain("Nothing was touched.\nBring the members back");
    expect(said(ran)).toMatch(
      /\npg1: unreachable \(.+\)\npg2: standby, timeline 1, not streaming, WAL up to [0-9A-F/]+\npg3: standby/,
    );
  }
  expect(await left()).toEqual(before);
  await cluster.declare("primary", "pg1");
});

test("a standby promoted by hand is drift, also while the old primary's host is dead: the other one follows by itself", async () => {
  await promoteByHand(lab, "pg2");
  await waitUntilStreaming(lab, "pg2", ["pg3"]);
  const before = await left();
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(said(preview)).toContain("a failover happened: pg2 is primary, the stack file says pg1\nAdopted:");
  expect(showsChangeOfPrimary(preview), preview.output).toBe(false);
  expect(await left()).toEqual(before);
});

test("everything else goes on with the observed primary: a parameter is changed on the members that are there", async () => {
  await cluster.declare("parameters", { work_mem: "9MB" });
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("a failover happened: pg2 is primary, the stack file says pg1");
  const settings = await Promise.all(["pg2", "pg3"].map((member) => sql(lab, member, "show work_mem")));
  expect(settings).toEqual(["9MB", "9MB"]);
  expect((await cluster.stack.outputs()).orders?.primary).toBe("pg2");
  expectExit(await cluster.stack.up("--expect-no-changes"), 0);
});

test("under onDrift: fail preview and up stop, while refresh still works", async () => {
  const before = await left();
  await cluster.declare("onDrift", "fail");
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 1);
    expect(said(ran)).toContain("orders: a failover happened: pg2 is primary, the stack file says pg1.");
    expect(said(ran)).toMatch(
      /\npg1: unreachable \(.+\)\npg2: primary, writable, timeline 2\npg3: standby, timeline 2/,
    );
  }
  expectExit(await cluster.stack.pulumi("refresh", "--yes", "--skip-preview"), 0);
  expect(await left()).toEqual(before);
  await cluster.declare("onDrift", "adopt");
});

test("the group's state lost with one host dead: what runs is recorded, nothing is switched, cloned or initialised", async () => {
  const before = await left();
  const urn =
    /urn:pulumi:[^"\s]*pgha:index:ReplicationGroup::orders/.exec(await cluster.stack.exportState())?.[0] ?? "";
  expectExit(await cluster.stack.pulumi("state", "delete", urn, "--yes"), 0);
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(
      "orders: recorded: pg2 is primary, the stack file says pg1\nThis state knew nothing of the cluster. What is there is taken over as it is: nothing is switched.",
    );
  }
  expect(await left()).toEqual(before);
  const drift = await cluster.stack.preview();
  expectExit(drift, 0);
  expect(said(drift)).toContain("a failover happened: pg2 is primary, the stack file says pg1");
});

test("the whole state lost with one host dead: it is told how the others are taken over, and so they are", async () => {
  const before = await left();
  expectExit(await cluster.stack.pulumi("stack", "rm", "--force", "--preserve-config", "--yes"), 0);
  expectExit(await cluster.stack.pulumi("stack", "init"), 0);
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 1);
    expect(said(ran)).toMatch(
      /1 of 3 hosts cannot be used as declared; nothing was touched:\npgha:hosts\.pg1\.address: /,
    );
    expect(said(ran)).toContain(
      `cluster orders exists already: pg2, pg3 hold its data. To take it over now, without pg1: leave
pg1 out of its members: and pg1 out of pgha:hosts, run \`pulumi up\`, and add them again when they are back.`,
    );
  }
  await cluster.declare("members", { pg2: {}, pg3: {} });
  await cluster.declare("primary", "pg2");
  await cluster.stack.edit(["pgha:hosts", "pg1"], undefined);
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("orders: recorded: pg2 is primary, as declared");
  expect(await left()).toEqual(before);
});
