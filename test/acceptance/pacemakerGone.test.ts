import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { onHost, plain, scriptOnHost } from "../support/labStack.ts";
import { declarePacemakerCluster, openPacemakerLab } from "../support/pacemaker.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* A cluster without virtual IPs that was under Pacemaker goes on without him. */
let lab: Lab;
let cluster: TestCluster;
const members = ["pg1", "pg2"];

beforeAll(async () => {
  lab = await openPacemakerLab(2);
  cluster = await declarePacemakerCluster(lab, "gone");
  await cluster.declare("virtualIps", undefined);
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

async function expectNothingToDo(): Promise<void> {
  expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1"]);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("no-quorum-policy that somebody set to ignore by hand is shown and put right", async () => {
  const policy = ["crm_attribute", "--query", "--quiet", "--name", "no-quorum-policy"];
  await onHost(lab, "pg2", ["crm_attribute", "--name", "no-quorum-policy", "--update", "ignore"]);
  const preview = await cluster.stack.preview("--diff");
  expect(plain(preview.output)).toMatch(/~ no-quorum-policy *: "ignore" => "stop"/);
  expectExit(await cluster.stack.up(), 0);
  expect(await onHost(lab, "pg1", policy)).toBe("stop");
  await expectNothingToDo();
});

test("declared without a failover manager, Pacemaker and Corosync go, and the instances run on under systemd", async () => {
  await cluster.declare("failover", { manager: "none" });
  await cluster.stack.edit(["pgha:pacemaker"], undefined);
  await cluster.stack.edit(["pgha:fencingSecrets"], undefined);
  const up = await cluster.stack.up();
  expectExit(up, 0);
  // His agent worked with it until the end of that run.
  expect(plain(up.output)).toContain("orders-pg1: what Pacemaker's agent works with stays for now");
  expectExit(await cluster.stack.up(), 0);
  await expectNothingToDo();
  for (const member of members) {
    const services =
      "systemctl is-active corosync pacemaker || true; ls /etc/corosync/corosync.conf 2>/dev/null || true";
    expect(await scriptOnHost(lab, member, `${services}; systemctl is-enabled pgha-orders-${member}.service`)).toBe(
      "inactive\ninactive\nenabled",
    );
  }
  await lab.kill("pg1");
  await lab.start("pg1");
  const isBack = async () => (await cluster.roles()).join() === "pg1 f 1,pg2 t 1" || undefined;
  await waitFor("pg1 to be the primary again after its boot", 90, isBack, 500);
  await expectNothingToDo();
});
