import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost, plain, scriptOnHost } from "../support/labStack.ts";
import { names, pacemakerStatus, setUpPacemakerCluster } from "../support/pacemaker.ts";
import { expectAsDeclared, serversIn, underWrites } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* What an operator ordered by hand, and `pulumi up` respects; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "orders", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

async function isRunning(node: string): Promise<boolean> {
  const { resources } = await pacemakerStatus(lab, "pg1");
  return resources.some(({ clone, nodes }) => clone === names.clone && nodes.includes(node));
}

async function waitUntilStopped(node: string): Promise<void> {
  await waitFor(`Pacemaker to stop ${node}`, 60, async () => !(await isRunning(node)) || undefined);
}

async function unitOf(host: string): Promise<string> {
  return (await scriptOnHost(lab, host, "systemctl is-active pgha-orders-pg3 || true")).trim();
}

async function isMaintained(): Promise<boolean> {
  const { resources } = await pacemakerStatus(lab, "pg1");
  return resources.some(({ clone, maintenance }) => clone === names.clone && maintenance);
}

async function expectLeftAlone(said: string): Promise<void> {
  for (const run of [() => cluster.stack.preview(), () => cluster.stack.up()]) {
    const ran = await run();
    expectExit(ran, 0);
    expect(plain(ran.output)).toContain(said);
    expect(plain(ran.output)).not.toContain("it follows pg1 again");
    expect(await unitOf("pg3")).toBe("inactive");
  }
}

test("a host in standby keeps its member stopped through `up`, Pacemaker goes on managing, and the end of it brings it back", async () => {
  await scriptOnHost(lab, "pg1", "crm_standby -N pg3 -v on");
  await waitUntilStopped("pg3");
  await expectLeftAlone("pg3: its host is in standby: Pacemaker runs nothing there");
  expect(await isMaintained()).toBe(false);
  await scriptOnHost(lab, "pg1", "crm_standby -N pg3 -D");
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  await expectAsDeclared(cluster, "pg1");
});

test("a ban is no failure of `up`, which takes it away as what differs, and Pacemaker starts the member again", async () => {
  await scriptOnHost(lab, "pg1", `crm_resource --ban --resource ${names.clone} --node pg3`);
  await waitUntilStopped("pg3");
  const ran = await cluster.stack.up();
  expectExit(ran, 0);
  expect(plain(ran.output)).toContain("pg3: Pacemaker may not run it on pg3 (constraint cli-ban-");
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  await expectAsDeclared(cluster, "pg1");
});

test("a member that runs on a host in standby is stopped at the end of an `up` that was cut off, and the others have failover again", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    await scriptOnHost(
      lab,
      "pg1",
      `crm_attribute --type nodes --node pg1 --name pgha-orders-stands-back --update 0
       for resource in ${names.clone} pgha-orders-addresses; do
         crm_resource --resource $resource --meta --set-parameter maintenance --parameter-value true
       done
       crm_standby -N pg3 -v on`,
    );
    expect(await unitOf("pg3")).toBe("active");
    expectExit(await cluster.stack.up(), 0);
    await waitUntilStopped("pg3");
    expect(await isMaintained()).toBe(false);
    await scriptOnHost(lab, "pg1", "crm_standby -N pg3 -D");
    await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  await expectAsDeclared(cluster, "pg1");
});

test("an operator's maintenance and what he stopped under it stay, until he leaves its end to `up`", async () => {
  const set = ["--resource", names.clone, "--meta", "--set-parameter", "maintenance", "--parameter-value", "true"];
  await onHost(lab, "pg1", ["crm_resource", ...set]);
  await onHost(lab, "pg3", ["systemctl", "stop", "pgha-orders-pg3"], 60);
  await expectLeftAlone("is in maintenance or unmanaged by somebody's hand");
  expect(await isMaintained()).toBe(true);
  const mark = ["--type", "nodes", "--node", "pg1", "--name", "pgha-orders-stands-back", "--update", "0"];
  await onHost(lab, "pg1", ["crm_attribute", ...mark]);
  expectExit(await cluster.stack.up(), 0);
  expect(await isMaintained()).toBe(false);
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  await expectAsDeclared(cluster, "pg1");
});
