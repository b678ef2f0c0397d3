import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { scriptOnHost } from "../support/labStack.ts";
import { names, setUpPacemakerCluster } from "../support/pacemaker.ts";
import { expectAsDeclared, ownersIn, seconds, serversIn, underWrites } from "../support/pacemakerProof.ts";
import type { TestCluster } from "../support/testCluster.ts";

/* A primary whose process or disk fails while its host lives; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(
  3,
  "process",
  (opened) => {
    cluster = opened;
    lab = opened.lab;
  },
  { wish: { dataVolumeMegabytes: 500 } },
);

/** The process that lets clients in. */
function postmaster(member: string): Promise<string> {
  return scriptOnHost(lab, member, `head -1 ${names.dataLink}/postmaster.pid`);
}

test("a primary whose postmaster stands still, while its clients go on writing, is started again in place within seconds", async (context) => {
  const before = await postmaster("pg1");
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    const since = Date.now();
    await scriptOnHost(lab, "pg1", `kill -STOP ${before}`);
    const another = async () => (await postmaster("pg1").catch(() => before)) !== before || undefined;
    await waitFor("another postmaster on pg1", 60, another, 100);
    await writer.waitForAcknowledgement(30);
    context.task.meta.measured = `new clients are let in after ${seconds(Date.now() - since)}`;
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  await expectAsDeclared(cluster, "pg1");
});

test("a standby whose postmaster stands still is started again in place, and nobody waits for it", async (context) => {
  const before = await postmaster("pg2");
  const verdict = await underWrites(cluster, context, async () => {
    await scriptOnHost(lab, "pg2", `kill -STOP ${before}`);
    const another = async () => (await postmaster("pg2").catch(() => before)) !== before || undefined;
    await waitFor("another postmaster on pg2", 60, another, 100);
    await waitUntilStreaming(lab, "pg1", ["pg2", "pg3"]);
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  await expectAsDeclared(cluster, "pg1");
});
