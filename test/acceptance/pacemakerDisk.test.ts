import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { keepLogsOnFailure } from "../support/hostLogs.ts";
import { plain, scriptOnHost } from "../support/labStack.ts";
import { names, setUpPacemakerCluster, waitUntilPromoted } from "../support/pacemaker.ts";
import {
  adoptPrimary,
  boardOrders,
  fencingOf,
  ownersIn,
  seconds,
  serversIn,
  underWrites,
  waitForBoardOrders,
  waitUntilOnline,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* A primary whose disk is full while its host lives. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(
  3,
  "disk",
  (opened) => {
    cluster = opened;
    lab = opened.lab;
  },
  { wish: { dataVolumeMegabytes: 500 } },
);

test("a primary whose disk is full is fenced once, another member is promoted, and it comes back by `up` when there is room", async (context) => {
  keepLogsOnFailure(lab, "disk");
  const before = await boardOrders(lab, "pg1");
  let promoted = "";
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await fillDisk("pg1");
    const since = Date.now();
    promoted = await waitUntilPromoted(lab, "pg2", "pg1", 240);
    await writer.waitForAcknowledgement(60);
    context.task.meta.measured = `${promoted} promoted ${seconds(Date.now() - since)} after the last page`;
  });
  expect(serversIn(verdict)).toEqual(["pg1", promoted]);
  expect(ownersIn(verdict)).toEqual(["pg1", promoted]);
  expect(await fencingOf(lab, promoted, "pg1")).toBe("success");

  // Its host is back, and its disk as full as before.
  await lab.start("pg1");
  await waitUntilOnline(lab, promoted, ["pg1", "pg2", "pg3"], 90);
  await cluster.declare("primary", promoted);
  const full = await cluster.stack.preview();
  expectExit(full, 0);
  expect(plain(full.output)).toContain("pg1: less than 64 MB free at /var/lib/postgresql");

  await scriptOnHost(lab, "pg1", `rm ${ballast} ${ballast}-rest`);
  const roomy = await cluster.stack.preview();
  expectExit(roomy, 0);
  expect(plain(roomy.output)).toMatch(
    new RegExp(
      `orders: pg1: its WAL ends within a record that begins at \\S+, where ${promoted} left timeline 1\\. What it has of that record, which was never acknowledged, will be kept aside and cut off; then it follows without a rewind`,
    ),
  );
  await adoptPrimary(cluster, promoted);
  await waitForBoardOrders(lab, "pg1", [...before, "ForceOff", "On"]);
});

const ballast = "/var/lib/postgresql/ballast";

/** Nothing is left for tables, and then for WAL: PostgreSQL cannot go on, nor recover. Returns when it has stopped. */
function fillDisk(member: string): Promise<string> {
  return scriptOnHost(
    lab,
    member,
    `free=$(df --output=avail --block-size=1 /var/lib/postgresql | tail -n 1)
     fallocate -l $((free - 4194304)) ${ballast}
     dd if=/dev/zero of=${ballast}-rest bs=64k 2>/dev/null || true
     sync ${ballast}-rest
     cd /
     message="select pg_logical_emit_message(false, 'full', repeat('x', 900000))"
     before=$(head -1 ${names.dataLink}/postmaster.pid)
     while kill -0 $before 2>/dev/null && timeout 10 runuser -u postgres -- psql --no-psqlrc -qAtc "$message" >/dev/null 2>&1; do :; done`,
    120,
  );
}
