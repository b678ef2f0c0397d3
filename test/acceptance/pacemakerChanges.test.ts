import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import { holders, pacemakerStatus, secondVirtualIp, setUpPacemakerCluster } from "../support/pacemaker.ts";
import {
  expectAsDeclared,
  type Measured,
  ownersIn,
  serversIn,
  underWrites,
  waitUntilOnline,
} from "../support/pacemakerProof.ts";
import { expectExit, expectSafe, type TestCluster } from "../support/testCluster.ts";

/* What operators change of Corosync and Pacemaker while clients write; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
const hosts = ["pg1", "pg2", "pg3"];

setUpPacemakerCluster(3, "changes", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

/** When every server was started, and on which timeline it is. */
function runs(): Promise<string[]> {
  const asking =
    "select pg_postmaster_start_time(), (select timeline_id from pg_control_checkpoint()), pg_is_in_recovery()";
  return Promise.all(hosts.map((host) => sql(lab, host, asking)));
}

/** No server was started again or promoted, the address stayed, and Pulumi sees nothing to do. */
async function withoutOutage(context: Measured, change: () => Promise<void>): Promise<void> {
  const before = await runs();
  const verdict = await underWrites(cluster, context, change);
  expect(await runs()).toEqual(before);
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(ownersIn(verdict)).toEqual(["pg1"]);
  expect(verdict.writer.maxGap.milliseconds).toBeLessThan(2000);
  await expectAsDeclared(cluster, "pg1");
}

/** On every host alike, as the running Corosync and Pacemaker have it. */
async function everywhere(script: string): Promise<string> {
  const said = await Promise.all(hosts.map((host) => scriptOnHost(lab, host, script)));
  expect(new Set(said).size).toBe(1);
  return said[0] ?? "";
}

test("Pacemaker and Corosync stopped and started on every node under maintenance: PostgreSQL goes on, and there is nothing to do afterwards", async (context) => {
  await withoutOutage(context, async () => {
    await onHost(lab, "pg1", ["crm_attribute", "--name", "maintenance-mode", "--update", "true"]);
    for (const host of hosts) await onHost(lab, host, ["systemctl", "stop", "pacemaker", "corosync"], 120);
    await Promise.all(hosts.map((host) => onHost(lab, host, ["systemctl", "start", "corosync", "pacemaker"], 120)));
    await waitUntilOnline(lab, "pg1", hosts, 120);
    const preview = await cluster.stack.preview();
    expectExit(preview, 0);
    expect(plain(preview.output)).toContain("the whole cluster is in maintenance: nothing is watched or repaired");
    await onHost(lab, "pg1", ["crm_attribute", "--name", "maintenance-mode", "--delete"]);
  });
  const { failedActions, failCounts, fencing } = await pacemakerStatus(lab, "pg2");
  expect([failedActions, failCounts, fencing]).toEqual([[], [], []]);
});

test("another detection time and another property are taken over at once", async (context) => {
  await withoutOutage(context, async () => {
    await cluster.stack.edit(["pgha:pacemaker", "main", "detection"], "normal");
    await cluster.stack.edit(["pgha:pacemaker", "main", "properties"], { "cluster-delay": "50s" });
    expectExit(await cluster.stack.up(), 0);
    expect(
      await everywhere("corosync-cmapctl -g totem.token; crm_attribute --query --quiet --name cluster-delay"),
    ).toBe("totem.token (u32) = 3000\n50s");
  });
});

test("other parameters of a fence device are taken over, and it goes on being watched", async (context) => {
  const device = ["pgha:pacemaker", "main", "fencing", "devices", "board-pg1", "parameters"];
  await withoutOutage(context, async () => {
    await cluster.stack.edit([...device, "login_timeout"], 7);
    await cluster.stack.edit([...device, "pcmk_reboot_timeout"], "40s");
    expectExit(await cluster.stack.up(), 0);
    expect(
      await everywhere(
        `for name in login_timeout pcmk_reboot_timeout; do
           crm_resource --resource pgha-fence-board-pg1 --get-parameter $name
         done`,
      ),
    ).toBe("7\n40s");
  });
  const devices = (await pacemakerStatus(lab, "pg2")).resources.filter(({ agent }) => agent.startsWith("stonith:"));
  expect(devices.map(({ role }) => role)).toEqual(["Started", "Started", "Started"]);
});

test("a virtual IP without its interface's name, which is found by the network, is the same address", async (context) => {
  await withoutOutage(context, async () => {
    await cluster.declare("virtualIps", { primary: `${lab.virtualIp}/26` });
    expectExit(await cluster.stack.up(), 0);
  });
});

test("another virtual IP takes the place of the old one: only the address changes", async (context) => {
  const before = await runs();
  const other = secondVirtualIp(lab);
  const observed = await cluster.observeWrites();
  await cluster.declare("virtualIps", { primary: { address: `${other}/26`, nic: "host0" } });
  expectExit(await cluster.stack.up(), 0);
  const verdict = await observed.finish();
  expectSafe(verdict);
  context.task.meta.measured = `${verdict.writer.maxGap.milliseconds.toFixed(0)} ms without a row`;
  expect(verdict.writer.maxGap.milliseconds).toBeLessThan(2000);
  expect(await runs()).toEqual(before);
  expect([await holders(lab), await holders(lab, other)]).toEqual([[], ["pg1"]]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});
