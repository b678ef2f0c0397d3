import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import { expectRoles, setUpPacemakerCluster, waitUntilPromoted, waitUntilRunning } from "../support/pacemaker.ts";
import { expectExit, expectNothingLeft, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* A primary whose host died comes back by itself (failover.autoRejoin); the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "autorejoin", async (opened) => {
  cluster = opened;
  lab = opened.lab;
  await cluster.declare("failover", { manager: "pacemaker", autoRejoin: true });
});

/** What the host said of its own return, newest last. */
function said(member: string): Promise<string> {
  return scriptOnHost(lab, member, "journalctl --output=cat --identifier=pgha --no-pager");
}

/** Its host gets power; resolves once it streams, with the seconds since the host was there. */
async function bootAndStream(member: string, primary: string): Promise<number> {
  await lab.start(member);
  const since = Date.now();
  const kernel = await waitFor(`${member} to answer`, 60, () =>
    onHost(lab, member, ["true"]).then(
      () => true,
      () => undefined,
    ),
  );
  expect(kernel).toBe(true);
  await waitUntilStreaming(lab, primary, [member]);
  return (Date.now() - since) / 1000;
}

const others = (primary: string) => lab.hosts.map(({ name }) => name).filter((name) => name !== primary);

test("a primary with rows of its own is rewound when its host is back, and they are kept aside", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await sql(lab, "pg1", "create table alone (id int)");
  await lab.partition("pg1", { networks: ["replication"] });
  await sql(lab, "pg1", "begin; set local synchronous_commit = local; insert into alone values (1); commit");
  await lab.kill("pg1");
  await lab.heal("pg1");
  const promoted = await waitUntilPromoted(lab, "pg2", "pg1", 90);
  await observed.writer.waitForAcknowledgement(60);
  const seconds = await bootAndStream("pg1", promoted);
  const report = await waitFor("what pg1 says of its return", 30, async () => (await said("pg1")) || undefined);
  console.log(`old primary streams ${seconds.toFixed(1)} s after its host is back: ${report}`);
  expect(seconds).toBeLessThan(15);
  expect(report).toMatch(
    new RegExp(
      `^pg1 was primary, was rewound to \\S+ and follows ${promoted}, \\S+ s after it began; [1-9]\\d* transactions of its own, WAL from \\S+ to \\S+ \\(timeline 1\\), are kept in /var/lib/pgha/orders/pg1/kept/timeline-1-`,
    ),
  );
  const kept = await scriptOnHost(lab, "pg1", "cat /var/lib/pgha/orders/pg1/kept/*/README");
  expect(kept).toContain("of member pg1 of cluster orders, that no other member has.");
  expectSafe(await observed.finish());
  await waitUntilStreaming(lab, promoted, others(promoted));
  await waitUntilRunning(lab, promoted, "pg1", 90);
  await expectRoles(lab, promoted);
  await expectNothingLeft(cluster);
  await cluster.declare("primary", promoted);
  expectExit(await cluster.stack.up(), 0);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("after the power of all hosts at once nobody waits long for another primary", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const hosts = lab.hosts.map(({ name }) => name);
  await Promise.all(hosts.map((host) => lab.kill(host)));
  await Promise.all(hosts.map((host) => lab.start(host)));
  const primary = await waitUntilPromoted(lab, "pg1", "nobody", 180);
  await observed.writer.waitForAcknowledgement(120);
  await waitUntilStreaming(lab, primary, others(primary));
  expectSafe(await observed.finish());
});

test("without the declaration it stays down as before, and nothing of the unit is left", async () => {
  await cluster.declare("failover", { manager: "pacemaker" });
  expectExit(await cluster.stack.up(), 0);
  for (const { name } of lab.hosts) {
    expect(await scriptOnHost(lab, name, "find /etc/systemd/system -name '*.rejoin.service'")).toBe("");
  }
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});
