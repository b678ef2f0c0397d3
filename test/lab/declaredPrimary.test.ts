import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { promoteByHand, said, showsChangeOfPrimary, stopByHand, unit, waitUntilStreaming } from "../support/byHand.ts";
import { plain, scriptOnHost, sql } from "../support/labStack.ts";
import type { Ran } from "../support/stack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster, touchable } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "declared" });
});
afterAll(async () => await cluster?.close());

test("a failover is drift: adopted with a warning, nothing is switched, and the output names the observed primary", async () => {
  await stopByHand(lab, "pg1");
  await promoteByHand(lab, "pg2");
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

test("an old stack file, merged by mistake after that, is shown as the switchover that it asks for, with the doubt", async () => {
  const before = await touchable(cluster);
  await cluster.declare("primary", "pg1");
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(plain(preview.output)).toContain('~ primary: "pg2" => "pg1"');
  expect(said(preview)).toContain(`warning: orders: planned switchover pg2 -> pg1: the line primary: was changed
primary: named pg1 before, until primary: pg2 acknowledged what was found. Is this an old stack file, merged by mistake?
To keep pg2: primary: pg2.`);
  expect(await touchable(cluster)).toEqual(before);
  await cluster.declare("primary", "pg2");
});

test("a state that was lost is recorded anew: nothing is switched, cloned, initialised, and passwords stay", async () => {
  const password = (await cluster.stack.outputs()).orders?.superuserPassword ?? "";
  expect(await loginFrom("pg3", "pg2", password)).toBe("postgres");
  const before = await touchable(cluster);
  await loseState();
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

test("a cluster is imported by its name: the first up afterwards records, and touches nobody", async () => {
  const before = await touchable(cluster);
  await loseState();
  await cluster.declare("primary", "pg1");
  const misspelt = await importCluster("ordres");
  expectExit(misspelt, 1);
  expect(said(misspelt)).toContain(
    "ordres: found no member of it on the hosts of pgha:hosts, expected /var/lib/pgha/ordres/MEMBER/marker.json on one of them. The ID is the cluster's name.",
  );
  await loseState();
  expectExit(await importCluster("orders"), 0);
  const preview = await cluster.stack.preview("--diff");
  const up = await cluster.stack.up();
  for (const ran of [preview, up]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(`orders: recorded: pg2 is primary, the stack file says pg1
This state knew nothing of the cluster. What is there is taken over as it is: nothing is switched.`);
  }
  expect(showsChangeOfPrimary(preview), preview.output).toBe(false);
  expect(await touchable(cluster)).toEqual(before);
  expect((await cluster.stack.outputs()).orders?.primary).toBe("pg2");
  const drift = await cluster.stack.preview();
  expect(said(drift)).toContain("a failover happened: pg2 is primary, the stack file says pg1");
  await cluster.declare("primary", "pg2");
  expectExit(await cluster.stack.up(), 0);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
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
If it is to go at once: stop it for good on its host, then \`select pg_promote()\` in psql (\`su postgres -c psql\`) on one of these, then \`pulumi up\`.
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
    /who is primary cannot be told; nothing is changed that depends on it\npg2 is writable, but only 1 of 3 members confirm it \(pg1 and pg3 cannot be reached\)\.\nBring the members back/,
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

/** It stops with this text whatever onDrift says, in preview and in up. */
async function expectStop(text: string): Promise<void> {
  for (const policy of ["fail", "switchBack"]) {
    await cluster.declare("onDrift", policy);
    const preview = await cluster.stack.preview();
    expectExit(preview, 1);
    expect(said(preview)).toContain(text);
  }
  await cluster.declare("onDrift", "adopt");
  const up = await cluster.stack.up();
  expectExit(up, 1);
  expect(said(up)).toContain(text);
}

test("two writable members stop everything under every onDrift, with the exact state of every member", async () => {
  await waitUntilStreaming(lab, "pg2", ["pg1", "pg3"]);
  await promoteByHand(lab, "pg1");
  const before = await touchable(cluster);
  await expectStop(
    `orders: more than one member is writable: pg1, pg2.
Nothing was touched.
Each may have taken writes that the other does not have. Nobody but you can tell whose are to stay.
To keep pg1: stop pg2 (systemctl stop pgha-orders-pg2.service), then \`pulumi up\`.
To keep pg2: stop pg1 (systemctl stop pgha-orders-pg1.service), take pg1 out of members: (its timeline is higher), then \`pulumi up\`.
pg1: primary, writable, timeline 3
pg2: primary, writable, timeline 2
pg3: standby, timeline 2, streaming from ${lab.host("pg2").addresses.replication}:5432`,
  );
  expect(await touchable(cluster)).toEqual(before);
});

test("one member on a higher timeline than the only writable one: nobody is named, both ways out are told, and the way out works", async () => {
  await stopByHand(lab, "pg1");
  const before = await touchable(cluster);
  for (const ran of [await cluster.stack.preview(), await cluster.stack.up()]) {
    expectExit(ran, 0);
    expect(said(ran)).toContain(`who is primary cannot be told; nothing is changed that depends on it
pg2 is writable on timeline 2, but pg1 has timeline 3: pg2 is a former primary.
If the others are right: stop pg2 (systemctl stop pgha-orders-pg2.service), promote one of them if none is writable, then \`pulumi up\`.
If pg2 is right: take those that are ahead of it out of members:, stop them, then \`pulumi up\`.`);
  }
  expect(await touchable(cluster)).toEqual(before);
  await cluster.declare("members", { pg2: {}, pg3: {} });
  expectExit(await cluster.stack.up(), 0);
  expect(await cluster.roles()).toEqual(["pg1 down", "pg2 f 2", "pg3 t 2"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("no writable member is a report under every onDrift, and nobody is promoted", async () => {
  for (const member of ["pg2", "pg3"]) {
    await scriptOnHost(
      lab,
      member,
      `install -o postgres -g postgres /dev/null /var/lib/postgresql/17/orders-${member}/standby.signal; systemctl stop ${unit(member)}`,
    );
  }
  await expectStop(
    `orders: no member is writable, and none is surely the primary.
Nothing was touched.
\`pulumi up\` never promotes: it cannot know which writes you can do without.
Choose the member with the newest data (the highest timeline below, and of those the furthest WAL). On its host: \`systemctl start pgha-orders-MEMBER.service\`,
then \`select pg_promote()\` in psql (\`su postgres -c psql\`) if it is a standby. Then run \`pulumi up\` again.
pg2: not running (unit inactive, shut down, timeline 2)
pg3: not running (unit inactive, shut down in recovery, timeline 2)`,
  );
  expect(await cluster.roles()).toEqual(["pg1 down", "pg2 down", "pg3 down"]);
});

async function loseState(): Promise<void> {
  expectExit(await cluster.stack.pulumi("stack", "rm", "--force", "--preserve-config", "--yes"), 0);
  expectExit(await cluster.stack.pulumi("stack", "init"), 0);
}

/** `pulumi import` as docs/operations/drift.md has it. */
async function importCluster(id: string): Promise<Ran> {
  const file = join(dirname(cluster.stack.stackFile), "import.json");
  const resources = [
    { type: "pgha:index:PostgresCluster", name: "cluster", logicalName: "orders", component: true },
    { type: "pgha:index:ReplicationGroup", name: "orders", id, parent: "cluster" },
  ];
  await writeFile(file, JSON.stringify({ resources }));
  return cluster.stack.pulumi(
    ...["import", "--file", file, "--yes", "--skip-preview", "--generate-code=false", "--protect=false"],
  );
}

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
