import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { scriptOnHost, sql } from "../support/labStack.ts";
import {
  names,
  pacemakerStatus,
  setUpPacemakerCluster,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import { expectAsDeclared, ownersIn, serversIn, underWrites } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* A crashed primary with much WAL to read again. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "recovery", async (opened) => {
  cluster = opened;
  lab = opened.lab;
  await cluster.declare("parameters", { max_wal_size: "4GB", checkpoint_timeout: "1h" });
});

test("a primary that would recover for longer than a failover takes is fenced, and a standby is promoted", async (context) => {
  await sql(
    lab,
    "pg1",
    "select count(pg_logical_emit_message(false, 'test', repeat('x', 1000000))) from generate_series(1, 500)",
  );
  let promoted = "";
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await scriptOnHost(lab, "pg1", `kill -9 $(head -1 ${names.dataLink}/postmaster.pid)`);
    promoted = await waitUntilPromoted(lab, "pg2", "pg1", 90);
    await writer.waitForAcknowledgement(60);
  });
  expect(serversIn(verdict)).toEqual(["pg1", promoted]);
  expect(ownersIn(verdict)).toEqual(["pg1", promoted]);
  const { fencing } = await pacemakerStatus(lab, promoted);
  expect(fencing.find(({ target }) => target === "pg1")?.status).toBe("success");
  await waitUntilRunning(lab, promoted, "pg1", 120);
  await cluster.declare("primary", promoted);
  expectExit(await cluster.stack.up(), 0);
  await waitUntilStreaming(lab, promoted, ["pg1", promoted === "pg2" ? "pg3" : "pg2"]);
  await expectAsDeclared(cluster, promoted);
});
