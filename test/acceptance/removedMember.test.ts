import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../../cluster/waitFor.ts";
import type { Lab } from "../../lab/lab.ts";
import { promoteByHand, said, waitUntilAlone, waitUntilStreaming } from "../support/byHand.ts";
import { scriptOnHost, sql } from "../support/labStack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "removed" });
});
afterAll(async () => {
  await cluster?.close();
});

const slotsOn = (member: string) =>
  sql(lab, member, "select string_agg(slot_name, ' ' order by slot_name) from pg_replication_slots");

const settled = async () => expectExit(await cluster.stack.up("--expect-no-changes"), 0);

test("a healthy member that is taken out: its service is stopped, its slots go, its data stays, and preview says so", async () => {
  await sql(lab, "pg1", "select pg_create_physical_replication_slot('barman')");
  await cluster.declare("members", { pg1: {}, pg2: {} });
  const preview = await cluster.stack.preview();
  const up = await cluster.stack.up();
  for (const ran of [preview, up]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(
      "orders: pg3 is removed: its service is stopped, its data stays\nOn pg3: pgha-orders-pg3.service is stopped and disabled; /var/lib/postgresql/17/orders-pg3 is not touched.\nOn the other members: slot pgha_pg3 is dropped.",
    );
    expect(said(ran)).not.toContain("unreachable");
  }
  expect(await Promise.all(["pg1", "pg2"].map(slotsOn))).toEqual(["barman pgha_pg2", "pgha_pg1"]);
  expect(
    await scriptOnHost(
      lab,
      "pg3",
      "systemctl show -p ActiveState -p UnitFileState pgha-orders-pg3; cat /var/lib/postgresql/17/orders-pg3/PG_VERSION",
    ),
  ).toBe("ActiveState=inactive\nUnitFileState=disabled\n17");
  await settled();
});

test("a slot of nobody, left behind by whomever, is shown, and dropped by the next up", async () => {
  await sql(lab, "pg1", "select pg_create_physical_replication_slot('pgha_pg9', true)");
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(said(preview)).toContain("1 of 2 members unhealthy\npg1: slot of no member, holds WAL back: pgha_pg9");
  expectExit(await cluster.stack.up(), 0);
  expect(await slotsOn("pg1")).toBe("barman pgha_pg2");
});

test("put back, it follows again with the data that stayed", async () => {
  await cluster.declare("members", { pg1: {}, pg2: {}, pg3: {} });
  expectExit(await cluster.stack.up(), 0);
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
});

test("a primary whose host is dead for good is taken out, and its host too, once the failover is acknowledged", async () => {
  await lab.kill("pg1");
  await waitUntilAlone(lab, ["pg2", "pg3"]);
  await promoteByHand(lab, "pg2");
  await waitUntilStreaming(lab, "pg2", ["pg3"]);
  await cluster.declare("primary", "pg2");
  const acknowledged = await cluster.stack.up();
  expectExit(acknowledged, 0);
  expect(said(acknowledged)).toContain("orders: acknowledged: pg2 is already primary (recorded was pg1)");

  await cluster.declare("members", { pg2: {}, pg3: {} });
  await cluster.stack.edit(["pgha:hosts", "pg1"], undefined);
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(said(preview)).toContain("orders: pg1 is removed: its host cannot be reached, nothing is changed there");
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toMatch(
    /pgha-orders-pg1\.service is forgotten, not stopped\nIts service, and its data at \/var\/lib\/postgresql\/17\/orders-pg1, stay on pg1 as they are\.\nThere, now or when the host comes back: `systemctl disable --now pgha-orders-pg1\.service`/,
  );
  expect(await Promise.all(["pg2", "pg3"].map(slotsOn))).toEqual(["pgha_pg3", "pgha_pg2"]);
  await settled();
});

test("its host comes back: its boot gate keeps it down, and the cluster does not notice", async () => {
  await lab.start("pg1");
  await waitFor("pg1 to wait at its boot gate", 60, async () => {
    const { stdout } = await lab.insideHost("pg1", ["cat", "/run/pgha/orders-pg1/gate"], 10);
    return stdout === "" ? { lastSeen: "no reason to wait" } : { done: true };
  });
  await expect(sql(lab, "pg1", "select 1")).rejects.toThrow("exit code");
  expect(await sql(lab, "pg2", "select string_agg(application_name, ' ') from pg_stat_replication")).toBe("pg3");
});

test("a standby whose host has just died is taken out while the host stays declared: no package is asked for there", async () => {
  await cluster.declare("synchronous", "off");
  expectExit(await cluster.stack.up(), 0);
  await lab.kill("pg3");
  await cluster.declare("members", { pg2: {} });
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("pgha-orders-pg3.service is forgotten, not stopped");
  expect(await slotsOn("pg2")).toBe("");
  await settled();
});
