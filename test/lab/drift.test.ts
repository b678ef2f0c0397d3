import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { startTimes } from "../support/byHand.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { TestStack } from "../support/stack.ts";
import { createTestCluster, openTestLab, type TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;
let stack: TestStack;
const names = ["pg1", "pg2", "pg3"];

beforeAll(async () => {
  lab = await openTestLab(3);
  const parameters = { work_mem: "8MB", max_connections: 120 };
  cluster = await createTestCluster({ lab, name: "drift", declaration: { parameters } });
  stack = cluster.stack;
});
afterAll(async () => await cluster?.close());

const parameters = ["pgha:clusters", "orders", "parameters"];

function conf(member: string): string {
  return `/etc/pgha/orders/${member}/postgresql.conf`;
}

function unit(member: string): string {
  return `/etc/systemd/system/pgha-orders-${member}.service`;
}

/** The changed lines of a diff, without the indentation; unchanged context is left out. */
function changedLines(output: string): string[] {
  return plain(output)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^[-+~] /.test(line));
}

function settings(parameter: string): Promise<string[]> {
  return Promise.all(names.map((name) => sql(lab, name, `show ${parameter}`)));
}

function files(): Promise<string[]> {
  return Promise.all(names.map((name) => onHost(lab, name, ["sha256sum", conf(name), unit(name)])));
}

async function repairAll(): Promise<void> {
  const up = await stack.up();
  expect(up.exitCode, up.output).toBe(0);
  const again = await stack.preview("--expect-no-changes");
  expect(again.exitCode, again.output).toBe(0);
}

async function roles(): Promise<string[]> {
  return Promise.all(names.map((name) => sql(lab, name, "select pg_is_in_recovery()")));
}

function streaming(): Promise<string> {
  return sql(
    lab,
    "pg1",
    "select string_agg(application_name || ' ' || state, ', ' order by application_name) from pg_stat_replication",
  );
}

describe("what was changed by hand on a host", () => {
  test("an edited file, ALTER SYSTEM, a dropped slot and an edited unit are each shown by preview, and undone by up without a restart", async () => {
    const [before, started] = [await files(), await startTimes(lab, names)];
    await scriptOnHost(lab, "pg2", `sed -i "s/^work_mem = .*/work_mem = '64MB'/" ${conf("pg2")}`);
    await sql(lab, "pg1", "alter system set log_min_duration_statement = 100");
    await sql(lab, "pg1", "alter system set primary_conninfo = 'user=postgres password=hand-made-secret'");
    await sql(lab, "pg1", "select pg_reload_conf()");
    await sql(lab, "pg3", "select pg_drop_replication_slot('pgha_pg2')");
    await scriptOnHost(lab, "pg3", `sed -i s/^Restart=.*/Restart=no/ ${unit("pg3")}`);

    const preview = await stack.preview("--diff");
    expect(preview.exitCode, preview.output).toBe(0);
    const output = plain(preview.output);
    const proposed = changedLines(output.slice(output.indexOf("pulumi:pulumi:Stack: (same)")));
    expect(proposed).toEqual([
      "~ pgha:index:Instance: (update)",
      "~ unit:",
      "- Restart=no",
      "+ Restart=always",
      "~ pgha:index:ReplicationGroup: (update)",
      "- alterSystem  : {",
      "- pg1: {",
      '- log_min_duration_statement: "set"',
      '- primary_conninfo          : "set"',
      "~ configuration: {",
      "~ pg2: {",
      "~ postgresql.conf:",
      "- work_mem = '64MB'",
      "+ work_mem = '8MB'",
      "- unhealthy    : {",
      '- pg3: "slot missing: pgha_pg2"',
      "~ 2 to update",
    ]);
    const refreshed = await stack.pulumi("refresh", "--yes", "--skip-preview", "--diff");
    expect(refreshed.exitCode, refreshed.output).toBe(0);
    const state = await stack.exportState();
    expect(state).toContain("primary_conninfo");
    for (const text of [state, refreshed.output, preview.output]) expect(text).not.toContain("hand-made-secret");

    await repairAll();
    expect(await files()).toEqual(before);
    expect(await sql(lab, "pg1", "show primary_conninfo")).not.toContain("hand-made-secret");
    expect(await settings("log_min_duration_statement")).toEqual(["-1", "-1", "-1"]);
    expect(await sql(lab, "pg3", "select slot_name from pg_replication_slots order by 1")).toBe("pgha_pg1\npgha_pg2");
    expect(await onHost(lab, "pg3", ["systemctl", "show", "-p", "Restart", "--value", "pgha-orders-pg3"])).toBe(
      "always",
    );
    expect(await startTimes(lab, names)).toEqual(started);
  });

  test("a standby.signal beside the running primary is shown, and taken away without a restart", async () => {
    const started = await startTimes(lab, names);
    const signal = `${await sql(lab, "pg1", "show data_directory")}/standby.signal`;
    await onHost(lab, "pg1", ["touch", signal]);
    const preview = await stack.preview("--diff");
    expect(changedLines(preview.output).slice(-3)).toEqual([
      "- unhealthy: {",
      '- pg1: "its next restart would be as a standby (standby.signal)"',
      "~ 1 to update",
    ]);
    await repairAll();
    expect(await scriptOnHost(lab, "pg1", `test -e ${signal} || echo gone`)).toBe("gone");
    expect(await startTimes(lab, names)).toEqual(started);
  });

  test("the stopped service of a standby is shown, and started", async () => {
    await onHost(lab, "pg2", ["systemctl", "stop", "pgha-orders-pg2"]);
    const preview = await stack.preview("--diff");
    expect(changedLines(preview.output).slice(-3)).toEqual([
      "- unhealthy: {",
      '- pg2: "service stopped"',
      "~ 1 to update",
    ]);
    await repairAll();
    expect(await streaming()).toBe("pg2 streaming, pg3 streaming");
  });

  test("the stopped service of the primary is shown, and the same primary is started where it was", async () => {
    const timeline = "select timeline_id from pg_control_checkpoint()";
    const before = await sql(lab, "pg1", timeline);
    await onHost(lab, "pg1", ["systemctl", "stop", "pgha-orders-pg1"]);
    const preview = await stack.preview();
    expect(preview.exitCode, preview.output).toBe(0);
    expect(plain(preview.output)).toContain(`
    warning: 3 of 3 members unhealthy
      pg1: service stopped
      pg2: does not stream
      pg3: does not stream
`);
    await repairAll();
    expect(await roles()).toEqual(["f", "t", "t"]);
    expect(await sql(lab, "pg1", timeline)).toBe(before);
    expect(await streaming()).toBe("pg2 streaming, pg3 streaming");
  });
});

describe("a parameter changed in the stack file", () => {
  test("one that needs only a reload is live on every member afterwards, without a restart", async () => {
    const started = await startTimes(lab, names);
    await stack.edit([...parameters, "work_mem"], "9MB");
    const preview = await stack.preview("--diff");
    expect(changedLines(preview.output)).toEqual([
      "~ pgha:index:ReplicationGroup: (update)",
      "~ parameters: {",
      '~ work_mem: "8MB" => "9MB"',
      "~ 1 to update",
    ]);
    await repairAll();
    expect(await settings("work_mem")).toEqual(["9MB", "9MB", "9MB"]);
    expect(await startTimes(lab, names)).toEqual(started);
  });

  test("one that needs a restart is refused at preview", async () => {
    await stack.edit([...parameters, "max_connections"], 200);
    const preview = await stack.preview();
    expect(preview.exitCode).not.toBe(0);
    expect(plain(preview.output)).toContain(`
    error: Preview failed: Nothing was touched:
      pgha:clusters.orders.parameters.max_connections: found 200 (running with 120), expected no change on a running cluster: it takes effect only after a restart, which this version does not do. Write the old value.
`);
    await stack.edit([...parameters, "max_connections"], 120);
  });

  test("a value that PostgreSQL does not take is refused by PostgreSQL, at preview and at up, and no file is written", async () => {
    const before = await files();
    await stack.edit([...parameters, "work_mem"], "banana");
    const runs = [await stack.preview(), await stack.up()];
    for (const run of runs) {
      expect(run.exitCode).not.toBe(0);
      expect(plain(run.output)).toContain(
        'pgha:clusters.orders.parameters.work_mem: found banana, expected a value that PostgreSQL 17 takes (it says: invalid value for parameter "work_mem": "banana"). Correct the value.\n',
      );
    }
    expect(await files()).toEqual(before);
    expect(await settings("work_mem")).toEqual(["9MB", "9MB", "9MB"]);
    await stack.edit([...parameters, "work_mem"], "9MB");
    await repairAll();
  });
});
