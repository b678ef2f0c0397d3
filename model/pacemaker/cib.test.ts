import { describe, expect, it } from "vitest";
import { parsed } from "../../test/support/stackFiles.ts";
import { changeCib, readCib } from "./cib.ts";
import { concealSecrets, configurationOf, type PacemakerConfiguration, revealSecrets } from "./configuration.ts";

/** Of Pacemaker's own defaults those that are declared. */
const guarded = { "no-quorum-policy": "stop", "startup-fencing": "true", "stop-all-resources": "false" };

const sentence = "a cut-off primary may go on accepting writes";

/** What a stack file with one cluster under Pacemaker becomes. */
function configuration(changes: { orders?: object; main?: object } = {}): PacemakerConfiguration {
  const members = { pg1: {}, pg2: {}, pg3: {} };
  const [declaration] = parsed({
    clusters: {
      orders: {
        postgresVersion: 17,
        members,
        primary: "pg1",
        failover: { manager: "pacemaker" },
        virtualIps: { primary: "198.51.100.50/24" },
        ...changes.orders,
      },
    },
    pacemaker: { main: { fencing: { none: sentence }, ...changes.main } },
  }).pacemaker;
  if (declaration === undefined) throw new Error("no Corosync cluster");
  return configurationOf(declaration);
}

/** As Pacemaker 3.0 answers before anybody configured it, and after the coordinator has written its properties. */
function cib(parts: { options?: string; resources?: string; constraints?: string; crmd?: string } = {}): string {
  const { options = "", resources = "", constraints = "", crmd = "1763766000" } = parts;
  return `<cib crm_feature_set="3.20.0" validate-with="pacemaker-4.0" epoch="7" num_updates="12" admin_epoch="0" have-quorum="1" dc-uuid="1">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-have-watchdog" name="have-watchdog" value="false"/>
        <nvpair id="cib-bootstrap-options-dc-version" name="dc-version" value="3.0.0-6a3a0c0"/>
        ${options}
      </cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="pg1"/><node id="2" uname="pg2"/></nodes>
    <resources>${resources}</resources>
    <constraints>${constraints}</constraints>
  </configuration>
  <status>
    <node_state id="1" uname="pg1" in_ccm="1763766000" crmd="${crmd}" join="member" expected="member"/>
    <node_state id="2" uname="pg2" in_ccm="1763766001" crmd="${crmd}" join="down" expected="member"/>
  </status>
</cib>`;
}

function applied(before: string, wanted: PacemakerConfiguration, former: readonly string[] = []): string {
  const after = changeCib(before, wanted, former);
  if (after === undefined) throw new Error("nothing to change");
  return after;
}

const wanted = configuration();
const applies = applied(cib(), wanted);

function seen(text: string, as = wanted): PacemakerConfiguration {
  return readCib(text, Object.keys(as.properties)).own;
}

/** What a tool does to the document by hand. */
function byHand(text: string, from: string | RegExp, to: string): string {
  const changed = text.replace(from, to);
  if (changed === text) throw new Error(`nothing replaced: ${from}`);
  return changed;
}

describe("the configuration of a cluster under Pacemaker", () => {
  it("is one promotable clone, its address beside the primary, and nothing more", () => {
    expect(wanted).toEqual({
      properties: { "stonith-enabled": "false", ...guarded },
      resources: {
        "pgha-orders": {
          agent: "ocf:heartbeat:pgsqlms",
          parameters: {
            bindir: "/etc/pgha/orders/pacemaker",
            pgdata: "/var/lib/pgha/orders/data",
            pghost: "/var/run/postgresql",
            pgport: "5432",
            system_user: "root",
          },
          operations: {
            start: { timeout: "60s" },
            stop: { timeout: "60s" },
            promote: { timeout: "60s" },
            demote: { timeout: "120s" },
            notify: { timeout: "60s" },
            "monitor Promoted": { interval: "3s", timeout: "10s" },
            "monitor Unpromoted": { interval: "4s", timeout: "10s" },
          },
          meta: {},
        },
        "pgha-orders-primary-ip": {
          agent: "ocf:heartbeat:IPaddr2",
          parameters: { ip: "198.51.100.50", cidr_netmask: "24" },
          operations: {
            start: { timeout: "20s" },
            stop: { timeout: "20s" },
            monitor: { interval: "5s", timeout: "10s" },
          },
          meta: {},
        },
      },
      groups: { "pgha-orders-addresses": { members: ["pgha-orders-primary-ip"], meta: { "failure-timeout": "60s" } } },
      clones: {
        "pgha-orders-clone": {
          resource: "pgha-orders",
          meta: {
            promotable: "true",
            "promoted-max": "1",
            "promoted-node-max": "1",
            "clone-max": "3",
            "clone-node-max": "1",
            notify: "true",
            "migration-threshold": "5",
            "failure-timeout": "60s",
            "resource-stickiness": "10",
          },
        },
      },
      constraints: {
        "pgha-orders-addresses-with-primary": {
          type: "colocation",
          rsc: "pgha-orders-addresses",
          "with-rsc": "pgha-orders-clone",
          "with-rsc-role": "Promoted",
          score: "INFINITY",
        },
        "pgha-orders-addresses-after-promote": {
          type: "order",
          kind: "Mandatory",
          symmetrical: "false",
          first: "pgha-orders-clone",
          // biome-ignore lint/suspicious/noThenProperty: Pacemaker's word
          then: "pgha-orders-addresses",
          "first-action": "promote",
          "then-action": "start",
        },
        "pgha-orders-addresses-until-demote": {
          type: "order",
          kind: "Mandatory",
          symmetrical: "false",
          first: "pgha-orders-clone",
          // biome-ignore lint/suspicious/noThenProperty: Pacemaker's word
          then: "pgha-orders-addresses",
          "first-action": "demote",
          "then-action": "stop",
        },
      },
      fencing: {},
      fencingLevels: {},
    });
  });

  it("keeps the readers' address where an instance runs, and rather on a standby", () => {
    const { groups, constraints } = configuration({
      orders: { virtualIps: { primary: "198.51.100.50/24", readers: "198.51.100.51/24" } },
    });
    expect(groups).toEqual({
      "pgha-orders-addresses": { members: ["pgha-orders-primary-ip"], meta: { "failure-timeout": "60s" } },
      "pgha-orders-readers": {
        members: ["pgha-orders-readers-ip"],
        meta: { "failure-timeout": "60s", "resource-stickiness": "50" },
      },
    });
    const colocation = {
      type: "colocation",
      rsc: "pgha-orders-readers",
      "with-rsc": "pgha-orders-clone",
      influence: "false",
    };
    expect(constraints).toMatchObject({
      "pgha-orders-readers-with-member": { ...colocation, score: "INFINITY" },
      "pgha-orders-readers-rather-standby": { ...colocation, "with-rsc-role": "Promoted", score: "-100" },
    });
    expect(constraints["pgha-orders-readers-with-member"]).not.toHaveProperty("with-rsc-role");
  });

  it("bars a host without a member altogether, and a member that is no candidate from being promoted", () => {
    const stock = { postgresVersion: 17, primary: "pg1", failover: { manager: "pacemaker" } };
    const [declaration] = parsed({
      hosts: Object.fromEntries(
        [1, 2, 3, 4].map((n) => [`pg${n}`, { address: `198.51.100.1${n}`, hostKey: "ssh-ed25519 AAAA x" }]),
      ),
      clusters: {
        orders: { ...stock, members: { pg1: {}, pg2: {}, pg3: { candidate: false } } },
        stock: {
          ...stock,
          members: { pg1: { port: 5433 }, pg2: { port: 5433 }, pg3: { port: 5433 }, pg4: { port: 5433 } },
        },
      },
      pacemaker: { main: { fencing: { none: sentence } } },
    }).pacemaker;
    expect(declaration && configurationOf(declaration).constraints).toEqual({
      "pgha-orders-not-on-pg4": {
        type: "location",
        rsc: "pgha-orders-clone",
        score: "-INFINITY",
        "resource-discovery": "never",
        node: "pg4",
      },
      "pgha-orders-never-promoted-on-pg3": {
        type: "location",
        rsc: "pgha-orders-clone",
        score: "-INFINITY",
        role: "Promoted",
        node: "pg3",
      },
    });
  });
});

describe("what is written is what is read again", () => {
  it("into an empty configuration", () => {
    expect(seen(applies)).toEqual(wanted);
    expect(changeCib(applies, wanted)).toBeUndefined();
  });

  it("as Pacemaker's own tools would write it", () => {
    expect(applies).toContain(
      '<op id="pgha-orders-monitor-interval-3s" name="monitor" interval="3s" timeout="10s" role="Promoted"/>',
    );
    expect(applies).toContain('<op id="pgha-orders-start-interval-0s" name="start" timeout="60s" interval="0s"/>');
    expect(applies).toContain('<nvpair id="pgha-orders-instance_attributes-pgport" name="pgport" value="5432"/>');
    expect(applies).toContain('<primitive id="pgha-orders" class="ocf" provider="heartbeat" type="pgsqlms">');
    expect(applies).toContain(
      '<rsc_colocation id="pgha-orders-addresses-with-primary" rsc="pgha-orders-addresses" with-rsc="pgha-orders-clone" with-rsc-role="Promoted" score="INFINITY"/>',
    );
    expect(applies).toContain(
      '<nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>',
    );
  });

  it("as the version after the one that was read, so that Pacemaker refuses it when another change came first", () => {
    expect(applies).toContain('epoch="8" num_updates="0" admin_epoch="0"');
  });

  it("and every id is there once", () => {
    const ids = [...applies.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    const inConfiguration = ids.filter((id) => !/^[12]$/.test(id ?? ""));
    expect(inConfiguration.length).toBeGreaterThan(40);
    expect(new Set(inConfiguration).size).toBe(inConfiguration.length);
  });
});

describe("what others have in the configuration", () => {
  const theirs = `<!-- the web team's -->
    <primitive id="web" class="systemd" type="nginx"><operations/></primitive>`;
  const rule = '<rsc_location id="web-on-pg1" rsc="web" node="pg1" score="10"/>';
  const option = '<nvpair id="x" name="cluster-recheck-interval" value="5min"/>';
  const before = cib({ resources: theirs, constraints: rule, options: option });

  it("stays as it is, with its comments and its place, and is nothing of ours", () => {
    const after = applied(before, wanted);
    for (const kept of [theirs, rule, option]) expect(after).toContain(kept);
    expect(seen(after)).toEqual(wanted);
    expect(readCib(after, []).foreignResources).toEqual(["web"]);
  });

  it("becomes ours where it is declared, and goes when it no longer is", () => {
    const declared = { ...wanted, properties: { ...wanted.properties, "cluster-recheck-interval": "2min" } };
    const after = applied(before, declared);
    expect(after).toContain('<nvpair id="x" name="cluster-recheck-interval" value="2min"/>');
    expect(applied(after, wanted, Object.keys(declared.properties))).not.toContain("cluster-recheck-interval");
  });
});

it("what would make two primaries or none of a divided cluster is put right, though nobody declares it", () => {
  const changed = byHand(applies, 'name="no-quorum-policy" value="stop"', 'name="no-quorum-policy" value="ignore"');
  expect(seen(changed).properties["no-quorum-policy"]).toBe("ignore");
  expect(seen(applied(changed, wanted))).toEqual(wanted);
});

describe("what was changed by hand", () => {
  it.each<[string, string, (live: PacemakerConfiguration) => unknown, unknown]>([
    [
      "another timeout of an operation",
      byHand(applies, 'name="promote" timeout="60s"', 'name="promote" timeout="5s"'),
      (live) => live.resources["pgha-orders"]?.operations.promote,
      { timeout: "5s" },
    ],
    [
      "a parameter, in a set that a tool added",
      byHand(
        applies,
        '<primitive id="pgha-orders" class="ocf" provider="heartbeat" type="pgsqlms">',
        '<primitive id="pgha-orders" class="ocf" provider="heartbeat" type="pgsqlms"><instance_attributes id="other"><nvpair id="other-maxlag" name="maxlag" value="1"/></instance_attributes>',
      ),
      (live) => live.resources["pgha-orders"]?.parameters.maxlag,
      "1",
    ],
    [
      "a second monitor",
      byHand(applies, "</operations>", '<op id="o" name="monitor" role="Promoted" interval="30s"/></operations>'),
      (live) => live.resources["pgha-orders"]?.operations["monitor Promoted 30s"],
      { interval: "30s" },
    ],
    [
      "a resource that was disabled",
      byHand(
        applies,
        '<meta_attributes id="pgha-orders-clone-meta_attributes">',
        '<meta_attributes id="pgha-orders-clone-meta_attributes"><nvpair id="t" name="target-role" value="Stopped"/>',
      ),
      (live) => live.clones["pgha-orders-clone"]?.meta["target-role"],
      "Stopped",
    ],
    [
      "a constraint that is gone",
      byHand(applies, /<rsc_colocation [^>]*>/, ""),
      (live) => Object.keys(live.constraints),
      ["pgha-orders-addresses-after-promote", "pgha-orders-addresses-until-demote"],
    ],
    [
      "a ban that pcs resource move left behind",
      byHand(
        applies,
        "</constraints>",
        '<rsc_location id="cli-ban-pgha-orders-clone-on-pg2" rsc="pgha-orders-clone" role="Promoted" node="pg2" score="-INFINITY"/></constraints>',
      ),
      (live) => live.constraints["cli-ban-pgha-orders-clone-on-pg2"],
      { type: "location", rsc: "pgha-orders-clone", role: "Promoted", node: "pg2", score: "-INFINITY" },
    ],
    [
      "a resource of our name that is none of ours",
      byHand(
        applies,
        "</resources>",
        '<primitive id="pgha-spare" class="ocf" provider="heartbeat" type="Dummy"/></resources>',
      ),
      (live) => live.resources["pgha-spare"],
      { agent: "ocf:heartbeat:Dummy", parameters: {}, operations: {}, meta: {} },
    ],
    [
      "fencing that was switched on",
      byHand(applies, 'name="stonith-enabled" value="false"', 'name="stonith-enabled" value="true"'),
      (live) => live.properties,
      { "stonith-enabled": "true", ...guarded },
    ],
    [
      "a group that is gone",
      byHand(applies, /<group .*<\/group>/, ""),
      (live) => [live.groups, live.resources["pgha-orders-primary-ip"]],
      [{}, undefined],
    ],
  ])("%s is seen, and is put right", (_what, text, found, value) => {
    expect(found(seen(text))).toEqual(value);
    const repaired = applied(text, wanted);
    expect(seen(repaired)).toEqual(wanted);
    expect(changeCib(repaired, wanted)).toBeUndefined();
  });

  it("a part that somebody leaves alone for now is no difference, is told, and survives a repair of the rest", () => {
    const passing = '<nvpair id="m" name="maintenance" value="true"/>';
    const set = '<meta_attributes id="pgha-orders-clone-meta_attributes">';
    const left = byHand(applies, set, `${set}${passing}`);
    expect(changeCib(left, wanted)).toBeUndefined();
    expect(readCib(left, []).inMaintenance).toEqual(["pgha-orders-clone"]);
    const repaired = applied(byHand(left, 'name="promote" timeout="60s"', 'name="promote" timeout="5s"'), wanted);
    expect(seen(repaired)).toEqual(wanted);
    expect(readCib(repaired, []).inMaintenance).toEqual(["pgha-orders-clone"]);
  });

  it("only what differs is built anew: the rest keeps its ids", () => {
    const byTool = byHand(applies, /pgha-orders-primary-ip-instance_attributes/g, "made-by-a-tool");
    expect(changeCib(byTool, wanted)).toBeUndefined();
    const clone = byHand(byTool, 'name="promote" timeout="60s"', 'name="promote" timeout="5s"');
    expect(applied(clone, wanted)).toContain('id="made-by-a-tool"');
  });
});

describe("what is no longer declared", () => {
  it("goes: an address with its group and its constraints", () => {
    const without = configuration({ orders: { virtualIps: {} } });
    const after = applied(applies, without);
    expect(seen(after)).toEqual(without);
    expect(after).not.toContain("primary-ip");
    expect(after).not.toContain("rsc_colocation");
  });
});

describe("fence devices", () => {
  const power = {
    agent: "fence_apc",
    hosts: ["pg1", "pg2", "pg3"],
    parameters: { ip: "192.0.2.100" },
    secretParameters: { password: "power" },
  };
  const fenced = configuration({ main: { fencing: { devices: { power } } } });
  const secrets = { power: "hunter2" };

  it("are resources of their own, with fencing switched on and the secret's name in its place", () => {
    expect(fenced.properties).toEqual({ "stonith-enabled": "true", "stonith-max-attempts": "INFINITY", ...guarded });
    expect(fenced.fencing).toEqual({
      "pgha-fence-power": {
        agent: "stonith:fence_apc",
        parameters: {
          pcmk_host_check: "static-list",
          pcmk_host_list: "pg1 pg2 pg3",
          ip: "192.0.2.100",
          password: "(pgha:fencingSecrets.power)",
        },
        operations: { monitor: { interval: "60s", timeout: "60s" } },
        meta: { "failure-timeout": "60s" },
      },
    });
  });

  it("get their secret, and what is read of them never shows it", () => {
    const text = applied(cib(), revealSecrets(fenced, secrets));
    expect(text).toContain('<primitive id="pgha-fence-power" class="stonith" type="fence_apc">');
    expect(text).toContain('name="password" value="hunter2"');
    expect(concealSecrets(readCib(text, Object.keys(fenced.properties)).own, fenced, secrets)).toEqual(fenced);
  });

  it("whose secret was changed by hand, or got one more, differ without showing either", () => {
    const text = applied(cib(), revealSecrets(fenced, secrets));
    const changed = byHand(
      text,
      'name="password" value="hunter2"/>',
      'name="password" value="hunter3"/><nvpair id="p" name="login_password" value="hunter4"/>',
    );
    const live = concealSecrets(readCib(changed, Object.keys(fenced.properties)).own, fenced, secrets);
    expect(live.fencing["pgha-fence-power"]?.parameters).toEqual({
      ...fenced.fencing["pgha-fence-power"]?.parameters,
      password: "(another value)",
      login_password: "(another value)",
    });
  });
});

describe("fencing levels", () => {
  const device = (host: string) => ({ agent: "fence_apc", hosts: { [host]: "7" } });
  const devices = {
    board: device("pg1"),
    "pdu-a": device("pg1"),
    "pdu-b": device("pg1"),
    rest: { agent: "fence_apc", hosts: ["pg2", "pg3"] },
  };
  const levels = { pg1: [["board"], ["pdu-a", "pdu-b"]] };
  const levelled = configuration({ main: { fencing: { devices, levels } } });

  it("say what is tried first on a host, and what the device calls it", () => {
    expect(levelled.fencing["pgha-fence-board"]?.parameters.pcmk_host_map).toBe("pg1:7");
    expect(levelled.fencingLevels).toEqual({
      "pgha-level-pg1-1": { target: "pg1", index: "1", devices: "pgha-fence-board" },
      "pgha-level-pg1-2": { target: "pg1", index: "2", devices: "pgha-fence-pdu-a,pgha-fence-pdu-b" },
    });
    const text = applied(cib(), levelled);
    expect(seen(text, levelled)).toEqual(levelled);
    expect(changeCib(text, levelled)).toBeUndefined();
  });

  it("of ours that were changed by hand, or added, are put right; those of other devices stay", () => {
    const text = byHand(
      applied(cib(), levelled),
      "<fencing-topology>",
      '<fencing-topology><fencing-level id="fl-1" target="pg2" index="1" devices="theirs"/><fencing-level id="fl-2" target="pg2" index="1" devices="pgha-fence-rest"/>',
    );
    const changed = byHand(text, 'devices="pgha-fence-board"', 'devices="pgha-fence-pdu-a"');
    expect(seen(changed).fencingLevels["pgha-level-pg1-1"]?.devices).toBe("pgha-fence-pdu-a");
    const repaired = applied(changed, levelled);
    expect(seen(repaired, levelled)).toEqual(levelled);
    expect(repaired).toContain('id="fl-1"');
    expect(repaired).not.toContain('id="fl-2"');
  });

  it("go when they are no longer declared", () => {
    const without = configuration({ main: { fencing: { devices } } });
    const repaired = applied(applied(cib(), levelled), without);
    expect(seen(repaired, without)).toEqual(without);
    expect(repaired).not.toContain("<fencing-level");
  });
});

describe("the state of the cluster", () => {
  it("is told by who joined, the quorum, the coordinator's properties and the version", () => {
    const { joined, quorum, settled, version } = readCib(cib(), []);
    expect({ joined, quorum, settled, version }).toEqual({
      joined: ["pg1"],
      quorum: true,
      settled: true,
      version: [0, 7, 12],
    });
  });

  it("of Pacemaker before 2.1.7 too, and a node that is gone has not joined", () => {
    expect(readCib(cib({ crmd: "online" }), []).joined).toEqual(["pg1"]);
    expect(readCib(cib({ crmd: "0" }), []).joined).toEqual([]);
    expect(readCib(cib({ crmd: "offline" }), []).joined).toEqual([]);
  });

  it("is not there where something else answers", () => {
    expect(() => readCib("Connection refused", [])).toThrow(
      "cibadmin: found another answer, expected Pacemaker's configuration as XML.",
    );
  });
});
