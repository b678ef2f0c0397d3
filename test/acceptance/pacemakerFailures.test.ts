import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { dataDirectory } from "../support/handoverMoments.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import { address, names, pacemakerStatus, setUpPacemakerCluster } from "../support/pacemaker.ts";
import { expectAsDeclared, ownersIn, serversIn, underWrites } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Resources that fail on a host that lives, and what cleans them; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "failures", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

/** Waits until Pacemaker counts at least so many failures of this resource on this node. */
async function waitUntilCounted(resource: string, node: string, atLeast: number): Promise<void> {
  const counted = async () => {
    const { failCounts } = await pacemakerStatus(lab, "pg2");
    return (
      failCounts.some((one) => one.resource === resource && one.node === node && one.count >= atLeast) || undefined
    );
  };
  await waitFor(`Pacemaker to count ${atLeast} failures of ${resource} on ${node}`, 240, counted, 200);
}

async function preview(): Promise<string> {
  const ran = await cluster.stack.preview();
  expectExit(ran, 0);
  return plain(ran.output);
}

async function expectNothingFailed(): Promise<void> {
  const { failCounts, failedActions } = await pacemakerStatus(lab, "pg2");
  expect([failCounts, failedActions]).toEqual([[], []]);
}

test("a standby that cannot start is named by preview with what Pacemaker says of it, and `up` brings it back once it can", async (context) => {
  const control = `${dataDirectory("pg3")}/global/pg_control`;
  const verdict = await underWrites(cluster, context, async () => {
    await scriptOnHost(lab, "pg3", `chmod 000 ${control}; kill -9 $(head -1 ${names.dataLink}/postmaster.pid)`);
    await waitUntilCounted(names.resource, "pg3", 5);
    const said = await preview();
    expect(said).toContain(
      `${names.resource}_start_0 failed on pg3: Error occurred: Instance "${names.resource}" failed`,
    );
    expect(said).toContain(`${names.resource} may not run on pg3: it could not be started`);
    await scriptOnHost(lab, "pg3", `chmod 600 ${control}`);
    expectExit(await cluster.stack.up(), 0);
    await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  expect(verdict.writer.maxGap.milliseconds).toBeLessThan(2000);
  await expectNothingFailed();
  await expectAsDeclared(cluster, "pg1");
});

test("an address that was lost is put back on its host, preview tells of it, and once it is cleaned nothing is left of it", async (context) => {
  const started = await sql(lab, "pg1", "select pg_postmaster_start_time()");
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await onHost(lab, "pg1", ["ip", "address", "del", `${lab.virtualIp}/26`, "dev", "host0"]);
    await waitUntilCounted(address, "pg1", 1);
    await writer.waitForAcknowledgement(30);
    const said = await preview();
    expect(said).toContain(`${address} failed 1 time on pg1`);
    expect(said).not.toContain("1000000");
    await onHost(lab, "pg1", ["crm_resource", "--cleanup", "--resource", address], 60);
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  expect(await sql(lab, "pg1", "select pg_postmaster_start_time()")).toBe(started);
  await expectNothingFailed();
  await expectAsDeclared(cluster, "pg1");
});
