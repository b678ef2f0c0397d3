import { describe, expect, it } from "vitest";
import { orders, parsed } from "../../test/support/stackFiles.ts";
import { configurationOf, type PacemakerConfiguration } from "./configuration.ts";
import { numberNodes, renderCorosyncConf } from "./corosyncConf.ts";
import type { PacemakerDeclaration } from "./declaration.ts";
import { deviceIn } from "./quorum.ts";

/** Of a stack file with this number of hosts, all of them members of the cluster orders and fenced, and a host "arbiter". */
const guarded = { "no-quorum-policy": "stop", "startup-fencing": "true", "stop-all-resources": "false" };

function declaration(hosts: number, main: object = {}): PacemakerDeclaration {
  const names = Array.from({ length: hosts }, (_, index) => `pg${index + 1}`);
  const [found] = parsed({
    hosts: Object.fromEntries(
      [...names, "arbiter"].map((name, index) => [
        name,
        { address: `198.51.100.1${index}`, hostKey: "ssh-ed25519 AAAA x" },
      ]),
    ),
    clusters: {
      orders: {
        ...orders,
        members: Object.fromEntries(names.map((name) => [name, {}])),
        failover: { manager: "pacemaker" },
      },
    },
    pacemaker: { main: { fencing: { devices: { power: { agent: "fence_apc", hosts: names } } }, ...main } },
  }).pacemaker;
  if (found === undefined) throw new Error("no Corosync cluster");
  return found;
}

function configuration(hosts: number, main: object = {}): PacemakerConfiguration {
  return configurationOf(declaration(hosts, main));
}

const priorityOf = ({ clones }: PacemakerConfiguration) => clones["pgha-orders-clone"]?.meta.priority;

describe("two hosts that do not hear each other", () => {
  it("both want to switch the other off: the one without the primary waits, so that the primary goes on", () => {
    const two = configuration(2);
    expect(two.properties).toEqual({
      "stonith-enabled": "true",
      ...guarded,
      "stonith-max-attempts": "INFINITY",
      "priority-fencing-delay": "10s",
    });
    expect(priorityOf(two)).toBe("1");
  });

  it("wait as long as it is declared, or not at all", () => {
    const longer = configuration(2, { properties: { "priority-fencing-delay": "30s" } });
    expect(longer.properties["priority-fencing-delay"]).toBe("30s");
    expect(priorityOf(longer)).toBe("1");
    const none = configuration(2, { properties: { "priority-fencing-delay": 0 } });
    expect(none.properties["priority-fencing-delay"]).toBe("0");
    expect(priorityOf(none)).toBeUndefined();
  });
});

it("of three hosts the majority decides, and nobody waits", () => {
  const three = configuration(3);
  expect(three.properties).toEqual({ "stonith-enabled": "true", "stonith-max-attempts": "INFINITY", ...guarded });
  expect(priorityOf(three)).toBeUndefined();
});

describe("a quorum device", () => {
  const quorumDevice = { host: "arbiter" };

  it("decides between two hosts: the one without its vote neither runs anything nor fences, and nobody waits", () => {
    const { properties } = configuration(2, { quorumDevice });
    expect(properties).toEqual({ "stonith-enabled": "true", "stonith-max-attempts": "INFINITY", ...guarded });
  });

  it("makes fencing dispensable for two hosts, where its consequence is accepted", () => {
    const fencing = { none: "a cut-off primary may go on accepting writes" };
    expect(declaration(2, { quorumDevice, fencing }).quorumDevice?.host).toBe("arbiter");
  });

  it("is reached over the first ring, and splits an even number of hosts; of an odd one the last man stands", () => {
    expect(declaration(2, { quorumDevice }).quorumDevice).toEqual({
      host: "arbiter",
      address: "198.51.100.12",
      algorithm: "ffsplit",
      clusters: { orders: 5432 },
    });
    expect(declaration(3, { quorumDevice }).quorumDevice?.algorithm).toBe("lms");
    const chosen = { ...quorumDevice, algorithm: "lms" };
    expect(declaration(2, { quorumDevice: chosen }).quorumDevice?.algorithm).toBe("lms");
  });

  function conf(hosts: number, algorithm?: string): string {
    const {
      name,
      hosts: nodes,
      detection,
      quorumDevice: device,
    } = declaration(hosts, {
      detection: "fast",
      quorumDevice: { ...quorumDevice, ...(algorithm === undefined ? {} : { algorithm }) },
    });
    return renderCorosyncConf({ name, detection, nodes: numberNodes(nodes), device });
  }

  it("is in corosync.conf with TLS, and with the command by which the half with the primary is preferred", () => {
    expect(conf(2)).toContain(`
quorum {
  provider: corosync_votequorum
  device {
    model: net
    votes: 1
    timeout: 2000
    sync_timeout: 6000
    net {
      tls: required
      host: 198.51.100.12
      algorithm: ffsplit
    }
    # Of two equal halves the one with the primary gets the vote: a server runs, which a former primary's does not after a boot.
    heuristics {
      mode: on
      interval: 2000
      exec_orders: /usr/bin/test -S /var/run/postgresql/.s.PGSQL.5432 -a ! -e /var/lib/pgha/orders/data/standby.signal
    }
  }
}
`);
  });

  it("has as many votes as it needs where the last man stands", () => {
    expect(conf(2, "lms")).not.toContain("votes:");
  });

  it("is found again in a corosync.conf, so that a change of it is told from any other", () => {
    const [own, none] = [conf(2), renderCorosyncConf({ name: "main", detection: "fast", nodes: {} })];
    expect(deviceIn(own)?.split("\n")).toHaveLength(17);
    expect(deviceIn(own.replace("token: 1000", "token: 3000"))).toBe(deviceIn(own));
    expect(deviceIn(conf(2, "lms"))).not.toBe(deviceIn(own));
    expect(deviceIn(none)).toBeUndefined();
  });
});
