import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { promoteByHand, said, showsChangeOfPrimary, stopByHand } from "../support/byHand.ts";
import { sql } from "../support/labStack.ts";
import {
  createTestCluster,
  expectExit,
  expectSafe,
  openTestLab,
  type TestCluster,
  touchable,
} from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({
    lab,
    name: "switchback",
    declaration: { onDrift: "switchBack", switchBackAfter: "1h" },
  });
});
afterAll(async () => await cluster?.close());

const afterFailover = ["pg1 t 2", "pg2 f 2", "pg3 t 2"];

/** A window of one hour in UTC that begins this many hours from now. */
function windowIn(hours: number): { from: string; to: string; timezone: string } {
  const time = (offset: number) => `${String((new Date().getUTCHours() + offset) % 24).padStart(2, "0")}:00`;
  return { from: time(hours), to: time(hours + 1), timezone: "UTC" };
}

/** Preview and up stop with this text, and no member is touched. */
async function expectStop(text: string): Promise<void> {
  const before = await touchable(cluster);
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 1);
    expect(said(ran)).toContain(text);
  }
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(afterFailover);
}

/** Preview and up go on with the failover, and say what switching back waits for. */
async function expectNotDue(waitsFor: string): Promise<void> {
  for (const ran of [await cluster.stack.preview("--diff"), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(
      `a failover happened: pg2 is primary, the stack file says pg1\nNot switched back yet (onDrift: switchBack): it waits for ${waitsFor}. Everything else goes on with pg2.`,
    );
    expect(showsChangeOfPrimary(ran), ran.output).toBe(false);
  }
  expect(await cluster.roles()).toEqual(afterFailover);
}

test("right after a failover nothing is switched back: the old primary is repaired, and does not stream long enough yet", async () => {
  await stopByHand(lab, "pg1");
  await promoteByHand(lab, "pg2");
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("it waits for pg1 to stream from pg2.");
  await expectNotDue("pg1 to have streamed from pg2 for 1h without a break");
});

test("outside the maintenance window it is not due, and the up that declares the window never switches", async () => {
  await cluster.declare("switchBackAfter", "1s");
  const window = windowIn(11);
  await cluster.declare("maintenanceWindow", window);
  const declaring = await cluster.stack.up();
  expectExit(declaring, 0);
  expect(said(declaring)).toContain("it waits for the `pulumi up` after this one: its rule is new.");
  await expectNotDue(`the maintenance window every day ${window.from} to ${window.to} (UTC)`);
});

test("once it is due, another change in the same update stops preview and up, with the choice spelled out", async () => {
  await cluster.declare("maintenanceWindow", undefined);
  const declaring = await cluster.stack.up();
  expectExit(declaring, 0);
  expect(said(declaring)).toContain("its rule is new.");
  expect(await cluster.roles()).toEqual(afterFailover);
  await cluster.declare("parameters", { work_mem: "9MB" });
  await expectStop(
    `orders: switching back pg2 -> pg1 is due, and is done alone: the stack file also changed parameters.work_mem.
Nothing was touched.
To switch back first: take that change back, run \`pulumi up\`, then make the change again.
To make the change first: onDrift: adopt, run \`pulumi up\`, then onDrift: switchBack.
To keep pg2: primary: pg2.
pg1: standby, timeline 2, streaming from ${lab.host("pg2").addresses.replication}:5432`,
  );
  await cluster.declare("parameters", undefined);
});

test("what must be repaired is repaired first, alone", async () => {
  await sql(lab, "pg3", "select pg_drop_replication_slot('pgha_pg1')");
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(
      "Not switched back yet (onDrift: switchBack): first this is repaired: unhealthy.pg3. Everything else goes on with pg2.",
    );
  }
  expect(await cluster.roles()).toEqual(afterFailover);
});

test("alone and due it is shown with its checks and carried out: no acknowledged row is lost, never two are writable", async () => {
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(preview.output).toContain('~ primary: "pg2" => "pg1"');
  expect(said(preview)).toContain(
    `orders: planned switchover pg2 -> pg1: back to the declared primary
A failover had made pg2 primary; onDrift: switchBack takes it back, and nothing else is changed with it.
To keep pg2 instead: primary: pg2.`,
  );
  expect(said(preview)).toContain("switchover pg2 -> pg1: checks all ok");
  expect(await cluster.roles()).toEqual(afterFailover);

  const observed = await cluster.observeWrites();
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("switchover pg2 -> pg1 done");
  expectSafe(await observed.finish());
  expect(await cluster.roles()).toEqual(["pg1 f 3", "pg2 t 3", "pg3 t 3"]);
  expect((await cluster.stack.outputs()).orders?.primary).toBe("pg1");
  expectExit(await cluster.stack.up("--expect-no-changes"), 0);
});
