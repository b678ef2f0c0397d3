import { expect, test } from "vitest";
import { configurationOf } from "../../model/pacemaker/configuration.ts";
import { corosyncConfPath, corosyncKeyPath } from "../../model/pacemaker/corosyncConf.ts";
import { pacemakerCluster } from "../../provider/pacemakerCluster.ts";
import { createPretendNodes, type PretendNodes } from "../support/pretendNodes.ts";
import { parsed } from "../support/stackFiles.ts";
import { failureOf, type Harness, startHarness, type WireProperties } from "./harness.ts";

const names = ["pg1", "pg2", "pg3"];

interface Bench {
  readonly engine: Harness;
  readonly hosts: PretendNodes;
  /** What the program declares, completed by check. */
  declare(changes?: WireProperties, olds?: WireProperties): Promise<WireProperties>;
  /** Creates it, and reads it again. */
  created(): Promise<{ inputs: WireProperties; properties: WireProperties }>;
}

async function prepare(): Promise<Bench> {
  const hosts = createPretendNodes(names);
  const engine = await startHarness([pacemakerCluster], { openHosts: async () => hosts });
  const [declaration] = parsed({
    clusters: {
      orders: {
        postgresVersion: 17,
        members: { pg1: {}, pg2: {}, pg3: {} },
        primary: "pg1",
        failover: { manager: "pacemaker" },
        virtualIps: { primary: "198.51.100.50/24" },
      },
    },
    pacemaker: { main: { fencing: { none: "a cut-off primary may go on accepting writes" } } },
  }).pacemaker;
  if (declaration === undefined) throw new Error("no Corosync cluster");
  const configuration = configurationOf(declaration);
  async function declare(changes: WireProperties = {}, olds?: WireProperties): Promise<WireProperties> {
    const declared = {
      cluster: "main",
      nodes: Object.fromEntries(names.map((name) => [name, { addresses: [`192.0.2.1${name.slice(2)}`] }])),
      detection: "normal",
      ...(JSON.parse(JSON.stringify(configuration)) as WireProperties),
      ...changes,
    };
    const { inputs, failures } = await engine.check("main", declared, olds);
    expect(failures).toEqual([]);
    return inputs;
  }
  async function created() {
    const inputs = await declare();
    const { id, properties } = await engine.create("main", inputs);
    expect(id).toBe("main");
    return { inputs, properties: (await engine.read("main", id, inputs, properties)).properties };
  }
  return { engine, hosts, declare, created };
}

async function changes(bench: Bench, olds: WireProperties, oldInputs: WireProperties, news = oldInputs) {
  const { detailed } = await bench.engine.diff("main", { olds, oldInputs, news });
  return Object.entries(detailed).map(([path, kind]) => `${path} ${kind}`);
}

test("bare hosts get key, configuration, services and Pacemaker's configuration; then there is nothing to change", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  expect(await changes(bench, properties, inputs)).toEqual([]);
  const { nodes } = bench.hosts;
  const conf = nodes.pg1?.files.get(corosyncConfPath);
  expect(conf).toContain("name: pg2\n    nodeid: 2\n    ring0_addr: 192.0.2.12");
  for (const name of names) {
    expect(bench.hosts.orders(name).slice(0, 4)).toEqual([
      `clear the one-node cluster of Debian's packages on ${name}`,
      "write /etc/corosync/authkey",
      "write /etc/corosync/corosync.conf",
      `start Corosync and Pacemaker on ${name}`,
    ]);
    expect(nodes[name]?.files.get(corosyncConfPath)).toBe(conf);
  }
  expect(bench.hosts.cib).toContain('<clone id="pgha-orders-clone">');
});

test("the key is generated, the same on every host, and stands in no command line and in no message", async () => {
  const bench = await prepare();
  await bench.created();
  const [key, ...others] = names.map((name) => bench.hosts.nodes[name]?.files.get(corosyncKeyPath));
  expect(key).toMatch(/^[\w-]{256}$/);
  expect(others).toEqual([key, key]);
  const argv = names.flatMap((name) => bench.hosts.nodes[name]?.commands.flatMap((command) => command.argv) ?? []);
  expect(argv.join("\n")).not.toContain(key);
  expect(bench.engine.lines.map(({ text }) => text).join("\n")).not.toContain(key);
});

test("a preview of the creation touches nothing and needs no host", async () => {
  const bench = await prepare();
  for (const node of Object.values(bench.hosts.nodes)) node.reachable = false;
  await bench.engine.create("main", await bench.declare(), true);
  for (const name of names) expect(bench.hosts.nodes[name]?.commands).toEqual([]);
});

test("a host of another Corosync cluster and one that does not answer are both told, and no host is touched", async () => {
  const bench = await prepare();
  const { pg2, pg3 } = bench.hosts.nodes;
  pg2?.files.set(
    corosyncConfPath,
    "totem {\n cluster_name: web\n}\nnodelist {\n node {\n name: web1\n nodeid: 1\n }\n}\n",
  );
  if (pg3 !== undefined) pg3.reachable = false;
  const failure = await failureOf(bench.engine.create("main", await bench.declare()));
  expect(failure.message).toContain("Corosync: nothing was touched:");
  expect(failure.message).toContain("pgha:hosts.pg2: found a node of the Corosync cluster web: web1 (1)");
  expect(failure.message).toContain("pgha:hosts.pg3: found no answer");
  for (const name of names) expect(bench.hosts.orders(name)).toEqual([]);
});

test("what was changed by hand is shown, and the next update puts it right and leaves what is not ours", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  bench.hosts.cib = bench.hosts.cib
    .replace('name="migration-threshold" value="5"', 'name="migration-threshold" value="1"')
    .replace("</resources>", '<primitive id="web" class="systemd" type="nginx"/></resources>');
  const { pg2 } = bench.hosts.nodes;
  if (pg2 === undefined) throw new Error("pg2 is pretended");
  pg2.files.set(corosyncConfPath, `${pg2.files.get(corosyncConfPath)}# by hand\n`);
  pg2.enabled = false;
  const seen = (await bench.engine.read("main", "main", inputs, properties)).properties;
  expect(await changes(bench, seen, inputs)).toEqual([
    "clones.pgha-orders-clone.meta.migration-threshold update",
    "corosyncConf.pg2 update",
    "unhealthy.pg2 delete",
  ]);
  const updated = await bench.engine.update("main", { olds: seen, oldInputs: inputs, news: inputs });
  expect(bench.hosts.cib).toContain('name="migration-threshold" value="5"');
  expect(bench.hosts.cib).toContain('<primitive id="web" class="systemd" type="nginx"/>');
  expect(pg2.enabled).toBe(true);
  const again = (await bench.engine.read("main", "main", inputs, updated.properties)).properties;
  expect(await changes(bench, again, inputs)).toEqual([]);
});

test("a node that lost its corosync.conf while Pacemaker runs there gets it back, and goes on", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  const before = bench.hosts.orders("pg2");
  bench.hosts.nodes.pg2?.files.delete(corosyncConfPath);
  const seen = (await bench.engine.read("main", "main", inputs, properties)).properties;
  expect(await changes(bench, seen, inputs)).toEqual(["corosyncConf.pg2 update"]);
  await bench.engine.update("main", { olds: seen, oldInputs: inputs, news: inputs });
  expect(bench.hosts.orders("pg2").slice(before.length)).not.toContainEqual(expect.stringMatching(/^clear|^start/));
  expect(bench.hosts.nodes.pg2?.files.get(corosyncConfPath)).toBe(bench.hosts.nodes.pg1?.files.get(corosyncConfPath));
});

test("a change that somebody else makes in between is kept: ours is made again for the newer version", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  const news = await bench.declare(
    { properties: { "stonith-enabled": "false", "no-quorum-policy": "freeze" } },
    inputs,
  );
  bench.hosts.disturbOnce((cib) =>
    cib
      .replace(/ epoch="(\d+)"/, (_all, epoch) => ` epoch="${Number(epoch) + 1}"`)
      .replace("</resources>", '<primitive id="web" class="systemd" type="nginx"/></resources>'),
  );
  await bench.engine.update("main", { olds: properties, oldInputs: inputs, news });
  expect(bench.hosts.cib).toContain('id="web"');
  expect(bench.hosts.cib).toContain('name="no-quorum-policy" value="freeze"');
  const changed = bench.hosts.orders("pg1").filter((order) => order.startsWith("change Pacemaker"));
  expect(changed).toHaveLength(3);
});

test("what no update can mend is told, and is no change", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  expect(properties.problems).toBeUndefined();
  const { pg1 } = bench.hosts.nodes;
  const link = (ring: number, state: string) => `LINK ID ${ring} udp\n\tstatus:\n\t\tnodeid:          2:\t${state}\n`;
  if (pg1 !== undefined) pg1.rings = link(0, "disconnected") + link(1, "connected");
  const seen = (await bench.engine.read("main", "main", inputs, properties)).properties;
  const text = "ring 0: pg1 (192.0.2.11) and pg2 (192.0.2.12) do not hear each other";
  expect(seen.problems).toEqual([text]);
  expect(await changes(bench, seen, inputs)).toEqual([]);
});

test("a dead host stops only what must be written there", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  const { pg3 } = bench.hosts.nodes;
  if (pg3 !== undefined) pg3.reachable = false;
  const seen = (await bench.engine.read("main", "main", inputs, properties)).properties;
  expect(seen.unreachable).toEqual({ pg3: "pg3: found no answer, expected sshd. Start the host." });
  expect(await changes(bench, seen, inputs)).toEqual([]);
  const slower = await bench.declare({ detection: "wide" }, inputs);
  const failure = await failureOf(bench.engine.update("main", { olds: seen, oldInputs: inputs, news: slower }));
  expect(failure.message).toContain("expected every host, because corosync.conf is written on each");
  const news = await bench.declare(
    { properties: { "stonith-enabled": "false", "no-quorum-policy": "freeze" } },
    inputs,
  );
  await bench.engine.update("main", { olds: seen, oldInputs: inputs, news });
  expect(bench.hosts.cib).toContain('value="freeze"');
});

test("taken away, it takes the addresses first, leaves the rest alone, and is gone from every host", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  await bench.engine.delete("main", inputs, properties);
  expect(bench.hosts.cib).toContain('name="target-role" value="Stopped"');
  expect(bench.hosts.cib).toContain('name="maintenance-mode" value="true"');
  for (const name of names) {
    expect(bench.hosts.nodes[name]).toMatchObject({ running: false, enabled: false });
    expect(bench.hosts.nodes[name]?.files.size).toBe(0);
  }
});

test("a removal that was cut off is finished, although the hosts that are left have no quorum any more", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  const whole = bench.hosts.cib;
  const conf = bench.hosts.nodes.pg3?.files.get(corosyncConfPath) ?? "";
  const withoutQuorum = (cib: string) => cib.replace('have-quorum="1"', 'have-quorum="0"');
  bench.hosts.cib = withoutQuorum(whole);
  const failure = await failureOf(bench.engine.delete("main", inputs, properties));
  expect(failure.message).toContain("found no quorum, expected a majority of pg1, pg2, pg3");
  for (const name of names) expect(bench.hosts.nodes[name]?.running).toBe(true);

  bench.hosts.cib = whole;
  await bench.engine.delete("main", inputs, properties);
  bench.hosts.cib = withoutQuorum(bench.hosts.cib);
  Object.assign(bench.hosts.nodes.pg3 ?? {}, { running: true, enabled: true });
  bench.hosts.nodes.pg3?.files.set(corosyncConfPath, conf);
  await bench.engine.delete("main", inputs, properties);
  expect(bench.hosts.nodes.pg3).toMatchObject({ running: false, enabled: false });
});

test("it is not taken away while others have resources in it", async () => {
  const bench = await prepare();
  const { inputs, properties } = await bench.created();
  bench.hosts.cib = bench.hosts.cib.replace(
    "</resources>",
    '<primitive id="web" class="systemd" type="nginx"/></resources>',
  );
  const failure = await failureOf(bench.engine.delete("main", inputs, properties));
  expect(failure.message).toContain("found resources of others in this Pacemaker cluster (web)");
  expect(bench.hosts.nodes.pg1?.running).toBe(true);
});
