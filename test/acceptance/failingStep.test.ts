import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import {
  dataDirectory,
  holdShutdown,
  holdStartup,
  switchUntil,
  waitForPrimary,
  waitInside,
} from "../support/handoverMoments.ts";
import { plain, scriptOnHost } from "../support/labStack.ts";
import {
  ageLocks,
  createTestCluster,
  expectExit,
  expectSafe,
  type Observed,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

/* Every step of the outage fails once on real hosts; test/lab/abort.test.ts has the commonest ones. */

let lab: Lab;
let cluster: TestCluster;
let observed: Observed;

beforeAll(async () => {
  lab = await openTestLab(3, { dataVolumeMegabytes: 400 });
  cluster = await createTestCluster({
    lab,
    name: "failing-step",
    declaration: { synchronous: { quorum: 1 }, walSegmentSize: "1MB", limits: { stopSeconds: 5 } },
  });
  observed = await cluster.observeWrites({ limitSeconds: 1500 });
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

const writableMembers = async () => (await cluster.roles()).filter((role) => role.includes(" f "));

/** Who is primary, and who is to be the next one. */
async function inTurn(): Promise<readonly [string, string]> {
  return (await waitForWritable()) === "pg1" ? ["pg1", "pg2"] : ["pg2", "pg1"];
}

/** The only writable member, as soon as there is one. */
async function waitForWritable(): Promise<string> {
  const role = await waitFor("a writable member", 120, async () => (await writableMembers())[0], 200);
  return role.slice(0, 3);
}

/** What an operator does next: run it again, until it has nothing left to do. */
async function expectMended(primary: string): Promise<void> {
  await waitForPrimary(cluster, primary);
  await ageLocks(lab, cluster.members, 31);
  await cluster.declare("primary", primary);
  expectExit(await cluster.stack.up(), 0);
  await waitForPrimary(cluster, primary);
}

test("a stop that hangs: given up after its limit, and the old primary comes back by a crash recovery", async () => {
  const { running } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  const undone = await running.ended;
  expectExit(undone, 1);
  expect(plain(undone.output)).toMatch(
    /switchover pg1 -> pg2 undone: the primary did not shut down within 5 s\.\n +pg1 is primary again/,
  );
  await expectMended("pg1");
});

test("a target whose server dies before the ticket: refused, and the old primary comes back", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  await scriptOnHost(lab, "pg2", `kill -KILL $(head -n 1 ${dataDirectory("pg2")}/postmaster.pid)`);
  await held.release();
  const undone = await running.ended;
  expectExit(undone, 1);
  expect(plain(undone.output)).toMatch(/switchover pg1 -> pg2 undone: .*\n +pg1 is primary again/);
  await expectMended("pg1");
});

test("a promotion that stands still: nobody else becomes writable, and it goes forward when it can", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  const startup = await holdStartup(lab, "pg2");
  await held.release();
  await waitInside(lab, "pg2", `grep -q consumed /var/lib/pgha/orders/pg2/ticket.json`);
  await waitInside(lab, "pg1", `grep -q followed /var/lib/pgha/orders/pg1/switch.json`);
  expect(await writableMembers()).toEqual([]);
  await startup.release();
  expectExit(await running.ended, 0);
  await expectMended("pg2");
});

test("a target that loses its power after the promotion comes back as primary, by the old primary's word", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdShutdown(lab, "pg2"));
  const promoted = waitInside(lab, "pg1", `[ ! -e ${dataDirectory("pg1")}/standby.signal ]`);
  await held.release();
  await promoted;
  await lab.kill("pg1");
  await running.ended;
  expect(await writableMembers()).toEqual([]);
  await lab.start("pg1");
  await expectMended("pg1");
});

test("a third member that stands still delays nobody, and `up` says that it does not follow", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  await lab.freeze("pg3");
  const began = performance.now();
  await held.release();
  await observed.writer.waitForAcknowledgement(20);
  expect((performance.now() - began) / 1000).toBeLessThan(10);
  const ran = await running.ended;
  await lab.thaw("pg3");
  expect(plain(ran.output)).toContain("pg3");
  await expectMended("pg2");
});

test("the hosts cannot speak with each other: none is writable until they can, and then one is", async () => {
  const { running, held } = await switchUntil(cluster, "pg1", holdShutdown(lab, "pg2"));
  await lab.partition("pg1", { from: ["pg2"] });
  await held.release();
  const broken = await running.ended;
  expectExit(broken, 1);
  expect(await writableMembers()).toEqual([]);
  await lab.heal();
  await expectMended("pg2");
});

test("a target whose disk is full when it is promoted goes forward as soon as there is room", async () => {
  const [from, to] = await inTurn();
  const { running, held } = await switchUntil(cluster, to, holdShutdown(lab, from));
  const ballast = "/var/lib/postgresql/ballast";
  await scriptOnHost(
    lab,
    to,
    `free=$(df --output=avail --block-size=1 /var/lib/postgresql | tail -n 1)
     fallocate -l $((free - 4194304)) ${ballast}
     dd if=/dev/zero of=${ballast}-rest bs=64k 2>/dev/null || true
     sync ${ballast}-rest`,
  );
  await held.release();
  // Either it had room for those few pages, or it stands still: never does the other one come back meanwhile.
  await Promise.race([
    running.ended,
    waitInside(lab, to, `grep -qE 'consumed|revoked' /var/lib/pgha/orders/${to}/ticket.json`),
  ]);
  await scriptOnHost(lab, to, `rm ${ballast} ${ballast}-rest`);
  await running.ended;
  await expectMended(await waitForWritable());
});

test("all hosts lose their power within the outage: exactly one is primary when it is back", async () => {
  const [from, to] = await inTurn();
  const { running } = await switchUntil(cluster, to, holdShutdown(lab, from));
  await Promise.all(cluster.members.map((member) => lab.kill(member)));
  await running.ended;
  await Promise.all(cluster.members.map((member) => lab.start(member)));
  await expectMended(await waitForWritable());
});

test("in all of it no acknowledged row was lost, and no two members were ever writable at once", async () => {
  expectSafe(await observed.finish());
});
