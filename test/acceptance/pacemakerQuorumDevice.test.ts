import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { onHost, plain, scriptOnHost } from "../support/labStack.ts";
import { declarePacemakerCluster, openPacemakerLab, waitUntilPromoted } from "../support/pacemaker.ts";
import {
  adoptPrimary,
  boardOrders,
  comeBack,
  expectAsDeclared,
  ownersIn,
  promotedMember,
  seconds,
  serversIn,
  underWrites,
  waitForBoardOrders,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Two members, and a third host that only votes. The tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
const members = ["pg1", "pg2"];

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  // Debian's packages have started it on every host of this image: it is to run where it is declared.
  for (const { name } of lab.hosts) await onHost(lab, name, ["systemctl", "disable", "--now", "corosync-qnetd"]);
  await onHost(lab, "pg3", ["systemctl", "disable", "--now", "pacemaker", "corosync"]);
  cluster = await declarePacemakerCluster(lab, "quorum-device", { members });
  expectExit(await cluster.stack.up(), 0);
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

const declareDevice = (device: object | undefined) =>
  cluster.stack.edit(["pgha:pacemaker", "main", "quorumDevice"], device);

/** "Quorate Qdevice" */
async function flags(host: string): Promise<string> {
  // Its exit code says whether there is quorum.
  const { stdout } = await lab.insideHost(host, ["corosync-quorumtool", "-s"], 40);
  return /^Flags:\s*(.*?)\s*$/m.exec(stdout)?.[1] ?? stdout;
}

/** Which of the daemons run, and are started at boot; and what there is of keys and certificates. */
async function leftAt(host: string): Promise<string> {
  return await scriptOnHost(
    lab,
    host,
    `for unit in corosync-qdevice corosync-qnetd; do
       ! systemctl -q is-active $unit || echo "$unit runs"
       ! systemctl -q is-enabled $unit 2>/dev/null || echo "$unit enabled"
     done
     ls -d /etc/corosync/qdevice/net/nssdb 2>/dev/null || true
     ls /etc/corosync/qnetd/nssdb/cluster-*.crt 2>/dev/null || true`,
  );
}

const startTimes = () =>
  Promise.all(
    members.map((host) =>
      onHost(lab, host, ["systemctl", "show", "-p", "MainPID", "corosync", "pacemaker", `pgha-orders-${host}`]),
    ),
  );

test("a device is added to a running cluster: nothing restarts, writes go on, every key stays on its host", async (context) => {
  const before = await startTimes();
  await declareDevice({ host: "pg3" });
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(plain(preview.output)).toMatch(/\+ quorumDevice: \{/);
  expect(plain(preview.output)).toMatch(/- priority-fencing-delay: "10s"/);
  const verdict = await underWrites(cluster, context, async () => expectExit(await cluster.stack.up(), 0));
  expect(serversIn(verdict)).toEqual(["pg1"]);
  expect(await startTimes()).toEqual(before);
  expect(await Promise.all(members.map(flags))).toEqual(["Quorate Qdevice", "Quorate Qdevice"]);
  const listed = await onHost(lab, "pg3", ["corosync-qnetd-tool", "-l", "-v"]);
  expect(listed.match(/TLS active:\s*Yes \(client certificate verified\)/g)).toHaveLength(2);
  const keys = members.map((host) =>
    onHost(lab, host, ["sh", "-c", "certutil -K -d /etc/corosync/qdevice/net/nssdb | grep -o 'rsa  *[0-9a-f]*'"]),
  );
  expect(new Set(await Promise.all(keys)).size).toBe(2);
  expect(await leftAt("pg3")).toContain("corosync-qnetd enabled");
  await expectAsDeclared(cluster, "pg1");
});

test("cut off from each other, the half with the primary gets the vote, and switches the other off", async (context) => {
  // By itself the device would be for the lowest number.
  await adoptPrimary(cluster, "pg2");
  const verdict = await underWrites(cluster, context, async () => {
    await lab.partition("pg1", { from: ["pg2"] });
    await waitForBoardOrders(lab, "pg1", ["ForceOff", "On"]);
    expect(await promotedMember(lab, "pg2")).toBe("pg2");
    await lab.heal();
    await comeBack(cluster, "pg1", "pg2");
  });
  expect(serversIn(verdict)).toEqual(["pg2"]);
  expect(ownersIn(verdict)).toEqual(["pg2"]);
  expect(await boardOrders(lab, "pg2")).toEqual([]);
});

test("a primary whose host is cut off from everything loses to the half that reaches the device", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    const since = Date.now();
    await lab.partition("pg2");
    expect(await waitUntilPromoted(lab, "pg1", "pg2", 90)).toBe("pg1");
    context.task.meta.measured = `promoted after ${seconds(Date.now() - since)}`;
    await lab.heal("pg2");
    await comeBack(cluster, "pg2", "pg1");
  });
  expect(ownersIn(verdict)).toEqual(["pg2", "pg1"]);
});

test("a primary whose host dies is fenced, and the other is promoted without waiting for anything else", async (context) => {
  const verdict = await underWrites(cluster, context, async () => {
    const since = Date.now();
    await lab.kill("pg1");
    expect(await waitUntilPromoted(lab, "pg2", "pg1", 90)).toBe("pg2");
    context.task.meta.measured = `promoted after ${seconds(Date.now() - since)}`;
    await comeBack(cluster, "pg1", "pg2");
  });
  expect(ownersIn(verdict)).toEqual(["pg1", "pg2"]);
});

test("the device's host dies: nothing happens to those who write, preview says so, and up goes on without it", async (context) => {
  const verdict = await underWrites(cluster, context, async (observed) => {
    await lab.kill("pg3");
    await waitFor("pg1 to miss its device", 60, async () => /\bA,NV/.test(await votes("pg1")) || undefined);
    await observed.writer.waitForAcknowledgement(30);
    const preview = await cluster.stack.preview();
    expectExit(preview, 0);
    expect(plain(preview.output)).toContain("pg1, pg2 do not reach the quorum device on pg3");
    expect(await Promise.all(members.map(flags))).toEqual(["Quorate Qdevice", "Quorate Qdevice"]);
  });
  expect(serversIn(verdict)).toEqual(["pg2"]);
  expect(verdict.writer.acknowledgements.length).toBeGreaterThan(0);
  await lab.start("pg3");
  await waitFor("pg1 to have its device's vote", 60, async () => /\bA,V/.test(await votes("pg1")) || undefined);
  await expectAsDeclared(cluster, "pg2");
});

test("daemons that were stopped or disabled are seen, and started again", async () => {
  await onHost(lab, "pg1", ["systemctl", "disable", "--now", "corosync-qdevice"]);
  await onHost(lab, "pg3", ["systemctl", "disable", "corosync-qnetd"]);
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(plain(preview.output)).toContain('- pg1: "corosync-qdevice stopped; corosync-qdevice not enabled at boot"');
  expect(plain(preview.output)).toContain('- pg3: "corosync-qnetd not enabled at boot"');
  expectExit(await cluster.stack.up(), 0);
  expect(await leftAt("pg1")).toContain("corosync-qdevice runs\ncorosync-qdevice enabled");
  expect(await leftAt("pg3")).toContain("corosync-qnetd runs\ncorosync-qnetd enabled");
  await expectAsDeclared(cluster, "pg2");
});

test("it is taken away while everything runs, and nothing of it stays", async (context) => {
  const before = await startTimes();
  await declareDevice(undefined);
  const verdict = await underWrites(cluster, context, async () => expectExit(await cluster.stack.up(), 0));
  expect(serversIn(verdict)).toEqual(["pg2"]);
  expect(await startTimes()).toEqual(before);
  expect(await Promise.all(members.map(flags))).toEqual(["2Node Quorate WaitForAll", "2Node Quorate WaitForAll"]);
  expect(await Promise.all(lab.hosts.map(({ name }) => leftAt(name)))).toEqual(["", "", ""]);
  await expectAsDeclared(cluster, "pg2");
});

test("a destroy takes it away on both sides", async () => {
  await declareDevice({ host: "pg3", algorithm: "lms" });
  expectExit(await cluster.stack.up(), 0);
  expect(await Promise.all(members.map(flags))).toEqual(["Quorate Qdevice", "Quorate Qdevice"]);
  expectExit(await cluster.stack.destroy(), 0);
  expect(await Promise.all(lab.hosts.map(({ name }) => leftAt(name)))).toEqual(["", "", ""]);
});

/** The lines of the members: "1  1  A,V,NMW pg1 (local)" */
async function votes(host: string): Promise<string> {
  const { stdout } = await lab.insideHost(host, ["corosync-quorumtool", "-s"], 40);
  return stdout.slice(stdout.indexOf("Membership information"));
}
