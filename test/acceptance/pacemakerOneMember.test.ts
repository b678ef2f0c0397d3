import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { boardDevices } from "../support/fencingBoard.ts";
import { onHost, scriptOnHost, sql } from "../support/labStack.ts";
import { declarePacemakerCluster, openPacemakerLab, pacemakerStatus, waitUntilPromoted } from "../support/pacemaker.ts";
import { expectAsDeclared, serversIn, underWrites } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Clusters of one member under Pacemaker, orders on pg1 and stock on pg2: there is nobody to fail over to. */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(2);
  cluster = await declarePacemakerCluster(lab, "one-member", {
    members: ["pg1"],
    corosync: { fencing: { devices: boardDevices(lab.board, lab.hosts) } },
  });
  await cluster.declare("synchronous", "off");
  await cluster.stack.edit(["pgha:clusters", "stock"], {
    ...{ postgresVersion: 17, members: { pg2: {} }, primary: "pg2", synchronous: "off", walSegmentSize: "1MB" },
    failover: { manager: "pacemaker" },
  });
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

test("its only member is promoted, and there is nothing more to do", async () => {
  await expectAsDeclared(cluster, "pg1");
  const { resources } = await pacemakerStatus(lab, "pg1");
  expect(resources.find(({ id }) => id === "pgha-stock")).toMatchObject({ role: "Promoted", nodes: ["pg2"] });
});

test("its process dies: it is started again in place", async (context) => {
  const started = await sql(lab, "pg1", "select pg_postmaster_start_time()");
  const verdict = await underWrites(cluster, context, async () => {
    await scriptOnHost(lab, "pg1", 'kill -9 "$(systemctl show -p MainPID --value pgha-orders-pg1)"');
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(await sql(lab, "pg1", "select pg_postmaster_start_time()")).not.toBe(started);
  await onHost(lab, "pg1", ["crm_resource", "--cleanup", "--resource", "pgha-orders"], 60);
  await expectAsDeclared(cluster, "pg1");
});

test("its host loses its power, and it is primary again when that is back", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    await lab.kill("pg1");
    await waitFor("the fencing of pg1", 60, async () => {
      const { fencing } = await pacemakerStatus(lab, "pg2");
      return fencing.some(({ target, status }) => target === "pg1" && status === "success") || undefined;
    });
    await lab.start("pg1");
    expect(await waitUntilPromoted(lab, "pg2", "nobody", 120)).toBe("pg1");
  });
  expect(serversIn(verdict)).toEqual(["pg1"]);
  await expectAsDeclared(cluster, "pg1");
});
