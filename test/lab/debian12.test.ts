import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Lab, openLab } from "../../lab/lab.ts";
import { hostsConfig, onHost, plain, sql } from "../support/labStack.ts";
import { openStack, type TestStack } from "../support/stack.ts";
import { testLabName } from "../support/testLab.ts";

/* Debian 12 and its PostgreSQL 15, on bare hosts: the packages are installed by `up`. */
let lab: Lab;
let stack: TestStack;

beforeAll(async () => {
  lab = await openLab({ name: testLabName, hosts: 2, debian: 12, prepared: false, fresh: true });
  stack = await openStack({
    name: "debian12",
    config: {
      ...hostsConfig(lab),
      "pgha:clusters": {
        orders: { postgresVersion: 15, members: { pg1: {}, pg2: {} }, primary: "pg1", synchronous: { quorum: 1 } },
      },
    },
  });
});
afterAll(async () => {
  await stack?.forget();
  await lab?.down();
});

test("another version than the distribution's is refused before anything is touched", async () => {
  await stack.edit(["pgha:clusters", "orders", "postgresVersion"], 17);
  const refused = await stack.preview();
  expect(refused.exitCode).not.toBe(0);
  expect(plain(refused.output)).toContain(
    "pgha:clusters.orders.postgresVersion: found 17 on pg1, which runs debian 12, expected 15, the version of this distribution.",
  );
  await stack.edit(["pgha:clusters", "orders", "postgresVersion"], 15);
});

test("two bare hosts become a streaming cluster with PostgreSQL 15, and a second up changes nothing", async () => {
  const up = await stack.up();
  expect(up.exitCode, up.output).toBe(0);
  expect(await sql(lab, "pg1", "show server_version")).toMatch(/^15\./);
  expect(await sql(lab, "pg1", "select application_name, state, sync_state from pg_stat_replication")).toBe(
    "pg2|streaming|quorum",
  );
  const again = await stack.up("--expect-no-changes");
  expect(again.exitCode, again.output).toBe(0);
});

test("the primary is switched over and back, and no acknowledged row is lost", async () => {
  await sql(lab, "pg1", "create table written (word text)");
  for (const primary of ["pg2", "pg1"]) {
    const word = randomBytes(8).toString("hex");
    const old = primary === "pg1" ? "pg2" : "pg1";
    await sql(lab, old, `insert into written values ('${word}')`);
    await stack.edit(["pgha:clusters", "orders", "primary"], primary);
    const up = await stack.up();
    expect(up.exitCode, up.output).toBe(0);
    expect(plain(up.output)).toContain(`switchover ${old} -> ${primary} done: outage`);
    expect(await sql(lab, primary, `select pg_is_in_recovery(), count(*) from written where word = '${word}'`)).toBe(
      "f|1",
    );
    expect(await sql(lab, old, "select pg_is_in_recovery()")).toBe("t");
  }
  expect(await onHost(lab, "pg1", ["systemctl", "is-active", "pgha-orders-pg1"])).toBe("active");
});
