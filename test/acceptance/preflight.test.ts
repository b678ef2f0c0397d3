import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster, touchable } from "../support/testCluster.ts";

/*
 * What the checks of a switchover say on real hosts, provoked there as it happens in life: by other programs, by clients,
 * and by hand. Clocks are only in the pure tests: every host of a lab has the clock of this machine.
 */
let lab: Lab;
let cluster: TestCluster;

/** Fails while the one file is there, and does not come to an end while the other is. */
const archiveCommand =
  "test ! -e /var/tmp/archive-fails && while test -e /var/tmp/archive-waits; do sleep 0.1; done; test ! -e /var/tmp/archive-fails";

const limits = { querySeconds: 1, senderSeconds: 3, archiveFiles: 2, transactionSeconds: 600 };

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({
    lab,
    name: "preflight",
    declaration: {
      parameters: {
        archive_mode: "on",
        archive_command: archiveCommand,
        max_prepared_transactions: 5,
        wal_level: "logical",
        // so that a consumer that stands still is not thrown out before anybody can look
        wal_sender_timeout: "10min",
        tcp_user_timeout: "10min",
      },
      limits,
    },
  });
  await cluster.declare("primary", "pg2");
});
afterAll(async () => await cluster?.close());

async function waitUntil(awaited: string, probe: () => Promise<string>, wanted = "t"): Promise<void> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const seen = await probe();
    if (seen === wanted) return;
    if (performance.now() > deadline) throw new Error(`waited 120 s for ${awaited}, seen last: ${seen}`);
  }
}

/** A program that runs on a host until it is stopped, as the user postgres. */
function startUnit(host: string, unit: string, argv: readonly string[], variables: readonly string[] = []) {
  const options = ["--uid=postgres", ...variables.map((variable) => `--setenv=${variable}`)];
  return onHost(lab, host, ["systemd-run", `--unit=${unit}`, ...options, ...argv]);
}

/** The rows of the table of checks, each with its way out, as one line without runs of blanks. */
function rows(output: string): string[] {
  const text = plain(output);
  const table = text.slice(text.indexOf("checks (limit)"));
  const found: string[] = [];
  for (const line of table.split("\n").slice(1)) {
    if (/^\s*steps \(/.test(line) || line.trim() === "") break;
    const words = line.trim().replaceAll(/\s+/g, " ");
    if (/^(ok|WARN|BLOCK) /.test(words)) found.push(words);
    else found.push(`${found.pop()} ${words}`);
  }
  return found;
}

const objections = (output: string) => rows(output).filter((row) => !row.startsWith("ok "));

/** What `up` printed of the checks that block. */
function blocked(output: string): string[] {
  const text = plain(output);
  const error = text.slice(text.lastIndexOf("Diagnostics:"));
  return rows(error.slice(error.search(/blocked by \d+ check/)).replace(/^.*\n/, "checks (limit)\n"));
}

const digest = z.object({ diagnostics: z.array(z.object({ severity: z.string(), message: z.string() })) });

/** The message with the table of checks in what `preview --json` printed. */
function diagnostic(output: string, severity: string): string {
  const said = digest
    .parse(JSON.parse(output))
    .diagnostics.filter((one) => one.severity === severity && one.message.includes("checks (limit)"));
  expect(said).toHaveLength(1);
  return said[0]?.message ?? "";
}

test("all is well: every check is shown, in lines that fit a terminal of 100 columns", async () => {
  const before = await touchable(cluster);
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(objections(preview.output)).toEqual([]);
  expect(rows(preview.output).map((row) => row.replaceAll(/[\d.]+ (B|kB|MB|GB|s)\b/g, "n $1"))).toEqual([
    "ok no other orchestrator none (none)",
    "ok failover manager none declared, none runs (as declared)",
    "ok clocks n s apart (n s apart)",
    "ok target answers pg2 is a standby (a standby)",
    expect.stringMatching(/^ok version PostgreSQL 17\.\d+ on both \(the same\)$/),
    "ok same database timeline 1 (one timeline)",
    `ok target streams from ${lab.host("pg1").addresses.replication}:5432 (from pg1)`,
    "ok target's slot pgha_pg2 active (active, WAL kept)",
    "ok replay runs (runs, no delay)",
    "ok target's lag n B, n s (n MB, n s)",
    "ok wal senders keep up pg2, pg3 (n MB behind, heard n s ago)",
    "ok base backups none (none)",
    "ok archiver works, 0 waiting (2 files waiting)",
    "ok oldest transaction none open (n s)",
    "ok prepared transactions none (none)",
    "ok running queries none longer (none over n s)",
    "ok synchronous rule 1 without pg1 (1 standby)",
    "ok hot-standby settings the same or higher (not lower)",
    "ok pending restart none (none)",
    "ok connections 0 open on pg1 (97 on pg2)",
    "ok wal senders 2 needed (10 on pg2)",
    "ok replication slots 2 needed (10 on pg2)",
    "ok slots on the target pgha_pg1, pgha_pg3 (one for each member)",
    "ok logical slots none (none lost)",
    "ok other slots none (on both)",
    "ok room for WAL pg1 n GB, pg2 n GB free (n MB)",
    expect.stringMatching(/^ok settings \d\d\d compared \(equal\)$/),
    "ok extensions 1 extension, 0 libraries (all on the host of pg2)",
  ]);
  const text = plain(preview.output).split("\n");
  const plan = text.slice(text.findIndex((line) => line.includes("checks (limit)")));
  const last = plan.findIndex((line) => line.includes("first acknowledged commit"));
  expect(last).toBeGreaterThan(0);
  expect(plan.slice(0, last + 1).filter((line) => line.length > 100)).toEqual([]);
  expect(await touchable(cluster)).toEqual(before);
});

test("--json carries the table; the databases of the primary are looked into for it, and never without a planned switchover", async () => {
  await sql(lab, "pg1", "create database app");
  const sessions = () => sql(lab, "pg1", "select sessions from pg_stat_database where datname = 'app'");
  expect(await sessions()).toBe("0");
  const json = await cluster.stack.preview("--json");
  expectExit(json, 0);
  expect(rows(diagnostic(json.output, "info"))).toHaveLength(28);
  expect(await sessions()).toBe("1");
  await cluster.declare("primary", "pg1");
  expectExit(await cluster.stack.up("--expect-no-changes"), 0);
  expect(await sessions()).toBe("1");
  await cluster.declare("primary", "pg2");
});

describe("what a fast stop waits for, cuts off or leaves behind", () => {
  test("warns: a receiver that stands still, a late archiver, a prepared transaction, a long query, pending restarts", async () => {
    const { replication } = lab.host("pg1").addresses;
    const receivewal = ["/usr/lib/postgresql/17/bin/pg_receivewal", "--host", replication, "--username=replicator"];
    await onHost(lab, "pg3", ["install", "-d", "-o", "postgres", "/var/tmp/received"]);
    await startUnit(
      "pg3",
      "receivewal",
      [...receivewal, "--directory=/var/tmp/received"],
      ["PGPASSFILE=/etc/pgha/orders/pg3/passfile"],
    );
    await waitUntil("pg_receivewal", () =>
      sql(lab, "pg1", "select count(*) = 1 from pg_stat_replication where application_name = 'pg_receivewal'"),
    );
    await onHost(lab, "pg3", ["systemctl", "kill", "--signal=SIGSTOP", "receivewal"]);
    await startUnit("pg1", "long-query", ["psql", "-c", "select 'the secret of the query', pg_sleep(600)"]);
    await startUnit("pg1", "idle-transaction", ["sh", "-c", "(echo begin\\;; sleep 600) | psql"]);
    await sql(lab, "pg1", "create table held (row int)");
    await sql(lab, "pg1", "begin; insert into held values (1); prepare transaction 'held'; commit");
    await sql(lab, "pg2", "alter system set max_connections = 50");
    await sql(lab, "pg2", "alter system set work_mem = '64MB'");
    await sql(lab, "pg2", "select pg_reload_conf()");
    await onHost(lab, "pg1", ["touch", "/var/tmp/archive-waits"]);
    for (let file = 0; file < 4; file++) {
      await sql(lab, "pg1", "insert into held values (2)");
      await sql(lab, "pg1", "select pg_switch_wal()");
    }
    await waitUntil("the receiver's silence", () =>
      sql(
        lab,
        "pg1",
        "select clock_timestamp() - reply_time > '4 s' from pg_stat_replication where application_name = 'pg_receivewal'",
      ),
    );
    await waitUntil("the long query", () =>
      sql(
        lab,
        "pg1",
        "select count(*) = 1 from pg_stat_activity where query_start < now() - interval '2 s' and query like 'select ''the%'",
      ),
    );
    await waitUntil("a pending restart", () =>
      sql(
        lab,
        "pg2",
        "select pending_restart and current_setting('work_mem') = '64MB' from pg_settings where name = 'max_connections'",
      ),
    );
    const before = await touchable(cluster);
    const json = await cluster.stack.preview("--json");
    expectExit(json, 0);
    const preview = diagnostic(json.output, "warning");
    expect(objections(preview)).toEqual([
      expect.stringMatching(
        /^WARN wal senders keep up pg_receivewal \(pid \d+\) was last heard [\d.]+ s ago \(16 MB behind, heard 3 s ago\) -> The fast stop waits for it, at most 10min \(wal_sender_timeout\)/,
      ),
      expect.stringMatching(
        /^WARN archiver is behind, [3-6] waiting \(2 files waiting\) -> pg1 comes back as a standby only/,
      ),
      expect.stringMatching(
        /^WARN prepared transactions 1, the oldest [\d.]+ s \(none\) -> They survive, and keep their locks on pg2/,
      ),
      expect.stringMatching(
        /^WARN running queries 1, the longest [\d.]+ s \(pid \d+, postgres\) \(none over 1 s\) -> Wait for their end/,
      ),
      "WARN pending restart pg2: max_connections = 50 (none) -> pg2 goes on with its old values until it is restarted.",
      expect.stringMatching(
        /^WARN settings work_mem 4MB on pg1 and 64MB on pg2 \(equal\) -> `pulumi up` without the change/,
      ),
    ]);
    expect(json.output).not.toContain("the secret of the query");
    expect(rows(preview)).toContainEqual(
      expect.stringMatching(/^ok oldest transaction [\d.]+ s \(pid \d+, postgres\) \(600 s\)$/),
    );
    expect(rows(preview)).toContainEqual("ok connections 2 open on pg1 (97 on pg2)");
    expect(await touchable(cluster)).toEqual(before);

    await scriptOnHost(lab, "pg1", "rm /var/tmp/archive-waits; systemctl stop idle-transaction");
    await sql(lab, "pg1", "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select ''the%'");
    await scriptOnHost(lab, "pg3", "systemctl kill --signal=SIGKILL receivewal; rm -r /var/tmp/received");
    await sql(lab, "pg1", "rollback prepared 'held'");
  });

  test("blocks: a failing archiver, slots that would be lost, a missing library, values that nobody could follow", async () => {
    await sql(lab, "pg2", "alter system reset all");
    await sql(lab, "pg1", "create extension hstore");
    await sql(lab, "pg1", "select pg_create_logical_replication_slot('audit', 'test_decoding')");
    await sql(lab, "pg1", "select pg_create_logical_replication_slot('cdc', 'test_decoding', failover => true)");
    await sql(lab, "pg1", "select pg_create_physical_replication_slot('barman', true)");
    await sql(lab, "pg1", "alter system set max_connections = 50");
    await sql(lab, "pg1", "select pg_reload_conf()");
    await onHost(lab, "pg2", ["mv", "/usr/lib/postgresql/17/lib/hstore.so", "/var/tmp/"]);
    await onHost(lab, "pg1", ["touch", "/var/tmp/archive-fails"]);
    await sql(lab, "pg1", "select pg_switch_wal()");
    await waitUntil("the archiver's failure", () =>
      sql(lab, "pg1", "select last_failed_time > coalesce(last_archived_time, '-infinity') from pg_stat_archiver"),
    );
    await sql(lab, "pg2", "select pg_reload_conf()");
    await waitUntil("the target's own settings", () => sql(lab, "pg2", "show work_mem"), "4MB");
    await cluster.declare("limits", { ...limits, walRoomBytes: 2 ** 50 });
    const before = await touchable(cluster);
    const expected = [
      expect.stringMatching(
        /^BLOCK archiver its last attempt failed, [1-9] waiting \(2 files waiting\) -> The stop of pg1 would wait/,
      ),
      expect.stringMatching(
        /^BLOCK hot-standby settings afterwards max_connections 50 on pg1, 100 on pg2 \(not lower\) -> It could not follow pg2/,
      ),
      expect.stringMatching(
        /^BLOCK logical slots audit is not a failover slot, cdc is not synced yet \(none lost\) -> Make them failover slots, .*declare disposableSlots: \[audit, cdc\]/,
      ),
      expect.stringMatching(/^BLOCK room for WAL pg1 [\d.]+ GB, pg2 [\d.]+ GB free \(1048576\.0 GB\) -> Make room/),
      expect.stringMatching(
        /^BLOCK extensions library \$libdir\/hstore missing on the host of pg2 \(all on the host of pg2\) -> Install the package/,
      ),
    ];
    const json = await cluster.stack.preview("--json");
    expectExit(json, 1);
    const preview = diagnostic(json.output, "error");
    expect(objections(preview)).toEqual([
      ...expected,
      expect.stringMatching(/^WARN pending restart pg1: max_connections = 50 \(none\) -> The switchover restarts pg1/),
      expect.stringMatching(/^WARN other slots barman not on pg2 \(on both\) -> Its consumer may miss WAL/),
    ]);
    expect(preview).toContain("Nothing was touched.");
    const up = await cluster.stack.up();
    expectExit(up, 1);
    expect(blocked(up.output)).toEqual(expected);
    expect(plain(up.output)).toContain("Nothing was touched.");
    expect(await touchable(cluster)).toEqual(before);
    expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);

    await onHost(lab, "pg1", ["rm", "/var/tmp/archive-fails"]);
    await onHost(lab, "pg2", ["mv", "/var/tmp/hstore.so", "/usr/lib/postgresql/17/lib/"]);
    await sql(lab, "pg1", "alter system reset all");
    await sql(lab, "pg1", "select pg_reload_conf()");
    await cluster.declare("limits", limits);
  });

  test("blocks: a library that only the primary preloads, and an archive that the next primary would not continue", async () => {
    await sql(lab, "pg1", "alter system set shared_preload_libraries = pg_stat_statements");
    await onHost(lab, "pg1", ["systemctl", "restart", "pgha-orders-pg1"]);
    await waitUntil("every standby to stream again", () =>
      sql(lab, "pg1", "select count(*) = 2 from pg_stat_replication where state = 'streaming'"),
    );
    const preloads = await cluster.stack.preview();
    expectExit(preloads, 1);
    expect(objections(preloads.output)).toContainEqual(
      expect.stringMatching(
        /^BLOCK settings pg2 does not preload pg_stat_statements \(equal\) -> Declare shared_preload_libraries/,
      ),
    );
    await sql(lab, "pg1", "alter system reset all");
    await onHost(lab, "pg1", ["systemctl", "restart", "pgha-orders-pg1"]);
    await sql(lab, "pg2", "alter system set archive_command = 'true'");
    await sql(lab, "pg2", "select pg_reload_conf()");
    await waitUntil("every standby to stream again", () =>
      sql(lab, "pg1", "select count(*) = 2 from pg_stat_replication where state = 'streaming'"),
    );
    const archives = await cluster.stack.preview();
    expectExit(archives, 1);
    expect(objections(archives.output)).toContainEqual(
      expect.stringMatching(
        /^BLOCK settings archive_command differs \(equal\) -> pg1 archives, and pg2 would not archive alike\./,
      ),
    );
    expect(archives.output).not.toContain("archive-fails");
    await sql(lab, "pg2", "alter system reset all");
    await sql(lab, "pg2", "select pg_reload_conf()");
  });
});

test("declared disposable, or copied to the target by PostgreSQL, slots no longer block, and the copy serves afterwards", async () => {
  await cluster.declare("primary", "pg1");
  await cluster.declare("disposableSlots", ["audit", "barman"]);
  const parameters = { sync_replication_slots: "on", hot_standby_feedback: "on" };
  for (const [name, value] of Object.entries(parameters)) {
    await cluster.stack.edit(["pgha:clusters", "orders", "parameters", name], value);
  }
  expectExit(await cluster.stack.up(), 0);
  // A copy is ready when the slot has moved on past what the standby still has: so its consumer must be at work.
  await waitUntil("a copy of the slot", async () => {
    await sql(lab, "pg1", "select pg_log_standby_snapshot()");
    await sql(lab, "pg1", "select count(*) from pg_logical_slot_get_changes('cdc', null, null)");
    return sql(
      lab,
      "pg2",
      "select coalesce(bool_and(synced and not temporary), false) from pg_replication_slots where slot_name = 'cdc'",
    );
  });
  await cluster.declare("primary", "pg2");
  await sql(lab, "pg1", "begin; insert into held values (0); prepare transaction 'kept'");
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(rows(preview.output)).toContainEqual("ok logical slots audit disposable, cdc synced (none lost)");
  expect(rows(preview.output)).toContainEqual("ok extensions 2 extensions, 1 library (all on the host of pg2)");
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(plain(up.output)).toMatch(
    /warning: switchover pg1 -> pg2 goes on with 1 warned\n +WARN {2}prepared transactions +1, the oldest [\d.]+ s +\(none\)\n/,
  );
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  await sql(lab, "pg2", "commit prepared 'kept'");
  await sql(lab, "pg2", "insert into held values (3)");
  const changes = await sql(lab, "pg2", "select data from pg_logical_slot_get_changes('cdc', null, null)");
  expect(changes.split("\n")).toContain('table public.held: INSERT: "row"[integer]:3');
});
