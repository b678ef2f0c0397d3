import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import type { SlowLink } from "../../lab/slowLink.ts";
import { killTree, plain, scriptOnHost } from "../support/labStack.ts";
import type { Ran, Running } from "../support/stack.ts";
import {
  createTestCluster,
  expectExit,
  expectSafe,
  leftBehind,
  type Observed,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

let lab: Lab;
let link: SlowLink;
let cluster: TestCluster;
let observed: Observed;

/** Every step of a handover takes so much longer that a test can hit the moment between two of them. */
const roundTripMilliseconds = 200;

const dataDirectory = (member: string) => `/var/lib/postgresql/17/orders-${member}`;
const journal = (member: string) => `/var/lib/pgha/orders/${member}/journal.json`;

/** Sessions to every host lead over a jump host that is far away. */
async function farAway(of: TestCluster, far: boolean): Promise<void> {
  const jump = { address: link.address, port: link.port, user: "root", hostKey: lab.host("pg3").hostKey };
  await of.stack.edit(["pgha:ssh", "jump"], far ? jump : undefined);
}

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "interruption" });
  link = await lab.slowLink("pg3", roundTripMilliseconds);
  await farAway(cluster, true);
  observed = await cluster.observeWrites();
});
afterAll(async () => {
  await link?.stop();
  await cluster?.close();
});

/** Returns as soon as the condition holds inside the host. */
async function waitInside(host: string, condition: string): Promise<void> {
  await scriptOnHost(lab, host, `until ${condition}; do sleep 0.005; done`, 60);
}

/** Begins a switchover and returns at this moment of it. */
async function switchUntil(to: string, host: string, condition: string): Promise<Running> {
  await cluster.declare("primary", to);
  const running = cluster.stack.start("up", "--yes", "--skip-preview");
  const over = running.ended.then((ran) => {
    throw new Error(`pulumi up ended before ${condition} on ${host}: ${ran.output}`);
  });
  await Promise.race([waitInside(host, condition), over]);
  over.catch(() => undefined);
  return running;
}

/** Ends the CLI, its language host and the provider at this moment of a switchover, as a power failure would. */
async function killAt(to: string, host: string, condition: string): Promise<void> {
  const running = await switchUntil(to, host, condition);
  killTree(running);
  await running.ended;
  expectExit(await cluster.stack.pulumi("cancel", "--yes"), 0);
}

/** So much time passes on every host's boot clock, as far as the lock is concerned; less than nothing makes it younger. */
async function ageLocks(seconds: number): Promise<void> {
  await Promise.all(
    cluster.members.map((member) =>
      scriptOnHost(
        lab,
        member,
        `cd /var/lib/pgha/orders/${member}
         renewed=$(grep -o '"renewed":[0-9.]*' lock.json | cut -d: -f2)
         sed -i 's/"renewed":[0-9.]*/"renewed":'"$(awk "BEGIN { print $renewed - ${seconds} }")"'/' lock.json`,
      ),
    ),
  );
}

/** An `up` whose moments do not matter: over the short way. */
async function upNear(): Promise<Ran> {
  await farAway(cluster, false);
  const ran = await cluster.stack.up();
  await farAway(cluster, true);
  return ran;
}

async function expectNothingLeft(): Promise<void> {
  expect(await Promise.all(cluster.members.map((member) => leftBehind(lab, member)))).toEqual(["", "", ""]);
}

test("of two `pulumi up` with two states one wins, and the other says who holds the cluster and since when", async () => {
  const other = await createTestCluster({ lab, name: "other-state" });
  await farAway(other, true);
  await Promise.all([cluster.declare("primary", "pg2"), other.declare("primary", "pg2")]);
  const both = await Promise.all([cluster.stack.up(), other.stack.up()]);
  await other.close();
  const [winner, loser] = both.sort((one, two) => one.exitCode - two.exitCode);
  expect(winner?.exitCode, winner?.output).toBe(0);
  expect(loser?.exitCode, loser?.output).toBe(1);
  expect(plain(loser?.output ?? "")).toMatch(/\S+@\S+, pid \d+ holds the cluster since \d{4}-\d\d-\d\dT[\d:.]+Z/);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  await expectNothingLeft();
  expectExit(await upNear(), 0);
});

test("killed before the stop: the hold of the dead one is respected for 30 s, then taken over, and nobody was stopped", async () => {
  await killAt("pg1", "pg1", `[ -e ${journal("pg1")} ]`);
  // However slow this machine is: the dead one renewed its hold just before the next `up` looked.
  await ageLocks(-60);
  const early = await cluster.stack.up();
  await ageLocks(60);
  expectExit(early, 1);
  expect(plain(early.output)).toMatch(/pid \d+ holds the cluster since .*: the switchover pg2 -> pg1 may still run\./);
  let next = await upNear();
  for (let round = 0; next.exitCode !== 0 && round < 5; round++) next = await upNear();
  expectExit(next, 0);
  expect(plain(next.output)).toContain("the unfinished switchover pg2 -> pg1 had stopped nobody: undone");
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  await expectNothingLeft();
});

test("killed between the stop and the promotion: the old primary comes back", async () => {
  await killAt("pg1", "pg2", `[ -e ${dataDirectory("pg2")}/standby.signal ]`);
  expect((await cluster.roles()).filter((role) => role.includes(" f "))).toEqual([]);
  await ageLocks(31);
  const next = await upNear();
  expectExit(next, 0);
  expect(plain(next.output)).toContain("the unfinished switchover pg2 -> pg1 was undone: pg2 is primary again");
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  await expectNothingLeft();
});

test("killed after the promotion: the next `up` lets the old primary follow", async () => {
  await killAt("pg1", "pg1", `[ ! -e ${dataDirectory("pg1")}/standby.signal ]`);
  expect((await cluster.roles())[1]).toBe("pg2 down");
  await ageLocks(31);
  const next = await upNear();
  expectExit(next, 0);
  expect(plain(next.output)).toContain("the unfinished switchover pg2 -> pg1 was finished");
  expect(await cluster.roles()).toEqual(["pg1 f 3", "pg2 t 3", "pg3 t 3"]);
  await expectNothingLeft();
});

test("the CLI alone killed: the provider goes to a safe point by itself", async () => {
  const running = await switchUntil("pg2", "pg2", `[ -e ${journal("pg2")} ]`);
  running.child.kill("SIGKILL");
  await waitInside("pg1", `[ ! -e ${journal("pg1")} ] && grep -q '"holder":""' /var/lib/pgha/orders/pg1/lock.json`);
  await expectNothingLeft();
  expectExit(await cluster.stack.pulumi("cancel", "--yes"), 0);
  expectExit(await upNear(), 0);
  expect((await cluster.roles())[1]).toMatch(/^pg2 f [34]$/);
});

test("interrupted once before the outage: it stops there, and the next `up` switches", async () => {
  const running = await switchUntil("pg1", "pg1", `[ -e ${journal("pg1")} ]`);
  running.child.kill("SIGINT");
  const interrupted = await running.ended;
  expect(interrupted.exitCode, interrupted.output).not.toBe(0);
  expect(plain(interrupted.output)).toContain("interrupted before the primary was stopped");
  expect((await cluster.roles())[1]).toMatch(/^pg2 f /);
  await expectNothingLeft();
  expectExit(await upNear(), 0);
  expect((await cluster.roles())[0]).toMatch(/^pg1 f /);
});

test("a target that stands still after the stop: the old primary is writable again within seconds", async () => {
  const running = await switchUntil("pg2", "pg1", `[ -e ${dataDirectory("pg1")}/standby.signal ]`);
  await lab.freeze("pg2");
  const began = performance.now();
  await observed.writer.waitForAcknowledgement(60);
  const seconds = (performance.now() - began) / 1000;
  const undone = await running.ended;
  await lab.thaw("pg2");
  expectExit(undone, 1);
  expect(plain(undone.output)).toMatch(
    /switchover pg1 -> pg2 undone: the target .*\n +pg1 is primary again \(writable \d+\.\d\d s after the decision\)/,
  );
  expect(seconds).toBeLessThan(20);
  // What could not be put back on the target while it stood still is put back now.
  const next = await upNear();
  expectExit(next, 0);
  expect(plain(next.output)).toContain("the unfinished switchover pg1 -> pg2 had stopped nobody: undone");
  expect((await cluster.roles()).map((role) => role.slice(0, 5))).toEqual(["pg1 f", "pg2 t", "pg3 t"]);
  await expectNothingLeft();
});

test("in all of it no acknowledged row was lost, and no two members were ever writable at once", async () => {
  const verdict = await observed.finish();
  expectSafe(verdict);
});
