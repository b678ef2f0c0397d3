import { test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, scriptOnHost } from "../support/labStack.ts";
import { names, setUpPacemakerCluster, waitUntilPromoted } from "../support/pacemaker.ts";
import { expectSafe, type TestCluster } from "../support/testCluster.ts";

/* Who is promoted by Pacemaker, and who is not, where it matters: the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "election", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

const unit = (member: string) => `pgha-orders-${member}.service`;

/** Its next start fails, whoever orders it; what runs goes on. */
function forbidStart(member: string): Promise<string> {
  const folder = `/run/systemd/system/${unit(member)}.d`;
  return scriptOnHost(
    lab,
    member,
    `mkdir -p ${folder}; printf '[Unit]\\nAssertPathExists=/nowhere\\n' > ${folder}/down.conf; systemctl daemon-reload`,
  );
}

async function allowStart(member: string): Promise<void> {
  await scriptOnHost(lab, member, `rm -r /run/systemd/system/${unit(member)}.d; systemctl daemon-reload`);
  await onHost(lab, member, ["crm_resource", "--cleanup", "--resource", names.resource], 60);
}

/** What the host said of elections, newest last. */
function elections(member: string): Promise<string> {
  return scriptOnHost(lab, member, "journalctl --output=cat --identifier=pgha --no-pager");
}

test("a standby is not promoted while a newer one is stopped: no acknowledged row is lost", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await forbidStart("pg3");
  // From here on every row is acknowledged by pg3 alone.
  await lab.partition("pg2", { networks: ["replication"], from: ["pg1"] });
  await observed.writer.waitForAcknowledgement(30);
  await onHost(lab, "pg3", ["systemctl", "stop", unit("pg3")], 60);
  await lab.kill("pg1");
  await lab.heal("pg2");
  try {
    const refusal = "pg2 is not promoted: pg3 has WAL up to ";
    const refused = async () => (await elections("pg2")).includes(refusal) || undefined;
    await waitFor("the host of pg2 to refuse its promotion", 60, refused, 500);
  } finally {
    await allowStart("pg3");
  }
  await observed.writer.waitForAcknowledgement(180);
  expectSafe(await observed.finish());
});

test("after the power of all hosts at once one member is primary again, with every acknowledged row", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const hosts = lab.hosts.map(({ name }) => name);
  await Promise.all(hosts.map((host) => lab.kill(host)));
  await Promise.all(hosts.map((host) => lab.start(host)));
  const since = Date.now();
  const primary = await waitUntilPromoted(lab, "pg1", "nobody", 180);
  await observed.writer.waitForAcknowledgement(120);
  console.log(`all hosts: ${primary}, ${Math.round((Date.now() - since) / 1000)} s after their boot`);
  const others = hosts.filter((host) => host !== primary);
  await waitUntilStreaming(lab, primary, others);
  expectSafe(await observed.finish());
});
