import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { resetSlots } from "../../cluster/roles.ts";
import { waitFor } from "../../cluster/waitFor.ts";
import type { Lab } from "../../lab/lab.ts";
import { openDeclaredCluster } from "../support/declaredCluster.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran } from "../support/stack.ts";
import { createTestCluster, expectExit, expectSafe, openTestLab, type TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "rejoin", declaration: { parameters: { wal_level: "logical" } } });
});
afterAll(async () => await cluster?.close());

const unit = (member: string) => `pgha-orders-${member}`;
const data = (member: string) => `/var/lib/postgresql/17/orders-${member}`;
const kept = (member: string) => `/var/lib/pgha/orders/${member}/kept`;

async function promoteByHand(member: string): Promise<void> {
  expect(await sql(lab, member, "select pg_promote(true, 30)")).toBe("t");
}

/** What is said, without the engine's indentation. */
function said(ran: Ran): string {
  return plain(ran.output)
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

async function markerState(member: string): Promise<string> {
  return scriptOnHost(
    lab,
    member,
    `sed 's/.*"state":"\\([a-z]*\\)".*/\\1/' /var/lib/pgha/orders/${member}/marker.json`,
  );
}

async function isRewinding(member: string): Promise<boolean> {
  const found = await onHost(lab, member, ["pgrep", "-af", "bin/pg_rewind"]);
  return (await markerState(member)) === "rewinding" && !found.includes("--dry-run");
}

function awaited(what: string, limitSeconds: number, holds: () => Promise<boolean>): Promise<void> {
  return waitFor(what, limitSeconds, async () => ((await holds()) ? { done: undefined } : { lastSeen: "not yet" }));
}

/** Rows that only this primary gets: no standby receives them, and nobody waits for that. */
async function writeAlone(member: string, rows: number): Promise<void> {
  await lab.partition(member, { networks: ["replication"] });
  for (let row = 1; row <= rows; row++) {
    await sql(lab, member, `set synchronous_commit = local; insert into alone values (${row})`);
  }
}

/** The primary's host dies after it wrote what nobody else has, a standby is promoted by hand, and the host comes back. */
async function failOver(from: string, to: string, rows: number): Promise<void> {
  await writeAlone(from, rows);
  await lab.kill(from);
  await promoteByHand(to);
  await lab.heal();
  await lab.start(from);
  await awaited(`${from} to wait at its boot gate`, 60, async () =>
    (await onHost(lab, from, ["cat", `/run/pgha/orders-${from}/gate`])).includes(
      "another member was promoted meanwhile",
    ),
  );
}

const streamingStatement =
  "select string_agg(application_name, ' ' order by application_name) from pg_stat_replication where state = 'streaming'";

test("a former primary that has nothing of its own follows without a rewind, and its slots hold nothing back", async () => {
  await sql(lab, "pg1", "select pg_create_logical_replication_slot('reports', 'pgoutput')");
  await onHost(lab, "pg1", ["systemctl", "stop", unit("pg1")]);
  await promoteByHand("pg2");
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(said(preview)).toMatch(
    /orders: pg1: former primary whose WAL ends at \S+, all of which pg2 has: it follows without a rewind/,
  );
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toMatch(/pg1 was primary and follows pg2 without a rewind, \d+\.\d s after it began/);
  expect(said(up)).toContain("pg1: logical slots of its time as primary were dropped: reports");
  expect(await sql(lab, "pg1", "select slot_name, restart_lsn from pg_replication_slots order by 1")).toBe(
    "pgha_pg2|\npgha_pg3|",
  );
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("a member that is primary keeps its slots when somebody who was late takes it for a demoted one", async () => {
  await sql(lab, "pg2", "select pg_create_logical_replication_slot('orders_feed', 'pgoutput')");
  const slots = () => sql(lab, "pg2", "select slot_name from pg_replication_slots order by 1");
  const before = await slots();
  expect(before).toContain("orders_feed");
  const declared = openDeclaredCluster(await readFile(cluster.stack.stackFile, "utf8"), "orders");
  const told: string[] = [];
  await resetSlots(
    declared.access,
    declared.access.member("pg2"),
    { assertHeld: () => undefined },
    {
      info: (text) => told.push(text),
    },
  ).finally(() => declared.close());
  expect([await slots(), told]).toEqual([before, []]);
  await sql(lab, "pg2", "select pg_drop_replication_slot('orders_feed')");
});

test("one whose host died with transactions of its own is rewound, and these are told and kept", async () => {
  await sql(lab, "pg2", "create table alone (id int)");
  const writes = await cluster.observeWrites();
  await failOver("pg2", "pg3", 3);
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  const told =
    /orders: pg2: diverged from pg3 at (\S+) \(timeline 2\): (\d+) transactions of its own \(WAL up to (\S+)\) will be kept aside and rewound/.exec(
      said(preview),
    );
  expect(told, preview.output).not.toBeNull();
  expect(Number(told?.[2])).toBeGreaterThanOrEqual(3);
  await cluster.declare("rejoin", "manual");
  expect(said(await cluster.stack.preview())).toMatch(
    /pg2: diverged from pg3 .*; rejoin is manual\. Nothing is done to it\. Bring it back by hand, or write rejoin: auto\./,
  );
  await cluster.declare("rejoin", undefined);

  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toMatch(/pg2 was rewound to \S+ and follows pg3, \d+\.\d s after it began/);
  const [directory] = (await scriptOnHost(lab, "pg2", `ls -d ${kept("pg2")}/timeline-2-*`)).split("\n");
  expect(said(up)).toContain(directory);
  const readings = await scriptOnHost(
    lab,
    "pg2",
    `cd ${directory}; cat README; from=${told?.[1]}
     /usr/lib/postgresql/17/bin/pg_waldump --path . --timeline 2 --start $from 2>/dev/null | grep -c 'desc: INSERT' || true`,
  );
  expect(readings).toContain("WAL of member pg2 of cluster orders that no other member has: timeline 2");
  expect(Number(readings.split("\n").at(-1))).toBeGreaterThanOrEqual(3);
  expect(await cluster.roles()).toEqual(["pg1 t 3", "pg2 t 3", "pg3 f 3"]);
  expect(await sql(lab, "pg2", "select count(*) from alone")).toBe("0");
  expect(await markerState("pg2")).toBe("ready");
  expect(await sql(lab, "pg3", streamingStatement)).toBe("pg1 pg2");
  expectSafe(await writes.finish());
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("a rewind that its host's death cut off bars the start, and only a clone follows it, beside the data", async () => {
  const writes = await cluster.observeWrites();
  await failOver("pg3", "pg1", 1);
  // Slow, so that there is a middle of it.
  await lab.limitRate("pg3", 8);
  const interrupted = cluster.stack.start("up", "--yes", "--skip-preview");
  const hasEnded = () => interrupted.child.exitCode !== null;
  await awaited("the rewind to be under way", 240, async () => hasEnded() || (await isRewinding("pg3")));
  expect(hasEnded(), interrupted.output()).toBe(false);
  await lab.kill("pg3");
  expect((await interrupted.ended).exitCode).not.toBe(0);
  await lab.start("pg3");
  await awaited("pg3 to wait at its boot gate", 60, async () =>
    (await onHost(lab, "pg3", ["cat", "/run/pgha/orders-pg3/gate"])).includes("its data is not complete (rewinding)"),
  );
  await lab.heal("pg3");

  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(said(preview)).toContain("orders: pg3: its rewind broke off: it will be cloned anew, beside its old data");
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toMatch(/pg3 was cloned anew and follows pg1, \d+\.\d s after it began/);
  expect(await cluster.roles()).toEqual(["pg1 f 4", "pg2 t 4", "pg3 t 4"]);
  expect(await scriptOnHost(lab, "pg3", `ls -d ${data("pg3")}*`)).toBe(data("pg3"));
  expect(await markerState("pg3")).toBe("ready");
  expectSafe(await writes.finish());
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});
