import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import {
  createTestCluster,
  expectExit,
  expectNothingLeft,
  expectSafe,
  openTestLab,
  type TestCluster,
  touchable,
} from "../support/testCluster.ts";

let lab: Lab;
beforeAll(async () => {
  lab = await openTestLab(3);
});

/** The report of a switchover, from its first line on. */
function reportIn(output: string): string {
  const text = plain(output);
  return text.slice(text.indexOf("Diagnostics:"));
}

function rewinds(host: string): Promise<string> {
  return scriptOnHost(
    lab,
    host,
    "find / -xdev -name '*rewind*' -path '*pgdata*' | wc -l; journalctl -u 'pgha-*' | grep -c rewind || true",
  );
}

describe("a planned switchover of three members", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await createTestCluster({ lab, name: "switchover" });
  });
  afterAll(async () => await cluster?.close());

  test("preview shows the change, the checks and the plan, and touches nothing", async () => {
    const before = await touchable(cluster);
    await cluster.declare("primary", "pg2");
    const preview = await cluster.stack.preview("--diff");
    expectExit(preview, 0);
    const output = plain(preview.output);
    expect(output).toContain('~ primary: "pg1" => "pg2"');
    expect(output).toMatch(/switchover pg1 -> pg2: checks all ok, outage about 0\.\d\d s/);
    expect(output).toMatch(/ok {4}target streams +from 203\.0\.113\.\d+:5432 +\(from pg1\)/);
    expect(output).toMatch(/6 \* demote +stop pg1 \(fast\) and make it a standby/);
    expect(output).toMatch(/8 \* promote +promote pg2/);
    expect(output).toMatch(/predicted outage 0\.\d\d s \(ms: fast stop 35, ticket and proof 5, promotion 20,/);
    expect(await touchable(cluster)).toEqual(before);
    expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);
  });

  test("four in a row, with quorum, priority and off, and with other changes beside them, lose nothing", async () => {
    const observed = await cluster.observeWrites();
    const quorum = await cluster.stack.up();
    expectExit(quorum, 0);
    expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
    const report = reportIn(quorum.output);
    expect(report).toMatch(/switchover pg1 -> pg2 done: outage \d\.\d\d s\n/);
    expect(report).toContain("primary    pg1 (timeline 1) -> pg2 (timeline 2)");
    expect(report).toMatch(
      /outage {5}\d\.\d\d s measured, 0\.\d\d s predicted \(ms: shut down \+\d+, proved \+\d+, promoted \+\d+, acknowledged \+\d+, follows \+\d+\)/,
    );
    const lsn = /pg2 had the whole shutdown checkpoint (\S+) of pg1/.exec(report)?.[1] ?? "no LSN in the report";
    const [high, low] = lsn.split("/");
    expect(report).toContain(`lsn: ${high}/${low?.padStart(8, "0")}`);
    expect(report).toContain(`desc: CHECKPOINT_SHUTDOWN redo ${lsn}; tli 1; prev tli 1`);

    await cluster.declare("primary", "pg3");
    await cluster.declare("synchronous", { priority: 1 });
    const toPriority = await cluster.stack.up();
    expectExit(toPriority, 0);
    expect(await cluster.roles()).toEqual(["pg1 t 3", "pg2 t 3", "pg3 f 3"]);
    expect(await sql(lab, "pg3", "show synchronous_standby_names")).toBe('FIRST 1 ("pg1", "pg2", "pg3")');

    await cluster.declare("primary", "pg1");
    await cluster.declare("synchronous", "off");
    await cluster.declare("parameters", { work_mem: "8MB" });
    const toOff = await cluster.stack.up();
    expectExit(toOff, 0);
    expect(await cluster.roles()).toEqual(["pg1 f 4", "pg2 t 4", "pg3 t 4"]);
    const settings = "select current_setting('synchronous_standby_names'), current_setting('work_mem')";
    expect(await sql(lab, "pg1", settings)).toBe("|8MB");

    await cluster.declare("primary", "pg2");
    const off = await cluster.stack.up();
    expectExit(off, 0);
    expect(await cluster.roles()).toEqual(["pg1 t 5", "pg2 f 5", "pg3 t 5"]);

    const verdict = await observed.finish();
    expectSafe(verdict);
    expect([...new Set(verdict.writer.acknowledgements.map((row) => `${row.server} ${row.timeline}`))]).toEqual([
      "pg1 1",
      "pg2 2",
      "pg3 3",
      "pg1 4",
      "pg2 5",
    ]);
    await expectNothingLeft(cluster);
    // Every old primary followed on the data that it had.
    for (const member of cluster.members) expect((await rewinds(member)).split("\n")).toEqual(["0", "0"]);
    expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
  });

  test("paused replay on the target and a running base backup block preview and up, and nothing is touched", async () => {
    await sql(lab, "pg3", "select pg_wal_replay_pause()");
    const [primary, port] = [lab.host("pg2").addresses.replication, "5432"];
    await onHost(lab, "pg1", [
      ...["systemd-run", "--unit=slow-backup", "--uid=postgres", "--setenv=PGPASSFILE=/etc/pgha/orders/pg1/passfile"],
      ...["/usr/lib/postgresql/17/bin/pg_basebackup", "--host", primary, "--port", port, "--username=replicator"],
      ...["--pgdata=/tmp/slow-backup", "--max-rate=64k", "--checkpoint=fast"],
    ]);
    await waitUntil("a base backup", async () =>
      sql(lab, "pg2", "select count(*) > 0 from pg_stat_replication where state = 'backup'"),
    );
    const before = await touchable(cluster);
    await cluster.declare("primary", "pg3");
    for (const blocked of [await cluster.stack.preview("--diff"), await cluster.stack.up()]) {
      expectExit(blocked, 1);
      const output = plain(blocked.output);
      expect(output).toMatch(/BLOCK replay +paused +\(runs, no delay\)\n +-> On pg3: select pg_wal_replay_resume\(\)/);
      expect(output).toMatch(
        /BLOCK base backups +pg_basebackup \(pid \d+\) on pg2 +\(none\)\n +-> It would be lost: wait for it to end\./,
      );
      expect(output).toContain("Nothing was touched.");
    }
    expect(await touchable(cluster)).toEqual(before);
    expect(await cluster.roles()).toEqual(["pg1 t 5", "pg2 f 5", "pg3 t 5"]);
    await onHost(lab, "pg1", ["systemctl", "stop", "slow-backup"]);
    await sql(lab, "pg3", "select pg_wal_replay_resume()");
  });

  test("a target whose service is stopped blocks preview and up, and is not started", async () => {
    await onHost(lab, "pg3", ["systemctl", "stop", "pgha-orders-pg3"]);
    const before = await touchable(cluster);
    for (const blocked of [await cluster.stack.preview("--diff"), await cluster.stack.up()]) {
      expectExit(blocked, 1);
      expect(plain(blocked.output)).toMatch(
        /BLOCK target answers [^>]*\n +-> Bring pg3 back, or declare another primary\./,
      );
    }
    expect(await touchable(cluster)).toEqual(before);
    expect(await cluster.roles()).toEqual(["pg1 t 5", "pg2 f 5", "pg3 down"]);
  });
});

describe("two members with quorum 1 and WAL segments of 16 MB", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    await Promise.all(["pg1", "pg2"].map((host) => lab.reset(host)));
    cluster = await createTestCluster({
      lab,
      name: "two-members",
      members: ["pg1", "pg2"],
      declaration: { walSegmentSize: "16MB" },
    });
  });
  afterAll(async () => await cluster?.close());

  test("the outage includes the old primary's return, and the report says so", async () => {
    const observed = await cluster.observeWrites();
    await cluster.declare("primary", "pg2");
    const up = await cluster.stack.up();
    expectExit(up, 0);
    expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2"]);
    expectSafe(await observed.finish());
    const report = reportIn(up.output);
    const [, promoted, acknowledged] = /promoted \+(\d+),.* acknowledged \+(\d+)/.exec(report) ?? [];
    // Nobody else could acknowledge: the commit waited for the old primary, however quickly that came back.
    expect(Number(acknowledged), report).toBeGreaterThan(Number(promoted));
    expect(await sql(lab, "pg2", "select application_name, sync_state from pg_stat_replication")).toBe("pg1|quorum");
  });
});

async function waitUntil(awaited: string, probe: () => Promise<string>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while ((await probe()) !== "t") {
    if (performance.now() > deadline) throw new Error(`waited 30 s for ${awaited}`);
  }
}
