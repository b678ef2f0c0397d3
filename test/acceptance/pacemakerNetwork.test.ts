import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { onHost, plain } from "../support/labStack.ts";
import { setUpPacemakerCluster, waitUntilPromoted, waitUntilRunning } from "../support/pacemaker.ts";
import {
  adoptPrimary,
  boardOrders,
  comeBack,
  expectAsDeclared,
  fencingOf,
  ownersIn,
  promotedMember,
  serversIn,
  underWrites,
  waitUntilOnline,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* What networks do to three hosts under Pacemaker, with two rings and fencing; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
const hosts = ["pg1", "pg2", "pg3"];

setUpPacemakerCluster(
  3,
  "network",
  (opened) => {
    cluster = opened;
    lab = opened.lab;
  },
  { corosync: { rings: ["cluster", "replication"] } },
);

/** How long a failure lasts, so that everything which would come of it has come. */
const lasting = 60_000;

const othersOf = (member: string) => hosts.filter((name) => name !== member);

test("a primary that is cut off on one ring of two stays where it is, preview says which ring is broken, and no switchover begins", async (context) => {
  const before = await boardOrders(lab, "pg1");
  const verdict = await underWrites(cluster, context, async () => {
    await lab.partition("pg1", { networks: ["cluster"] });
    await pause(lasting);
    const preview = await cluster.stack.preview();
    await cluster.declare("primary", "pg2");
    const refused = await cluster.stack.up();
    await cluster.declare("primary", "pg1");
    await lab.heal();
    expectExit(preview, 0);
    expectExit(refused, 1);
    expect(plain(refused.output)).toMatch(
      /BLOCK\s+failover manager.*ring 0: pg1 \(.*\) and pg2 \(.*\) do not hear each other/,
    );
    const broken = (other: string) =>
      `ring 0: pg1 (${lab.host("pg1").addresses.cluster}) and ${other} (${lab.host(other).addresses.cluster}) do not hear each other`;
    expect(plain(preview.output)).toContain(broken("pg2"));
    expect(plain(preview.output)).toContain(broken("pg3"));
    expect(await promotedMember(lab, "pg2")).toBe("pg1");
  });
  expect(await boardOrders(lab, "pg1")).toEqual(before);
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  await waitFor("every ring to be whole again", 60, async () => {
    const status = await onHost(lab, "pg1", ["corosync-cfgtool", "-s"]);
    return !status.includes("disconnected") || undefined;
  });
  await expectAsDeclared(cluster, "pg1");
});

test("a standby that is cut off is fenced, the primary stays, and nobody waits", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    await lab.partition("pg3");
    const fenced = async () => (await fencingOf(lab, "pg1", "pg3")) === "success" || undefined;
    await waitFor("pg3 to be fenced", 60, fenced, 300);
    await pause(lasting);
    await lab.heal();
  });
  expect(await boardOrders(lab, "pg3")).toEqual(["ForceOff", "On"]);
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  await lab.start("pg3");
  await waitUntilRunning(lab, "pg1", "pg3", 120);
  await expectAsDeclared(cluster, "pg1");
});

test("a primary that is cut off from everybody for a minute is switched off before another member is promoted", async (context) => {
  await failsOver(context, (from) => lab.partition(from));
});

test("a primary that hears, and is not heard: one is writable, the one that the others hear", async (context) => {
  await failsOver(context, (from) => lab.lose(from, 100, "from"));
});

test("a primary of whose frames every third is lost, both ways: whatever comes of it, no row is lost, and one is writable", async (context) => {
  const from = await promotedMember(lab, "pg1");
  await underWrites(cluster, context, async () => {
    await lab.lose(from, 30, "both");
    await pause(lasting);
    await lab.heal();
    await waitUntilOnline(lab, "pg1", hosts, 120).catch(() => waitUntilOnline(lab, "pg2", hosts, 30));
  });
  const now = await promotedMember(lab, "pg2");
  context.task.meta.measured += now === from ? "; it stayed primary" : "; another was promoted";
  for (const other of hosts.filter((name) => name !== now)) {
    await lab.start(other);
    await waitUntilRunning(lab, now, other, 120);
  }
  await adoptPrimary(cluster, now);
});

/** The primary's network fails for a minute: it is fenced, another one is promoted, and it comes back by `up`. */
async function failsOver(
  context: Parameters<typeof underWrites>[1],
  fail: (primary: string) => Promise<void>,
): Promise<void> {
  const from = await promotedMember(lab, "pg1");
  const [asked = ""] = othersOf(from);
  const before = await boardOrders(lab, from);
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await fail(from);
    const promoted = await waitUntilPromoted(lab, asked, from, 90);
    expect(await fencingOf(lab, promoted, from)).toBe("success");
    await writer.waitForAcknowledgement(60);
    await pause(lasting);
    await lab.heal();
  });
  const now = await promotedMember(lab, asked);
  expect(await boardOrders(lab, from)).toEqual([...before, "ForceOff", "On"]);
  expect(serversIn(verdict)).toEqual([from, now]);
  expect(ownersIn(verdict)).toEqual([from, now]);
  await comeBack(cluster, from, now);
}
