import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { boardDevices } from "../support/fencingBoard.ts";
import { onHost } from "../support/labStack.ts";
import {
  declarePacemakerCluster,
  expectRoles,
  holders,
  openPacemakerLab,
  pacemakerStatus,
  secondVirtualIp,
  waitUntilPromoted,
  waitUntilRunning,
} from "../support/pacemaker.ts";
import { expectExit, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* The readers' address is on a standby; a host whose first fence device fails is fenced by the next. Tests go on from each other. */

let lab: Lab;
let cluster: TestCluster;
let readers: string;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  readers = secondVirtualIp(lab);
  const devices = boardDevices(lab.board, lab.hosts);
  cluster = await declarePacemakerCluster(lab, "readers", {
    corosync: {
      fencing: { devices: { ...devices, again: devices["board-pg1"] }, levels: { pg1: [["again"], ["board-pg1"]] } },
    },
    virtualIps: { readers: { address: `${readers}/26`, nic: "host0" } },
  });
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

/** Waits until one host has the readers' address and it is one of these; returns it. */
async function waitForReaders(standbys: readonly string[]): Promise<string> {
  return waitFor(
    `the readers' address on one of ${standbys.join(", ")}`,
    60,
    async () => {
      // A host that is down is asked again.
      const [one, ...others] = await holders(lab, readers).catch(() => []);
      return others.length === 0 && one !== undefined && standbys.includes(one) ? one : undefined;
    },
    300,
  );
}

test("the readers' address is on a standby, and a switchover to that standby moves it to another one", async () => {
  expectExit(await cluster.stack.up(), 0);
  await expectRoles(lab, "pg1");
  const target = await waitForReaders(["pg2", "pg3"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await cluster.declare("primary", target);
  expectExit(await cluster.stack.up(), 0);
  await expectRoles(lab, target);
  await waitForReaders(["pg1", "pg2", "pg3"].filter((name) => name !== target));
  await cluster.declare("primary", "pg1");
  expectExit(await cluster.stack.up(), 0);
  await expectRoles(lab, "pg1");
  const verdict = await observed.finish();
  expectSafe(verdict);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", target, "pg1"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("a host whose first fence device fails is fenced by the next, and readers go to the standby that is left", async () => {
  const levels = await onHost(lab, "pg2", ["cibadmin", "--query", "--xpath", "//fencing-topology"]);
  expect(levels).toContain('devices="pgha-fence-again" index="1" target="pg1"');
  const broken = ["--resource", "pgha-fence-again", "--set-parameter", "ipport", "--parameter-value", "9"];
  await onHost(lab, "pg2", ["crm_resource", ...broken]);
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  await lab.kill("pg1");
  const promoted = await waitUntilPromoted(lab, "pg2", "pg1", 90);
  await observed.writer.waitForAcknowledgement(60);
  expect((await pacemakerStatus(lab, promoted)).fencing.find(({ target }) => target === "pg1")?.status).toBe("success");
  const left = ["pg2", "pg3"].filter((name) => name !== promoted);
  await waitForReaders(left);
  expectSafe(await observed.finish());
  await lab.start("pg1");
  await waitUntilRunning(lab, promoted, "pg1", 90);
  await cluster.declare("primary", promoted);
  expectExit(await cluster.stack.up(), 0);
  await waitUntilStreaming(lab, promoted, ["pg1", ...left]);
  await expectRoles(lab, promoted);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});

test("without any standby readers find the primary", async () => {
  const status = await pacemakerStatus(lab, "pg2");
  const standbys = status.resources.flatMap(({ role, nodes }) => (role === "Unpromoted" ? nodes : []));
  const primary = ["pg1", "pg2", "pg3"].find((name) => !standbys.includes(name)) ?? "";
  for (const name of standbys) await onHost(lab, primary, ["crm_standby", "--node", name, "--update", "on"]);
  await waitForReaders([primary]);
  for (const name of standbys) await onHost(lab, primary, ["crm_standby", "--node", name, "--delete"]);
  await waitForReaders(standbys);
});
