import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran } from "../support/stack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster, touchable } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "declared" });
});
afterAll(async () => await cluster?.close());

const unit = (member: string) => `pgha-orders-${member}`;

async function promoteByHand(member: string): Promise<void> {
  expect(await sql(lab, member, "select pg_promote(true, 30)")).toBe("t");
}

async function waitUntilStreaming(primary: string, standbys: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  const counting = "select count(*) from pg_stat_replication where state = 'streaming'";
  while ((await sql(lab, primary, counting)) !== String(standbys)) {
    if (performance.now() > deadline) throw new Error(`waited 60 s for ${standbys} standbys to stream from ${primary}`);
  }
}

/** The resource itself, not the stack's outputs, shows a change of its primary. */
function showsChangeOfPrimary(ran: Ran): boolean {
  return /~ primary: "/.test(plain(ran.output));
}

/** What is said, without the engine's indentation. */
function said(ran: Ran): string {
  return plain(ran.output)
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

test("a failover is drift: adopted with a warning, nothing is switched, and the output names the observed primary", async () => {
  await onHost(lab, "pg1", ["systemctl", "stop", unit("pg1")]);
  await promoteByHand("pg2");
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(said(preview)).toContain(
    `a failover happened: pg2 is primary, the stack file says pg1
Adopted: nothing is switched (onDrift: adopt). Everything else goes on with pg2.
To keep pg2: primary: pg2 (acknowledged, no host is touched).
To go back: first \`pulumi up\` with primary: pg2, then with primary: pg1, a planned switchover.`,
  );
  expect(showsChangeOfPrimary(preview), preview.output).toBe(false);
  expect(await cluster.roles()).toEqual(["pg1 down", "pg2 f 2", "pg3 t 2"]);
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("a failover happened: pg2 is primary, the stack file says pg1");
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  expect((await cluster.stack.outputs()).orders?.primary).toBe("pg2");
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("onDrift: fail stops, and says how to acknowledge", async () => {
  const before = await touchable(cluster);
  await cluster.declare("onDrift", "fail");
  const up = await cluster.stack.up();
  expectExit(up, 1);
  expect(said(up)).toContain(
    `orders: a failover happened: pg2 is primary, the stack file says pg1.
Nothing was touched.
It stops here because of onDrift: fail.
To keep pg2: primary: pg2 (acknowledged, no host is touched).
To go back: first \`pulumi up\` with primary: pg2, then with primary: pg1, a planned switchover.
To carry on with a warning: onDrift: adopt.
pg1: standby, timeline 2, streaming from`,
  );
  expect(await touchable(cluster)).toEqual(before);
  await cluster.declare("onDrift", "adopt");
});

test("declaring a third member while a failover went elsewhere stops in preview and up, with the choice spelled out", async () => {
  const before = await touchable(cluster);
  await cluster.declare("primary", "pg3");
  for (const stopped of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(stopped, 1);
    expect(said(stopped)).toContain(
      `orders: primary: changed from pg1 to pg3, but meanwhile pg2 became primary.
Nothing was touched.
To keep pg2: primary: pg2. Also when an old stack file was merged by mistake.
To switch to pg3 after all: first \`pulumi up\` with primary: pg2, then with primary: pg3.`,
    );
  }
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
});

test("declaring the observed primary acknowledges it: shown as a change, and no host is touched", async () => {
  const before = await touchable(cluster);
  await cluster.declare("primary", "pg2");
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(plain(preview.output)).toContain('~ primary: "pg1" => "pg2"');
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("acknowledged: pg2 is already primary (recorded was pg1); nothing is switched");
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
});

test("a state that was lost is recorded anew: nothing is switched, cloned, initialised, and passwords stay", async () => {
  const password = (await cluster.stack.outputs()).orders?.superuserPassword ?? "";
  expect(await loginFrom("pg3", "pg2", password)).toBe("postgres");
  const before = await touchable(cluster);
  expectExit(await cluster.stack.pulumi("stack", "rm", "--force", "--preserve-config", "--yes"), 0);
  expectExit(await cluster.stack.pulumi("stack", "init"), 0);
  await cluster.declare("primary", "pg1");
  const up = await cluster.stack.up();
  expectExit(up, 0);
  expect(said(up)).toContain("orders: recorded: pg2 is primary, the stack file says pg1");
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  expect(await loginFrom("pg3", "pg2", password)).toBe("postgres");
  expect((await cluster.stack.outputs()).orders?.primary).toBe("pg2");
  await cluster.declare("primary", "pg2");
  expectExit(await cluster.stack.up(), 0);
});

test("taking the living primary out of the members stops in preview and up, and says from whom the others stream", async () => {
  const before = await touchable(cluster);
  await cluster.declare("members", { pg1: {}, pg3: {} });
  await cluster.declare("primary", "pg1");
  const source = `${lab.host("pg2").addresses.replication}:5432`;
  for (const stopped of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(stopped, 1);
    expect(said(stopped)).toContain(
      `orders: no declared member is writable: pg1 and pg3 stream from ${source}, which is no declared member.
Nothing was touched.
Promote nobody while it runs: two would be writable.
If it is the primary: declare it under members: and primary: again, and switch over before you take it out.
If it is to go at once: stop it for good on its host, then \`select pg_promote()\` in psql on one of these, then \`pulumi up\`.
pg1: standby, timeline 2, streaming from ${source}
pg3: standby, timeline 2, streaming from ${source}`,
    );
  }
  expect(await touchable(cluster)).toEqual(before);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  await cluster.declare("members", { pg1: {}, pg2: {}, pg3: {} });
  await cluster.declare("primary", "pg2");
  expectExit(await cluster.stack.up(), 0);
  expect(await cluster.roles()).toEqual(["pg1 t 2", "pg2 f 2", "pg3 t 2"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("one host that cannot be reached is a warning in preview and up, as long as nothing must be written there", async () => {
  await lab.partition("pg3");
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toMatch(/1 of 3 members unreachable; nothing is changed there\npg3: .+/);
    expect(said(ran)).toContain("unchanged");
  }
});

test("with two of three gone nobody can be named primary: nothing is done, and a switchover is refused", async () => {
  await lab.partition("pg1");
  const preview = await cluster.stack.preview();
  expectExit(preview, 0);
  expect(said(preview)).toMatch(
    /who is primary cannot be told; nothing is changed that depends on it\npg2 is writable, but only 1 of 3 members confirm it \(.*\)\.\nBring the members back/,
  );
  await cluster.declare("primary", "pg1");
  const up = await cluster.stack.up();
  expectExit(up, 1);
  expect(said(up)).toMatch(
    /orders: who is primary cannot be told: pg2 is writable, but only 1 of 3 members confirm it/,
  );
  expect(said(up)).toContain(
    "Nothing was touched.\nBring the members back, then run `pulumi up` again.\nOne that is dead for good: take it out of members:",
  );
  expect(await sql(lab, "pg2", "select pg_is_in_recovery()")).toBe("f");
  await cluster.declare("primary", "pg2");
  await lab.heal();
});

test("two writable members stop everything, with the exact state of every member", async () => {
  await waitUntilStreaming("pg2", 2);
  await promoteByHand("pg1");
  const stopped = await cluster.stack.up();
  expectExit(stopped, 1);
  const address = lab.host("pg2").addresses.replication;
  expect(said(stopped)).toContain(
    `orders: more than one member is writable: pg1, pg2.
Nothing was touched.
Each may have taken writes that the other does not have. Nobody but you can tell whose are to stay.
To keep pg1: stop pg2 (systemctl stop pgha-orders-pg2.service), then \`pulumi up\`.
To keep pg2: stop pg1 (systemctl stop pgha-orders-pg1.service), then \`pulumi up\`.
pg1: primary, writable, timeline 3
pg2: primary, writable, timeline 2
pg3: standby, timeline 2, streaming from ${address}:5432`,
  );
});

test("no writable member is a report too, and nobody is promoted", async () => {
  for (const member of cluster.members) {
    await scriptOnHost(
      lab,
      member,
      `install -o postgres -g postgres /dev/null /var/lib/postgresql/17/orders-${member}/standby.signal; systemctl stop ${unit(member)}`,
    );
  }
  const stopped = await cluster.stack.up();
  expectExit(stopped, 1);
  expect(said(stopped)).toContain(
    `orders: no member is writable, and none is surely the primary.
Nothing was touched.
\`pulumi up\` never promotes: it cannot know which writes you can do without.
Choose the member with the newest data (the highest timeline below). On its host: \`systemctl start pgha-orders-MEMBER.service\`,
then \`select pg_promote()\` in psql if it is a standby. Then run \`pulumi up\` again.
pg1: not running (unit inactive, shut down, timeline 3)
pg2: not running (unit inactive, shut down, timeline 2)
pg3: not running (unit inactive, shut down in recovery, timeline 2)`,
  );
  expect(await cluster.roles()).toEqual(["pg1 down", "pg2 down", "pg3 down"]);
});

/** Who a client with this password is; the password is read from a file. */
async function loginFrom(host: string, server: string, password: string): Promise<string> {
  const { exitCode, stdout, stderr } = await lab.insideHost(
    host,
    [
      ...["sh", "-euc"],
      `read -r password; PGPASSWORD=$password psql -XAt -h "$1" -U postgres -d postgres -c 'select current_user'`,
      ...["sh", lab.host(server).address],
    ],
    20,
    `${password}\n`,
  );
  return exitCode === 0 ? stdout.trim() : stderr;
}
