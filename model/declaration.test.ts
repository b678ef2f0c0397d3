import { describe, expect, it } from "vitest";
import { type Data, documented, faults, hostKey, hosts, orders, parsed } from "../test/support/stackFiles.ts";
import type { ClusterDeclaration } from "./declaration.ts";

function cluster(overrides: Data): ClusterDeclaration {
  const only = parsed({ clusters: { orders: { ...orders, ...overrides } } }).clusters[0];
  if (only === undefined) throw new Error("no cluster");
  return only;
}

/** Faults of cluster orders, without the path up to it. */
function clusterFaults(overrides: Data): string[] {
  return faults({ clusters: { orders: { ...orders, ...overrides } } }).map((text) =>
    text.replace(/^pgha:clusters\.orders\./, ""),
  );
}

const unknownKey =
  "found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).";

describe("a stack file without faults", () => {
  it("gets every default", () => {
    expect(cluster({ members: { pg1: null } })).toEqual({
      name: "orders",
      postgresVersion: 17,
      members: [
        {
          name: "pg1",
          host: "pg1",
          port: 5432,
          dataDirectory: "/var/lib/postgresql/17/orders-pg1",
          candidate: true,
          replicationAddress: "198.51.100.11",
          serviceAddress: "198.51.100.11",
          sshPort: 22,
          hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB pg",
        },
      ],
      primary: "pg1",
      synchronous: "off",
      parameters: {},
      clientNetworks: [],
      walSegmentSize: "16MB",
      slotSizeLimit: "10GB",
      failover: { manager: "none" },
      virtualIps: {},
      onDrift: "adopt",
      switchBackAfter: "10min",
      rejoin: "auto",
      onDestroy: "keep",
      disposableSlots: [],
      limits: {
        lagBytes: 16_777_216,
        lagSeconds: 10,
        transactionSeconds: 60,
        querySeconds: 10,
        senderSeconds: 4,
        archiveFiles: 8,
        walRoomBytes: 268_435_456,
        clockSeconds: 2,
        brokenRings: 0,
        stopSeconds: 30,
      },
    });
  });

  it("may name hosts, places and networks", () => {
    const environment = parsed({
      ssh: { user: "deploy", port: 2222, privateKeyFile: "~/.ssh/id", jump: { address: "bastion", hostKey } },
      hosts: {
        left: { address: { service: "198.51.100.11", replication: "203.0.113.11" }, hostKey, packages: ["htop"] },
        right: { address: "2001:db8::12", hostKey, sshPort: 22, user: "root" },
      },
      networks: { office: "192.0.2.0/24", replication: "203.0.113.0/24" },
      clusters: {
        orders: {
          ...orders,
          members: { a: { host: "left", port: 5433, dataDirectory: "/srv/a" }, b: { host: "right", candidate: false } },
          primary: "a",
          clientNetworks: ["office", "2001:db8::/32"],
          parameters: { jit: false, work_mem: "64MB", max_connections: 200 },
          onDestroy: "erase",
          eraseConfirmation: "orders",
        },
      },
    });
    const jump = {
      name: "the jump host",
      address: "bastion",
      port: 22,
      user: "root",
      hostKey,
      privateKeyFile: "~/.ssh/id",
      fields: {
        address: "pgha:ssh.jump.address",
        user: "pgha:ssh.jump.user",
        hostKey: "pgha:ssh.jump.hostKey",
        privateKeyFile: "pgha:ssh.privateKeyFile",
      },
    };
    expect(environment.hosts[0]).toEqual({
      name: "left",
      addresses: { service: "198.51.100.11", cluster: "198.51.100.11", replication: "203.0.113.11" },
      ssh: {
        name: "left",
        address: "198.51.100.11",
        port: 2222,
        user: "deploy",
        hostKey,
        privateKeyFile: "~/.ssh/id",
        fields: {
          address: "pgha:hosts.left.address",
          user: "pgha:ssh.user",
          hostKey: "pgha:hosts.left.hostKey",
          privateKeyFile: "pgha:ssh.privateKeyFile",
        },
        jump,
      },
      packages: ["htop"],
      commands: {},
    });
    expect(environment.hosts[1]?.ssh).toMatchObject({ address: "2001:db8::12", port: 22, user: "root" });
    expect(environment.hosts[1]?.ssh.fields?.user).toBe("pgha:hosts.right.user");
    const [declared] = environment.clusters;
    expect(
      declared?.members.map(({ name, host, port, candidate, replicationAddress }) => [
        name,
        host,
        port,
        candidate,
        replicationAddress,
      ]),
    ).toEqual([
      ["a", "left", 5433, true, "203.0.113.11"],
      ["b", "right", 5432, false, "2001:db8::12"],
    ]);
    expect(declared?.clientNetworks).toEqual(["192.0.2.0/24", "2001:db8::/32"]);
    expect(declared?.parameters).toEqual({ jit: "off", work_mem: "64MB", max_connections: "200" });
    expect(declared?.eraseConfirmation).toBe("orders");
  });

  it("may have several instances on a host, and hosts without any", () => {
    const invoices = { ...orders, members: { pg1: { port: 5433 } } };
    expect(parsed({ clusters: { orders, invoices } }).clusters.map(({ name }) => name)).toEqual(["orders", "invoices"]);
    expect(parsed({ clusters: {} }).clusters).toEqual([]);
  });

  it.each([15, 16, 17, 18])("may ask for PostgreSQL %i", (postgresVersion) => {
    expect(cluster({ postgresVersion }).members[0]?.dataDirectory).toBe(
      `/var/lib/postgresql/${postgresVersion}/orders-pg1`,
    );
  });

  it.each([["off"], [{ quorum: 2 }], [{ priority: 1 }]])("may be synchronous: %j", (synchronous) => {
    expect(cluster({ synchronous }).synchronous).toEqual(synchronous);
  });

  it("may let commits go on without standbys, after 30 s or as declared", () => {
    const underPacemaker = {
      failover: { manager: "pacemaker" },
    };
    const relaxed = (synchronous: object) => {
      const found = parsed({
        hosts,
        clusters: { orders: { ...orders, ...underPacemaker, synchronous } },
        pacemaker: { main: { fencing: { devices: { power: { agent: "fence_x", hosts: ["pg1", "pg2", "pg3"] } } } } },
      }).clusters[0];
      return [found?.synchronous, found?.relaxAfterSeconds];
    };
    expect(relaxed({ quorum: 1, onLoss: "block" })).toEqual([{ quorum: 1 }, undefined]);
    expect(relaxed({ quorum: 1, onLoss: "relax" })).toEqual([{ quorum: 1 }, 30]);
    expect(relaxed({ priority: 1, onLoss: "relax", relaxAfter: "2min" })).toEqual([{ priority: 1 }, 120]);
  });
});

describe("one fault of a cluster", () => {
  const nameRule = "a name of small letters, digits and hyphens, at most 40 characters. Rename it.";

  it.each<[string, Data, string[]]>([
    [
      "primary is no member",
      { primary: "pg9" },
      ["primary: found pg9, expected a member (pg1, pg2, pg3). Name a member."],
    ],
    [
      "primary is missing",
      { primary: undefined },
      ["primary: found nothing, expected the name of a member. Name the member that is to be primary."],
    ],
    [
      "primary may not be primary",
      { members: { pg1: { candidate: false }, pg2: {} } },
      [
        "primary: found pg1, which has candidate: false, expected a member that may be primary. Name another member, or remove candidate: false.",
      ],
    ],
    ["no members", { members: {} }, ["members: found none, expected at least one member. Name a member."]],
    ["members as a list", { members: ["pg1"] }, [`members: found ["pg1"], expected keys with values. ${documented}`]],
    [
      "a member's name",
      { members: { pg1: {}, PG_2: {} } },
      [`members.PG_2: found the name PG_2, expected ${nameRule}`],
    ],
    [
      "an unknown host of the member's own name",
      { members: { pg1: {}, pg4: {} } },
      [
        "members.pg4: found the host pg4, which is not declared, expected one of the hosts (pg1, pg2, pg3). Declare it under pgha:hosts, or write { host: ... }.",
      ],
    ],
    [
      "an unknown host",
      { members: { pg1: { host: "pg9" } } },
      [
        "members.pg1.host: found the host pg9, which is not declared, expected one of the hosts (pg1, pg2, pg3). Declare it under pgha:hosts, or write { host: ... }.",
      ],
    ],
    [
      "port 0",
      { members: { pg1: { port: 0 } } },
      ["members.pg1.port: found 0, expected a TCP port from 1 to 65535. Correct the port."],
    ],
    [
      "port 65536",
      { members: { pg1: { port: 65536 } } },
      ["members.pg1.port: found 65536, expected a TCP port from 1 to 65535. Correct the port."],
    ],
    [
      "a port as text",
      { members: { pg1: { port: "5432" } } },
      ['members.pg1.port: found "5432", expected a TCP port from 1 to 65535. Correct the port.'],
    ],
    [
      "two members on one host and port",
      { members: { pg1: {}, b: { host: "pg1" } } },
      [
        "members.b.port: found port 5432 on pg1, which orders.pg1 has, expected a port of its own for every instance of a host. Give one of them another port.",
      ],
    ],
    [
      "a directory inside another instance's",
      { members: { pg1: { dataDirectory: "/srv/a" }, b: { host: "pg1", port: 5433, dataDirectory: "/srv/a/b" } } },
      [
        "members.b.dataDirectory: found /srv/a/b on pg1, which overlaps /srv/a of orders.pg1, expected a directory of its own, not inside another instance's. Give one of them another directory.",
      ],
    ],
    [
      "a WAL directory around another instance's data",
      { members: { pg1: { dataDirectory: "/srv/a/b" }, b: { host: "pg1", port: 5433, walDirectory: "/srv/a" } } },
      [
        "members.b.walDirectory: found /srv/a on pg1, which overlaps /srv/a/b of orders.pg1, expected a directory of its own, not inside another instance's. Give one of them another directory.",
      ],
    ],
    [
      "a relative directory",
      { members: { pg1: { dataDirectory: "data" } } },
      [
        "members.pg1.dataDirectory: found data, expected an absolute path of letters, digits, dots, hyphens and underscores, without a slash at its end. Correct the path.",
      ],
    ],
    [
      "a directory with ..",
      { members: { pg1: { dataDirectory: "/srv/../etc" } } },
      [
        'members.pg1.dataDirectory: found /srv/../etc, expected a path without "..". Write the directory that is meant.',
      ],
    ],
    [
      "an unsupported version",
      { postgresVersion: 14 },
      ["postgresVersion: found 14, expected a supported major version (15, 16, 17, 18). Choose one of them."],
    ],
    [
      "a minor version",
      { postgresVersion: 17.2 },
      ["postgresVersion: found 17.2, expected a supported major version (15, 16, 17, 18). Choose one of them."],
    ],
    [
      "no version",
      { postgresVersion: undefined },
      ["postgresVersion: found nothing, expected a supported major version (15, 16, 17, 18). Choose one of them."],
    ],
    [
      "a quorum larger than the standbys",
      { synchronous: { quorum: 3 } },
      [
        'synchronous.quorum: found 3 with 2 candidate standbys, expected at most 2: otherwise no commit ever ends. Lower it, add members, or write synchronous: "off".',
      ],
    ],
    [
      "a quorum that only a non-candidate would fill",
      { members: { pg1: {}, pg2: {}, pg3: { candidate: false } }, synchronous: { priority: 2 } },
      [
        'synchronous.priority: found 2 with 1 candidate standby, expected at most 1: otherwise no commit ever ends. Lower it, add members, or write synchronous: "off".',
      ],
    ],
    [
      "a time after which commits go on without standbys, which they do not",
      { synchronous: { quorum: 1, relaxAfter: "30s" } },
      [
        'synchronous: found {"quorum":1,"relaxAfter":"30s"}, expected relaxAfter with onLoss: relax alone. Write onLoss: relax, or remove relaxAfter.',
      ],
    ],
    [
      "a quorum of 0",
      { synchronous: { quorum: 0 } },
      [`synchronous.quorum: found 0, expected at least 1. ${documented}`],
    ],
    [
      "a quorum and a priority",
      { synchronous: { quorum: 1, priority: 1 } },
      [
        'synchronous: found {"quorum":1,"priority":1}, expected { quorum: 1 }, { priority: 1 } or "off". Write one of the three.',
      ],
    ],
    [
      "another synchronous mode",
      { synchronous: "on" },
      ['synchronous: found on, expected { quorum: 1 }, { priority: 1 } or "off". Write one of the three.'],
    ],
    [
      "a fixed parameter",
      { parameters: { port: 5433 } },
      [
        "parameters.port: found a parameter that is fixed here, expected no such line: it is decided by members.NAME.port. Remove it.",
      ],
    ],
    [
      "a parameter of a later version",
      { parameters: { io_method: "worker" } },
      [
        "parameters.io_method: found a parameter that PostgreSQL 17 does not have, expected a parameter of PostgreSQL 17. It came with PostgreSQL 18: remove it.",
      ],
    ],
    [
      "a parameter without a value",
      { parameters: { work_mem: null } },
      ["parameters.work_mem: found null, expected a text, a number, true or false. Write one value."],
    ],
    [
      "a wal_level without standbys",
      { parameters: { wal_level: "minimal" } },
      ["parameters.wal_level: found minimal, expected replica or logical: standbys need it. Correct it or remove it."],
    ],
    [
      "too few wal senders",
      { parameters: { max_wal_senders: 2 } },
      ["parameters.max_wal_senders: found 2, expected at least 3, one for each member. Raise it or remove it."],
    ],
    [
      "a client network that is none",
      { clientNetworks: ["198.51.100.0/24", "office"] },
      [
        "clientNetworks.1: found office, expected a network such as 198.51.100.0/24, or a name of pgha:networks (none is declared). Correct it, or declare the network.",
      ],
    ],
    [
      "a segment size",
      { walSegmentSize: "3MB" },
      [
        `walSegmentSize: found 3MB, expected one of 1MB, 2MB, 4MB, 8MB, 16MB, 32MB, 64MB, 128MB, 256MB, 512MB, 1024MB. ${documented}`,
      ],
    ],
    [
      "a slot limit without unit",
      { slotSizeLimit: "10" },
      ['slotSizeLimit: found "10", expected a size such as 10GB. Write a whole number and MB, GB or TB.'],
    ],
    [
      "a drift rule that is none",
      { onDrift: "ignore" },
      ['onDrift: found ignore, expected "adopt", "fail" or "switchBack". Write one of the three.'],
    ],
    [
      "a duration without unit",
      { switchBackAfter: 600 },
      ["switchBackAfter: found 600, expected a duration such as 10min. Write a whole number and s, min, h or d."],
    ],
    [
      "a maintenance window that closes when it opens",
      { maintenanceWindow: { days: ["sat"], from: "02:00", to: "02:00", timezone: "UTC" } },
      [
        'maintenanceWindow.to: found 02:00, expected another time than from: as it stands the window never opens. Correct it; the whole day is from: "00:00", to: "24:00".',
      ],
    ],
    [
      "a maintenance window without days, in a zone that nobody knows",
      { maintenanceWindow: { days: [], from: "02:00", to: "04:00", timezone: "Europe/Berlim" } },
      [
        "maintenanceWindow.days: found [], expected at least one day: without one the window never opens. Name a day, or remove days: for every day.",
        "maintenanceWindow.timezone: found Europe/Berlim, expected a time zone such as Europe/Berlin or UTC. Correct its spelling (names of the tz database).",
      ],
    ],
    [
      "a maintenance window with times that are none, and no zone",
      { maintenanceWindow: { days: ["sunday"], from: "2:00", to: "24:30" } },
      [
        "maintenanceWindow.days.0: found sunday, expected a day (mon, tue, wed, thu, fri, sat, sun). Write one of them.",
        'maintenanceWindow.from: found 2:00, expected a time of day from "00:00" to "23:59". Write hours and minutes in quotes.',
        'maintenanceWindow.to: found 24:30, expected a time of day from "00:00" to "24:00". Write hours and minutes in quotes.',
        "maintenanceWindow.timezone: found nothing, expected a time zone such as Europe/Berlin or UTC. Name the zone in which the times are meant.",
      ],
    ],
    [
      "a rule for rejoining that does not exist",
      { rejoin: "clone" },
      ['rejoin: found clone, expected "auto", "rewind-only" or "manual". Write one of the three.'],
    ],
    [
      "a failover manager of later",
      { failover: { manager: "repmgr" } },
      [
        'failover.manager: found repmgr, expected a manager: "none" or "pacemaker". pgpool and repmgr are not available in this version.',
      ],
    ],
    [
      "a proxy",
      { proxy: { kind: "pgpool" } },
      ["proxy: found a proxy, expected no such key: it is not available in this version. Remove it."],
    ],
    [
      "erase without confirmation",
      { onDestroy: "erase" },
      [
        "eraseConfirmation: found nothing, expected orders, the cluster's name, because onDestroy: erase removes its data. Write eraseConfirmation: orders, or another onDestroy.",
      ],
    ],
    [
      "erase with another name",
      { onDestroy: "erase", eraseConfirmation: "order" },
      [
        "eraseConfirmation: found order, expected orders, the cluster's name, because onDestroy: erase removes its data. Write eraseConfirmation: orders, or another onDestroy.",
      ],
    ],
    [
      "another onDestroy",
      { onDestroy: "delete" },
      [`onDestroy: found delete, expected one of keep, stop, erase. ${documented}`],
    ],
    [
      "a limit below its least",
      { limits: { stopSeconds: 0 } },
      [`limits.stopSeconds: found 0, expected at least 1. ${documented}`],
    ],
    [
      "a slot's name that no slot can have",
      { disposableSlots: ["audit", "Audit-2"] },
      [
        "disposableSlots.1: found Audit-2, expected the name of a replication slot: small letters, digits and underscores. Correct it.",
      ],
    ],
    ["an unknown key", { primery: "pg1" }, [`primery: ${unknownKey}`]],
    ["an unknown key of a member", { members: { pg1: { prot: 5433 } } }, [`members.pg1.prot: ${unknownKey}`]],
  ])("%s", (_, overrides, expected) => {
    expect(clusterFaults(overrides)).toEqual(expected);
  });

  it("two clusters whose instances would have one unit", () => {
    const at = (port: number, dataDirectory: string) => ({ host: "pg1", port, dataDirectory });
    expect(
      faults({
        clusters: {
          "a-b": { postgresVersion: 17, members: { c: at(5432, "/srv/1") }, primary: "c" },
          a: { postgresVersion: 17, members: { "b-c": at(5433, "/srv/2") }, primary: "b-c" },
        },
      }),
    ).toEqual([
      "pgha:clusters.a.members.b-c: found the unit pgha-a-b-c.service on pg1, which a-b.c has, expected names of cluster and member that differ when they are joined by a hyphen. Rename one of the two.",
    ]);
  });
});

describe("all faults at once", () => {
  it("of every part of the file, of one cluster and of the next", () => {
    const found = faults({
      ssh: { port: 0 },
      hosts: { ...hosts, pg2: { address: "x", hostKey }, pg3: { address: "198.51.100.13" } },
      networks: { office: "nowhere" },
      clusters: {
        orders: {
          postgresVersion: 14,
          members: { pg1: { port: 70000 }, pg2: {}, pg7: {} },
          primary: "pg9",
          synchronous: { quorum: 5 },
          clientNetworks: ["home"],
          onDestroy: "erase",
          proxy: {},
        },
        invoices: { ...orders, primary: "pg8", parameters: { work_memm: 1, wal_level: "minimal", port: null } },
      },
    });
    expect(found.map((text) => text.split(": found")[0])).toEqual([
      "pgha:ssh.port",
      "pgha:hosts.pg2.address",
      "pgha:hosts.pg3.hostKey",
      "pgha:networks.office",
      "pgha:clusters.orders.proxy",
      "pgha:clusters.orders.postgresVersion",
      "pgha:clusters.orders.members.pg1.port",
      "pgha:clusters.invoices.parameters.port",
      "pgha:clusters.orders.members.pg7",
      "pgha:clusters.orders.primary",
      "pgha:clusters.orders.synchronous.quorum",
      "pgha:clusters.orders.eraseConfirmation",
      "pgha:clusters.orders.clientNetworks.0",
      "pgha:clusters.invoices.primary",
      "pgha:clusters.invoices.parameters.work_memm",
      "pgha:clusters.invoices.parameters.wal_level",
      // pg2 is right in both clusters, and its port is the same.
      "pgha:clusters.invoices.members.pg2.port",
    ]);
  });

  it("but none that only follows from another: a faulty host is declared, a faulty member is a member", () => {
    expect(faults({ hosts: { ...hosts, pg2: {} }, ssh: { port: 0 } }).map((text) => text.split(": found")[0])).toEqual([
      "pgha:ssh.port",
      "pgha:hosts.pg2.address",
      "pgha:hosts.pg2.hostKey",
    ]);
    expect(faults({ hosts: "pg1" })).toHaveLength(1);
    expect(clusterFaults({ members: { pg1: { port: 0 }, pg2: { host: "pg1" } }, synchronous: { quorum: 1 } })).toEqual([
      "members.pg1.port: found 0, expected a TCP port from 1 to 65535. Correct the port.",
    ]);
    expect(
      faults({ networks: { office: "x" }, clusters: { orders: { ...orders, clientNetworks: ["office"] } } }),
    ).toEqual([
      "pgha:networks.office: found x, expected a network such as 198.51.100.0/24. Write the address, a slash and the number of bits.",
    ]);
  });

  it("a long value is cut in the text", () => {
    expect(clusterFaults({ primary: "x".repeat(100) })).toEqual([
      `primary: found ${"x".repeat(57)}..., expected a member (pg1, pg2, pg3). Name a member.`,
    ]);
  });
});
