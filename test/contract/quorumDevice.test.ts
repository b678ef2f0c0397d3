import { expect, test } from "vitest";
import { configurationOf } from "../../model/pacemaker/configuration.ts";
import { corosyncConfPath } from "../../model/pacemaker/corosyncConf.ts";
import { pacemakerCluster } from "../../provider/pacemakerCluster.ts";
import { withPretendDevice } from "../support/pretendDevice.ts";
import { createPretendNodes } from "../support/pretendNodes.ts";
import { parsed } from "../support/stackFiles.ts";
import { failureOf, startHarness, type WireProperties } from "./harness.ts";

const device = { host: "pg3", address: "192.0.2.19", algorithm: "ffsplit", clusters: { orders: 5432 } };

/** Two nodes, and pg3 that may vote. */
async function prepare() {
  const hosts = withPretendDevice(createPretendNodes(["pg1", "pg2"]), "pg3");
  const engine = await startHarness([pacemakerCluster], { openHosts: async () => hosts });
  const [declaration] = parsed({
    clusters: {
      orders: {
        postgresVersion: 17,
        members: { pg1: {}, pg2: {} },
        primary: "pg1",
        failover: { manager: "pacemaker" },
      },
    },
    pacemaker: {
      main: { fencing: { none: "a cut-off primary may go on accepting writes" }, quorumDevice: { host: "pg3" } },
    },
  }).pacemaker;
  if (declaration === undefined) throw new Error("no Corosync cluster");
  const configuration = JSON.parse(JSON.stringify(configurationOf(declaration))) as WireProperties;
  async function declare(quorumDevice: object | undefined, olds?: WireProperties): Promise<WireProperties> {
    const nodes = { pg1: { addresses: ["192.0.2.11"] }, pg2: { addresses: ["192.0.2.12"] } };
    const declared = { cluster: "main", nodes, detection: "fast", ...configuration };
    const all = JSON.parse(JSON.stringify({ ...declared, quorumDevice })) as WireProperties;
    const { inputs, failures } = await engine.check("main", all, olds);
    expect(failures).toEqual([]);
    return inputs;
  }
  async function created(quorumDevice: object | undefined) {
    const inputs = await declare(quorumDevice);
    const { properties } = await engine.create("main", inputs);
    const read = await engine.read("main", "main", inputs, properties);
    hosts.done.length = 0;
    return { inputs, properties: read.properties };
  }
  const read = async (inputs: WireProperties, properties: WireProperties) =>
    (await engine.read("main", "main", inputs, properties)).properties;
  async function changes(olds: WireProperties, oldInputs: WireProperties, news: WireProperties) {
    const { detailed } = await engine.diff("main", { olds, oldInputs, news });
    return Object.entries(detailed).map(([path, kind]) => `${path} ${kind}`);
  }
  return { hosts, engine, declare, created, read, changes };
}

test("a device comes to running nodes: certificates first, then corosync.conf, then one daemon after the other", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(undefined);
  const news = await bench.declare(device, inputs);
  expect(await bench.changes(properties, inputs, news)).toEqual(["quorumDevice add"]);
  const updated = await bench.engine.update("main", { olds: properties, oldInputs: inputs, news });
  const { done } = bench.hosts;
  expect(done[0]).toBe("start the quorum device on pg3");
  expect([...done.slice(1, 7)].sort()).toEqual([
    "make a key for the quorum device on pg1",
    "make a key for the quorum device on pg2",
    "sign the certificate of pg1",
    "sign the certificate of pg2",
    "take the certificate of pg1 over",
    "take the certificate of pg2 over",
  ]);
  expect(done.slice(7)).toEqual([
    "pg1: write /etc/corosync/corosync.conf",
    "pg2: write /etc/corosync/corosync.conf",
    "pg1: have Corosync read its configuration",
    "start the quorum device's daemon on pg1",
    "start the quorum device's daemon on pg2",
  ]);
  expect(bench.hosts.nodes.pg1?.files.get(corosyncConfPath)).toContain("host: 192.0.2.19");
  expect(await bench.changes(await bench.read(news, updated.properties), news, news)).toEqual([]);
});

test("its vote is taken back before corosync.conf loses it, and its host is tidied up last", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(device);
  const news = await bench.declare(undefined, inputs);
  await bench.engine.update("main", { olds: properties, oldInputs: inputs, news });
  expect(bench.hosts.done).toEqual([
    "end the quorum device's daemon on pg1",
    "end the quorum device's daemon on pg2",
    "pg1: write /etc/corosync/corosync.conf",
    "pg2: write /etc/corosync/corosync.conf",
    "pg1: have Corosync read its configuration",
    "take main from the quorum device on pg3",
  ]);
  expect(bench.hosts.nodes.pg1?.files.get(corosyncConfPath)).toContain("two_node: 1");
});

test("daemons that are stopped or disabled, and certificates of another device, are seen and put right; nothing else is touched", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(device);
  const { pg1, pg2, pg3 } = bench.hosts.daemons;
  Object.assign(pg1 ?? {}, { active: false });
  Object.assign(pg2 ?? {}, { authority: "another" });
  Object.assign(pg3 ?? {}, { enabled: false });
  const seen = await bench.read(inputs, properties);
  expect(seen.unhealthy).toEqual({
    pg1: "corosync-qdevice stopped",
    pg2: "no certificate of the quorum device",
    pg3: "corosync-qnetd not enabled at boot",
  });
  expect(await bench.changes(seen, inputs, inputs)).toEqual([
    "unhealthy.pg1 delete",
    "unhealthy.pg2 delete",
    "unhealthy.pg3 delete",
  ]);
  await bench.engine.update("main", { olds: seen, oldInputs: inputs, news: inputs });
  expect(bench.hosts.done).toEqual([
    "start the quorum device on pg3",
    "make a key for the quorum device on pg2",
    "sign the certificate of pg2",
    "take the certificate of pg2 over",
    "start the quorum device's daemon on pg1",
    "restart the quorum device's daemon on pg2",
  ]);
  expect((await bench.read(inputs, seen)).unhealthy).toBeUndefined();
});

test("a device that does not answer stops its declaration, and nothing that comes later", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(undefined);
  const { pg3 } = bench.hosts.daemons;
  if (pg3 === undefined) throw new Error("pg3 is pretended");
  pg3.reachable = false;
  const wanted = await bench.declare(device, inputs);
  const refused = { olds: properties, oldInputs: inputs, news: wanted };
  expect((await failureOf(bench.engine.update("main", refused))).message).toContain(
    "pgha:hosts.pg3: found no answer (pg3: found no answer, expected sshd. Start the host.), expected the host of the quorum device, because certificates are made there.",
  );
  expect(bench.hosts.done).toEqual([]);
  pg3.reachable = true;
  const updated = await bench.engine.update("main", refused);
  pg3.reachable = false;
  const seen = await bench.read(wanted, updated.properties);
  expect([seen.withoutDevice, seen.unhealthy]).toEqual([["pg1", "pg2"], undefined]);
  expect(Object.keys(seen.unreachable ?? {})).toEqual(["pg3"]);
  bench.hosts.done.length = 0;
  await bench.engine.update("main", { olds: seen, oldInputs: wanted, news: wanted });
  expect(bench.hosts.done).toEqual([]);
  expect(bench.engine.lines.map(({ text }) => text).join("\n")).toContain("pg3 cannot be reached; the quorum device");
});

test("another cluster of the same name at the device, and an address that it does not have, are refused", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(undefined);
  bench.hosts.clients.push("192.0.2.11", "192.0.2.77");
  const news = await bench.declare({ ...device, address: "192.0.2.20" }, inputs);
  const failure = await failureOf(bench.engine.update("main", { olds: properties, oldInputs: inputs, news }));
  expect(failure.message).toContain("found 192.0.2.20, which the host does not have (it has 192.0.2.19)");
  expect(failure.message).toContain("found pg3, at which 192.0.2.77 of another Corosync cluster main vote already");
  expect(bench.hosts.done).toEqual([]);
});

test("a destroy ends it on every node and at its host", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created(device);
  await bench.engine.delete("main", inputs, properties);
  expect(bench.hosts.done).toEqual([
    "end the quorum device's daemon on pg1",
    "end the quorum device's daemon on pg2",
    "take main from the quorum device on pg3",
  ]);
});
