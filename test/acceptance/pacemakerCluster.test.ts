import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { startTimes } from "../support/byHand.ts";
import { onHost, plain, scriptOnHost } from "../support/labStack.ts";
import { declarePacemakerCluster, openPacemakerLab } from "../support/pacemaker.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Corosync and Pacemaker as desired state; the tests go on from each other. */
const names = ["pg1", "pg2", "pg3"];
let virtualIp: string;
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(3);
  virtualIp = lab.virtualIp;
  cluster = await declarePacemakerCluster(lab, "corosync");
});
afterAll(async () => {
  await cluster?.close();
  // Its hosts have another image than those of the other files.
  await lab?.down();
});

function changedLines(output: string): string[] {
  const text = plain(output);
  return text
    .slice(text.indexOf("pulumi:pulumi:Stack: (same)"))
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^[-+~] /.test(line));
}

/** Who is promoted as Pacemaker says, and on which hosts the address is. */
async function places(): Promise<string[]> {
  const text = await onHost(lab, "pg1", ["crm_resource", "--locate", "--resource", "pgha-orders-clone"]);
  const promoted = text.split("\n").filter((line) => line.includes(" Promoted"));
  const owners = await Promise.all(
    names.map((name) =>
      scriptOnHost(lab, name, `ip -o addr show | grep -q ' ${virtualIp}/' && echo "address on ${name}" || true`),
    ),
  );
  return [...promoted.map((line) => line.trim()), ...owners.filter((owner) => owner !== "")];
}

async function expectNoChanges(): Promise<void> {
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

test("a host of another Corosync cluster, and a virtual IP for which somebody answers, are refused before anything is touched", async () => {
  await scriptOnHost(
    lab,
    "pg2",
    `mkdir -p /etc/corosync; printf 'totem {\\n cluster_name: web\\n}\\nnodelist {\\n node {\\n name: web1\\n nodeid: 1\\n ring0_addr: 192.0.2.250\\n }\\n}\\n' > /etc/corosync/corosync.conf`,
  );
  await scriptOnHost(lab, "pg3", `ip addr add ${virtualIp}/26 dev host0`);
  const refused = await cluster.stack.up();
  expectExit(refused, 1);
  expect(plain(refused.output)).toContain(
    "pgha:hosts.pg2: found a node of the Corosync cluster web: web1 (1), expected none, or main: pg1, pg2, pg3.",
  );
  expect(plain(refused.output)).toContain(`pgha:clusters.orders.virtualIps.primary: found ${virtualIp}, for which `);
  expect(
    await Promise.all(names.map((name) => scriptOnHost(lab, name, "ls /etc/pgha 2>/dev/null || echo none"))),
  ).toEqual(["none", "none", "none"]);
  await scriptOnHost(lab, "pg2", "rm /etc/corosync/corosync.conf");
  await scriptOnHost(lab, "pg3", `ip addr del ${virtualIp}/26 dev host0`);
});

test("Corosync and Pacemaker come over a running cluster and take it over as it runs; again there is nothing to change", async () => {
  expectExit(await cluster.stack.up(), 0);
  expect(await places()).toEqual(["resource pgha-orders-clone is running on: pg1 Promoted", "address on pg1"]);
  expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);
  expect(await onHost(lab, "pg2", ["stat", "-c", "%U %a", "/etc/corosync/authkey"])).toBe("root 400");
  await expectNoChanges();
});

test("what was changed by hand is shown in Pacemaker's words and put right without a restart; what is not ours stays", async () => {
  const started = await startTimes(lab, names);
  await scriptOnHost(
    lab,
    "pg2",
    `crm_resource --resource pgha-orders-clone --meta --set-parameter migration-threshold --parameter-value 1 >/dev/null
     cibadmin --delete --xml-text '<rsc_colocation id="pgha-orders-addresses-with-primary"/>'
     cibadmin --modify --xml-text '<op id="pgha-orders-promote-interval-0s" timeout="5s"/>'
     cibadmin --create --scope resources --xml-text '<primitive id="web" class="ocf" provider="pacemaker" type="Dummy"/>'
     sed -i 's/token: 1000/token: 5000/' /etc/corosync/corosync.conf
     systemctl -q disable pacemaker`,
    60,
  );
  const preview = await cluster.stack.preview("--diff");
  expectExit(preview, 0);
  expect(changedLines(preview.output)).toEqual([
    "~ pgha:index:PacemakerCluster: (update)",
    "~ clones      : {",
    "~ pgha-orders-clone: {",
    "~ meta: {",
    '~ migration-threshold: "1" => "5"',
    "~ constraints : {",
    "+ pgha-orders-addresses-with-primary: {",
    '+ rsc          : "pgha-orders-addresses"',
    '+ score        : "INFINITY"',
    '+ type         : "colocation"',
    '+ with-rsc     : "pgha-orders-clone"',
    '+ with-rsc-role: "Promoted"',
    "~ corosyncConf: {",
    "~ pg2:",
    "-   token: 5000",
    "+   token: 1000",
    "~ resources   : {",
    "~ pgha-orders: {",
    "~ operations: {",
    "~ promote: {",
    '~ timeout: "5s" => "60s"',
    "- unhealthy   : {",
    '- pg2: "pacemaker not enabled at boot"',
    "~ 1 to update",
  ]);
  expectExit(await cluster.stack.up(), 0);
  await expectNoChanges();
  expect(await startTimes(lab, names)).toEqual(started);
  expect(await places()).toEqual(["resource pgha-orders-clone is running on: pg1 Promoted", "address on pg1"]);
  expect(await onHost(lab, "pg3", ["crm_resource", "--locate", "--resource", "web"])).toContain("is running on");
  expect(await onHost(lab, "pg2", ["systemctl", "is-enabled", "pacemaker"])).toBe("enabled");
});

test("another detection is taken over by the running Corosync of every host", async () => {
  await cluster.stack.edit(["pgha:pacemaker", "main", "detection"], "wide");
  const started = await startTimes(lab, names);
  expectExit(await cluster.stack.up(), 0);
  const tokens = names.map((name) => onHost(lab, name, ["corosync-cmapctl", "-g", "totem.token"]));
  expect(await Promise.all(tokens)).toEqual(names.map(() => "totem.token (u32) = 10000"));
  expect(await startTimes(lab, names)).toEqual(started);
  await expectNoChanges();
});

test("with others' resources in it, it is not taken away; without, the addresses go and the instances run on", async () => {
  const started = await startTimes(lab, names);
  const refused = await cluster.stack.destroy();
  expectExit(refused, 1);
  expect(plain(refused.output)).toContain("found resources of others in this Pacemaker cluster (web)");
  expect(await places()).toEqual(["resource pgha-orders-clone is running on: pg1 Promoted", "address on pg1"]);
  await scriptOnHost(
    lab,
    "pg1",
    `cibadmin --delete --xml-text '<primitive id="web"/>'; crm_resource --wait --timeout 30s`,
    60,
  );
  expectExit(await cluster.stack.destroy(), 0);
  for (const name of names) {
    expect(
      await scriptOnHost(
        lab,
        name,
        `systemctl is-active corosync pacemaker || true; ls /etc/corosync/corosync.conf 2>&1 || true; ip -o addr show | grep -c ' ${virtualIp}/' || true`,
      ),
    ).toBe("inactive\ninactive\nls: cannot access '/etc/corosync/corosync.conf': No such file or directory\n0");
  }
  expect(await startTimes(lab, names)).toEqual(started);
  expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);
});
