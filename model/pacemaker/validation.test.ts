import { describe, expect, it } from "vitest";
import { type Data, faults, hostKey, hosts, orders, parsed } from "../../test/support/stackFiles.ts";

const sentence = "a cut-off primary may go on accepting writes";
const underPacemaker = { ...orders, failover: { manager: "pacemaker" } };

/** A stack file whose cluster orders is under Pacemaker, with these changes. */
function stackFile(changes: { main?: Data; orders?: Data; hosts?: Data } & Data = {}): Data {
  const { main, orders: cluster, hosts: own, ...rest } = changes;
  return {
    hosts: own ?? hosts,
    clusters: { orders: { ...underPacemaker, ...cluster } },
    pacemaker: { main: { fencing: { none: sentence }, ...main } },
    ...rest,
  };
}

describe("a cluster under Pacemaker", () => {
  it("belongs to the only Corosync cluster, whose nodes are its members' hosts", () => {
    const { clusters, pacemaker } = parsed(
      stackFile({ hosts: { ...hosts, other: { address: "198.51.100.19", hostKey } } }),
    );
    expect(clusters[0]?.failover).toEqual({ manager: "pacemaker", agent: "paf", corosync: "main" });
    expect(pacemaker).toEqual([
      {
        name: "main",
        hosts: [
          { name: "pg1", addresses: ["198.51.100.11"] },
          { name: "pg2", addresses: ["198.51.100.12"] },
          { name: "pg3", addresses: ["198.51.100.13"] },
        ],
        detection: "normal",
        fencing: [],
        fencingLevels: {},
        properties: {},
        clusters,
      },
    ]);
  });

  it("has an address on every ring, devices with their secrets, and properties as text", () => {
    const onTwo = Object.fromEntries(
      [1, 2, 3].map((number) => [
        `pg${number}`,
        { address: { service: `198.51.100.1${number}`, cluster: `192.0.2.1${number}` }, hostKey },
      ]),
    );
    const power = {
      agent: "fence_apc",
      package: "fence-agents-apc",
      hosts: ["pg1", "pg2", "pg3"],
      parameters: { ip: "192.0.2.100", telnet: true },
      secretParameters: { password: "power" },
    };
    const [main] = parsed(
      stackFile({
        hosts: onTwo,
        main: {
          rings: ["cluster", "service"],
          detection: "fast",
          fencing: { devices: { power } },
          properties: { "cluster-recheck-interval": 60 },
        },
      }),
    ).pacemaker;
    expect(main?.hosts[0]).toEqual({ name: "pg1", addresses: ["192.0.2.11", "198.51.100.11"] });
    expect(main?.fencing).toEqual([
      {
        name: "power",
        ...power,
        hosts: [{ name: "pg1" }, { name: "pg2" }, { name: "pg3" }],
        parameters: { ip: "192.0.2.100", telnet: "true" },
      },
    ]);
    expect(main?.detection).toBe("fast");
    expect(main?.properties).toEqual({ "cluster-recheck-interval": "60" });
  });

  it("may have its virtual IPs with or without an interface", () => {
    const [cluster] = parsed(
      stackFile({
        networks: { far: "203.0.113.0/24" },
        orders: {
          virtualIps: { primary: "198.51.100.50/24", replication: { address: "203.0.113.50/24", nic: "eth1" } },
        },
      }),
    ).clusters;
    expect(cluster?.virtualIps).toEqual({
      primary: { address: "198.51.100.50", prefix: 24 },
      replication: { address: "203.0.113.50", prefix: 24, nic: "eth1" },
    });
  });
});

const power = { agent: "fence_apc", hosts: ["pg1", "pg2", "pg3"] };

describe("refused is", () => {
  it.each<[string, Parameters<typeof stackFile>[0], string[]]>([
    [
      "no word about fencing",
      { main: { fencing: undefined } },
      [
        `pgha:pacemaker.main.fencing: found nothing, expected { devices: ... }, or { none: "${sentence}" }. Declare what switches a silent host off: without it, nobody can be sure that it is silent for good.`,
      ],
    ],
    [
      "another sentence than the one that accepts the consequence",
      { main: { fencing: { none: "yes" } } },
      [
        `pgha:pacemaker.main.fencing.none: found yes, expected exactly "${sentence}". Write that sentence, or declare fencing devices.`,
      ],
    ],
    [
      "no device, and not the sentence either",
      { main: { fencing: { devices: {} } } },
      [
        `pgha:pacemaker.main.fencing: found {"devices":{}}, expected either devices, or none: "${sentence}". Write one of the two: without fencing devices a cut-off primary may go on accepting writes.`,
      ],
    ],
    [
      "the sentence beside devices",
      { main: { fencing: { none: sentence, devices: { power } } } },
      [expect.stringContaining("expected either devices, or none:")],
    ],
    [
      "a host that no device can switch off, and a device for a host that is none",
      { main: { fencing: { devices: { power: { ...power, hosts: ["pg1", "pg2", "pg4"] } } } } },
      [
        "pgha:pacemaker.main.fencing.devices.power.hosts.2: found pg4, expected a host of this Corosync cluster (pg1, pg2, pg3). Correct it.",
        "pgha:pacemaker.main.fencing.devices: found no device that can switch off pg3, expected one for every host: what ran on a host without one is never taken over. Add it to a device's hosts:, or declare another device.",
      ],
    ],
    [
      "a parameter twice, and one that is ours to write",
      {
        main: {
          fencing: {
            devices: {
              power: {
                ...power,
                parameters: { password: "clear", pcmk_host_list: "pg1" },
                secretParameters: { password: "power" },
              },
            },
          },
        },
      },
      [
        "pgha:pacemaker.main.fencing.devices.power.parameters.pcmk_host_list: found a parameter that follows from hosts:, expected it to be left out. Remove it.",
        "pgha:pacemaker.main.fencing.devices.power.secretParameters.password: found password, which parameters: has too, expected each parameter once. Remove one of the two.",
      ],
    ],
    [
      "an agent that is none, and hosts that are not named",
      { main: { fencing: { devices: { power: { agent: "ipmi" } } } } },
      [
        "pgha:pacemaker.main.fencing.devices.power.agent: found ipmi, expected the name of a fence agent such as fence_ipmilan. Name the program that switches hosts off.",
        "pgha:pacemaker.main.fencing.devices.power.hosts: found nothing, expected the hosts that it can switch off, such as [pg1, pg2], or with what the device calls each: { pg1: vm-17 }. Name them.",
      ],
    ],
    [
      "to go on without quorum, and properties that are decided elsewhere",
      { main: { properties: { "no-quorum-policy": "ignore", "stonith-enabled": false } } },
      [
        "pgha:pacemaker.main.properties.no-quorum-policy: found ignore, expected anything else: each half of a divided cluster would promote a primary of its own. Remove it: without quorum everything is stopped then.",
        "pgha:pacemaker.main.properties.stonith-enabled: found false, expected it to follow from fencing:. Remove it.",
      ],
    ],
    [
      "a ring that is no network of a host, one twice, and two on one address",
      { main: { rings: ["cluster", "cluster", "service"] } },
      [
        "pgha:pacemaker.main.rings.1: found cluster twice, expected each network once. Remove one of the two.",
        ...[1, 2, 3].map(
          (number) =>
            `pgha:pacemaker.main.rings.2: found 198.51.100.1${number} as pg${number}'s service address, which is also pg${number}'s cluster address, expected an address of its own for every ring of every host. Declare address.service of pg${number}, or remove the ring.`,
        ),
      ],
    ],
    [
      "two hosts between which nothing decides",
      { orders: { members: { pg1: {}, pg2: {} } } },
      [
        "pgha:pacemaker.main: found 2 hosts (of the members of orders) without fencing and without a quorum device, expected something that decides between two hosts that do not hear each other: otherwise both become primary, or neither. Declare fencing devices, or quorumDevice: { host: ... } on a third host, or add a member there.",
      ],
    ],
    [
      "one host",
      { orders: { members: { pg1: {} } } },
      [
        "pgha:pacemaker.main: found 1 host (of the members of orders), expected at least 2: one for the other. Add members on further hosts.",
      ],
    ],
    [
      "a quorum device on one of the nodes, and an odd number of hosts made even by its vote",
      { main: { quorumDevice: { host: "pg3", algorithm: "ffsplit" } } },
      [
        "pgha:pacemaker.main.quorumDevice.host: found pg3, which is one of its nodes, expected a host of pgha:hosts that has no member in this Corosync cluster (there is none). Declare another host: a device that dies with a node decides nothing.",
        "pgha:pacemaker.main.quorumDevice.algorithm: found ffsplit with 3 hosts, expected lms with an odd number of hosts: by one vote more that number would be even, and could be halved. Write lms, or remove the quorum device.",
      ],
    ],
    [
      "a quorum device on a host that is not declared",
      { orders: { members: { pg1: {}, pg2: {} } }, main: { quorumDevice: { host: "arbiter" } } },
      [
        "pgha:pacemaker.main.quorumDevice.host: found arbiter, which is not declared, expected a host of pgha:hosts that has no member in this Corosync cluster (pg3). Correct it, or declare it.",
      ],
    ],
    [
      "a Corosync cluster that nobody needs",
      { orders: { failover: { manager: "none" } } },
      [
        "pgha:pacemaker.main: found no cluster that fails over by it, expected at least one with failover: { manager: pacemaker }. Write that in a cluster, or remove this entry.",
      ],
    ],
    [
      "a Corosync cluster that is not declared",
      { orders: { failover: { manager: "pacemaker", corosync: "other" } } },
      [
        "pgha:clusters.orders.failover.corosync: found other, which is not declared, expected a Corosync cluster of pgha:pacemaker (main). Declare it there, or name one of them.",
        "pgha:pacemaker.main: found no cluster that fails over by it, expected at least one with failover: { manager: pacemaker }. Write that in a cluster, or remove this entry.",
      ],
    ],
    [
      "an agent that is none",
      { orders: { failover: { manager: "pacemaker", agent: "patroni" } } },
      [
        'pgha:clusters.orders.failover.agent: found patroni, expected "paf" or "pgsql". Write one of the two.',
        "pgha:pacemaker.main: found no cluster that fails over by it, expected at least one with failover: { manager: pacemaker }. Write that in a cluster, or remove this entry.",
      ],
    ],
    [
      "a member that has not its host's name, and another port on one host",
      { orders: { members: { pg1: {}, pg2: { port: 5433 }, third: { host: "pg3" } } } },
      [
        "pgha:clusters.orders.members.pg2.port: found 5433, and 5432 of pg1, expected under Pacemaker the same port on every host. Give all members one port.",
        "pgha:clusters.orders.members.third: found third on the host pg3, expected under Pacemaker a member that has its host's name: the agent tells standbys by it. Name the member pg3.",
      ],
    ],
    [
      "a member that is called as something else on its host",
      { orders: { members: { pg1: {}, pg2: {}, data: { host: "pg3" } } } },
      [
        "pgha:clusters.orders.members.data: found data on the host pg3, expected under Pacemaker a member that has its host's name: the agent tells standbys by it. Name the member pg3.",
        "pgha:clusters.orders.members.data: found data, expected under Pacemaker another name: what its agent works with is called so, beside the members. Rename the member and its host.",
      ],
    ],
    [
      "a virtual IP outside every network, and one that is a host's own",
      { orders: { virtualIps: { primary: "203.0.113.50/24", replication: "198.51.100.12/24" } } },
      [
        "pgha:clusters.orders.virtualIps.primary: found 203.0.113.50/24, outside every network of the hosts (198.51.100.11, 198.51.100.12, 198.51.100.13), expected an address where the hosts are. Correct the address, or declare its network under pgha:networks and name the interface: { address: ..., nic: ... }.",
        "pgha:clusters.orders.virtualIps.replication: found 198.51.100.12, which is pg2's own, expected an address that no host has: it moves with the primary. Choose a free address of that network.",
      ],
    ],
    [
      "a virtual IP in whose network one of the hosts is not",
      {
        hosts: { ...hosts, pg3: { address: "203.0.113.13", hostKey } },
        orders: { virtualIps: { primary: "198.51.100.50/24" } },
      },
      [
        "pgha:clusters.orders.virtualIps.primary: found 198.51.100.50/24, in which pg3 has no address, expected a network that every member's host is in, so that its interface is known. Correct the address, or name the interface: { address: 198.51.100.50/24, nic: ... }.",
      ],
    ],
    [
      "one virtual IP for two",
      { orders: { virtualIps: { primary: "198.51.100.50/24", replication: "198.51.100.50/24" } } },
      [
        "pgha:clusters.orders.virtualIps.replication: found 198.51.100.50, which orders.primary has, expected an address of its own for every virtual IP. Give one of them another address.",
      ],
    ],
  ])("%s", (_what, changes, expected) => {
    expect(faults(stackFile(changes))).toEqual(expected);
  });

  it("a former primary that comes back by itself where nothing is to be brought back but by hand", () => {
    const failover = { manager: "pacemaker", autoRejoin: true };
    expect(faults(stackFile({ orders: { failover, rejoin: "manual" } }))).toEqual([
      "pgha:clusters.orders.failover.autoRejoin: found true, and rejoin: manual, expected rejoin: auto or rewind-only, which let a former primary be brought back. Write one of them, or remove autoRejoin.",
    ]);
    const { clusters } = parsed(stackFile({ orders: { failover, rejoin: "rewind-only" } }));
    expect(clusters[0]?.failover).toEqual({ manager: "pacemaker", agent: "paf", corosync: "main", autoRejoin: true });
  });

  it("a virtual IP where nobody would move it", () => {
    expect(faults({ clusters: { orders: { ...orders, virtualIps: { primary: "198.51.100.50/24" } } } })).toEqual([
      "pgha:clusters.orders.virtualIps: found virtual IPs without a failover manager, expected failover: { manager: pacemaker }, which moves them with the primary. Write it, or remove the virtual IPs.",
    ]);
  });

  it("no Corosync cluster at all", () => {
    expect(faults({ clusters: { orders: underPacemaker } })).toEqual([
      "pgha:clusters.orders.failover.corosync: found main, which is not declared, expected a Corosync cluster of pgha:pacemaker (none is declared). Declare it there, or name one of them.",
    ]);
  });

  it("a host in two Corosync clusters, and two clusters whose resources would have one name", () => {
    const named = (corosync: string) => ({ manager: "pacemaker", corosync });
    const ports = (port: number) => ({ pg1: { port }, pg2: { port }, pg3: { port } });
    const fencing = { none: sentence };
    expect(
      faults({
        pacemaker: { main: { fencing }, second: { fencing } },
        clusters: {
          orders: { ...orders, failover: named("main") },
          "orders-clone": { ...orders, members: ports(5433), failover: named("main") },
          stock: { ...orders, members: ports(5434), failover: named("second") },
        },
      }),
    ).toEqual([
      "pgha:clusters.orders-clone: found the name orders-clone, by which Pacemaker's pgha-orders-clone is orders's too, expected a name that gives its resources names of their own. Rename the cluster.",
      ...[1, 2, 3].map(
        (number) =>
          `pgha:pacemaker.second: found the host pg${number}, which belongs to main too, expected a host in one Corosync cluster. Let both clusters name the same one in failover.corosync.`,
      ),
    ]);
  });
});
