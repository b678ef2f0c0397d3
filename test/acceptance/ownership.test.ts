import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { killTree } from "../support/killTree.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran } from "../support/stack.ts";
import {
  ageLocks,
  createTestCluster,
  expectExit,
  expectSafe,
  type Observed,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;
let observed: Observed;
const names = ["pg1", "pg2", "pg3"];

/** WAL in a directory of its own, as on a volume of its own. */
const members = (...wanted: string[]) =>
  Object.fromEntries(wanted.map((name) => [name, { walDirectory: `/srv/wal/${name}` }]));
const data = "/var/lib/postgresql/17/orders-pg3";
const wal = "/srv/wal/pg3";

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "ownership", declaration: { members: members("pg1", "pg2") } });
});
afterAll(async () => {
  await lab?.heal();
  await cluster?.close();
});

/** What is said, without the engine's indentation. */
function said(ran: Ran): string {
  return plain(ran.output)
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

/** Every file of a directory with its content, as one text. */
function content(host: string, directory: string): Promise<string> {
  return scriptOnHost(lab, host, `cd ${directory} && find . -type f -exec sha256sum {} + | sort -k 2 && find . | sort`);
}

async function marker(host: string): Promise<string> {
  const { stdout } = await lab.insideHost(host, ["cat", `/var/lib/pgha/orders/${host}/marker.json`], 5);
  return stdout === "" ? "none" : (JSON.parse(stdout) as { state: string }).state;
}

function streaming(primary: string): Promise<string> {
  return sql(
    lab,
    primary,
    "select string_agg(application_name, ', ' order by application_name) from pg_stat_replication where state = 'streaming'",
  );
}

/** Begins to clone pg3, and ends all of `pulumi up` as a power failure would, with a part of the data there. */
async function cutOffClone(): Promise<void> {
  await lab.limitRate("pg3", 20);
  const running = cluster.stack.start("up", "--yes", "--skip-preview");
  const over = running.ended.then((ran) => {
    throw new Error(`pulumi up ended before the clone brought its first files: ${ran.output}`);
  });
  const look = async () => (await lab.insideHost("pg3", ["test", "-e", `${data}/PG_VERSION`], 5)).exitCode === 0;
  await Promise.race([
    waitFor("the clone to bring its first files", 240, async () => ((await look()) ? true : undefined), 10),
    over,
  ]);
  over.catch(() => undefined);
  killTree(running);
  await running.ended;
  expectExit(await cluster.stack.pulumi("cancel", "--yes"), 0);
  // Nobody listens to the clone any more: it ends at its next word, and with it what it started.
  await scriptOnHost(lab, "pg3", "while pgrep -x pg_basebackup >/dev/null; do sleep 0.05; done", 60);
  await lab.heal("pg3");
  // The dead one's hold on the cluster is respected for 30 s.
  await ageLocks(lab, names, 31);
  expect(await marker("pg3")).toBe("cloning");
}

const left = (directory: string, holds: string) =>
  `found ${directory} holds ${holds} without pgha's token, though a clone was begun there, expected an empty directory, or what that clone left; what is there is never removed. Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.`;

test("files of somebody in the directory for WAL of a new member are refused, and left", async () => {
  await cluster.declare("members", members(...names));
  await scriptOnHost(lab, "pg3", `mkdir -p ${wal}; echo mine > ${wal}/mine`);
  const preview = await cluster.stack.preview();
  expectExit(preview, 1);
  expect(said(preview)).toContain(
    `pgha:clusters.orders.members.pg3.walDirectory: found ${wal} on pg3 holds files that pgha did not make, expected a missing or empty directory; what is there is never overwritten.`,
  );
  expect(await content("pg3", wal)).toContain("./mine");
  await scriptOnHost(lab, "pg3", `rm -r ${wal}`);
});

test("after a clone was cut off, a database that somebody mounted there is refused at preview and at up, and stays as it is", async () => {
  await cutOffClone();
  await scriptOnHost(
    lab,
    "pg3",
    `install -d -o postgres -g postgres -m 0700 /srv/somebody
     runuser -u postgres -- /usr/lib/postgresql/17/bin/initdb -D /srv/somebody >/dev/null
     mount --bind /srv/somebody ${data}`,
  );
  const before = await content("pg3", "/srv/somebody");
  const fault = `pgha:clusters.orders.members.pg3.dataDirectory: ${left(data, "a database")}`;
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expect(ran.exitCode, ran.output).not.toBe(0);
    expect(said(ran)).toContain(`Nothing was touched:\n${fault}\n`);
  }
  expect(await content("pg3", "/srv/somebody")).toBe(before);
  await scriptOnHost(lab, "pg3", `umount ${data}`);
});

test("files that somebody mounted at its directory for WAL are refused likewise", async () => {
  await scriptOnHost(lab, "pg3", `mount -t tmpfs none ${wal}; echo mine > ${wal}/mine`);
  const up = await cluster.stack.up();
  expect(up.exitCode, up.output).not.toBe(0);
  expect(said(up)).toContain(`pgha:clusters.orders.members.pg3.walDirectory: ${left(wal, "files")}\n`);
  expect(await content("pg3", wal)).toContain("./mine");
  await scriptOnHost(lab, "pg3", `umount ${wal}`);
});

test("what the clone itself left is still known as ours after the host was switched off and on, and up finishes it", async () => {
  await lab.kill("pg3");
  await lab.start("pg3");
  expectExit(await cluster.stack.up(), 0);
  expect(await marker("pg3")).toBe("ready");
  expect(await streaming("pg1")).toBe("pg2, pg3");
  expect(await onHost(lab, "pg3", ["readlink", `${data}/pg_wal`])).toBe(wal);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

/** The volume under a directory of pg3 is away: what lies there is elsewhere, its mount point is empty. */
async function takeAway(directory: string): Promise<void> {
  await scriptOnHost(
    lab,
    "pg3",
    `systemctl stop pgha-orders-pg3; mv ${directory} ${directory}.away; install -d -o postgres -g postgres -m 0700 ${directory}`,
  );
}

async function bringBack(directory: string): Promise<void> {
  await scriptOnHost(lab, "pg3", `rmdir ${directory}; mv ${directory}.away ${directory}`);
  expectExit(await cluster.stack.up(), 0);
}

const wayOut = (what: string) =>
  `Mount its volume. If the data is really lost, remove ${what} there, and \`pulumi up\` clones it anew`;
const dataMissing = `pg3: data missing (a volume that is not mounted?): marked ready, but ${data} is empty. ${wayOut("/var/lib/pgha/orders/pg3/marker.json")}`;
const walMissing = `pg3: data missing (a volume that is not mounted?): marked ready, but ${wal} is empty. ${wayOut(`/var/lib/pgha/orders/pg3/marker.json and what ${data} holds`)}`;

test("a member whose volume is away does not keep the others from a new parameter, and nothing is cloned over it", async () => {
  observed = await cluster.observeWrites();
  await takeAway(data);
  await cluster.declare("parameters", { work_mem: "9MB" });
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(said(preview)).toContain(`warning: 1 of 3 members unhealthy\n${dataMissing}\n`);
  const up = await cluster.stack.up();
  expect(up.exitCode, up.output).not.toBe(0);
  expect(said(up)).toContain(dataMissing);
  expect(await Promise.all(["pg1", "pg2"].map((name) => sql(lab, name, "show work_mem")))).toEqual(["9MB", "9MB"]);
  expect(await onHost(lab, "pg3", ["ls", "-A", data])).toBe("");
});

test("nor from a switchover between them, without a lost row", async () => {
  await cluster.declare("primary", "pg2");
  const up = await cluster.stack.up();
  const verdict = await observed.finish();
  expect(said(up)).toContain("pg1 -> pg2");
  expect(said(up)).toContain(dataMissing);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 down"]);
  expectSafe(verdict);
  expect(await onHost(lab, "pg3", ["ls", "-A", data])).toBe("");
});

test("once its volume is back, up brings it back as it was", async () => {
  const before = await onHost(lab, "pg3", ["stat", "-c", "%i", `${data}.away/PG_VERSION`]);
  await bringBack(data);
  expect(await onHost(lab, "pg3", ["stat", "-c", "%i", `${data}/PG_VERSION`])).toBe(before);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
});

test("a member whose WAL is away is told with the way out, and not started on the empty place", async () => {
  await takeAway(wal);
  const up = await cluster.stack.up();
  expect(up.exitCode, up.output).not.toBe(0);
  expect(said(up)).toContain(walMissing);
  expect(await onHost(lab, "pg3", ["ls", "-A", wal])).toBe("");
  await bringBack(wal);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("destroy with onDestroy: erase is refused while a member's volume is away, and empties both directories afterwards", async () => {
  await cluster.declare("onDestroy", "erase");
  await cluster.declare("eraseConfirmation", "orders");
  expectExit(await cluster.stack.up(), 0);
  await takeAway(wal);
  const refused = await cluster.stack.destroy();
  expect(refused.exitCode, refused.output).not.toBe(0);
  expect(said(refused)).toContain(`pgha:clusters.orders.members.pg3.walDirectory: found ${wal} is empty, though`);
  expect((await cluster.roles()).slice(0, 2)).toEqual(["pg1 t 2", "pg2 f 2"]);
  await bringBack(wal);
  expectExit(await cluster.stack.destroy(), 0);
  for (const name of names) {
    const directories = [`/var/lib/postgresql/17/orders-${name}`, `/srv/wal/${name}`];
    expect(await onHost(lab, name, ["find", ...directories, "-mindepth", "1"])).toBe("");
  }
});
