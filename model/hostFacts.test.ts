import { describe, expect, it } from "vitest";
import { type HostFacts, hostFaults, type PlannedMember } from "./hostFacts.ts";

const member: PlannedMember = {
  cluster: "orders",
  member: "pg1",
  postgresVersion: 17,
  port: 5432,
  dataDirectory: "/var/lib/postgresql/17/orders-pg1",
  replicationAddress: "203.0.113.11",
};

const bare: HostFacts = {
  system: "debian",
  systemVersion: "13",
  hasSystemd: true,
  hasApt: true,
  addresses: ["127.0.0.1", "198.51.100.11", "203.0.113.11"],
  networks: ["127.0.0.1/8", "198.51.100.11/24", "203.0.113.11/24"],
  listening: [{ port: 22, process: "sshd" }],
  directories: { [member.dataDirectory]: { kind: "missing", freeBytes: 10 * 1024 ** 3 } },
  markers: [],
};

function faults(facts: Partial<HostFacts>, changes: Partial<PlannedMember> = {}) {
  return hostFaults("pg1", { ...bare, ...facts }, [{ ...member, ...changes }]);
}

it("a bare Debian host with room and the declared addresses has no faults", () => {
  expect(faults({})).toEqual([]);
});

it("a host on which no member lies is asked for nothing but systemd and apt", () => {
  expect(hostFaults("pg1", { ...bare, addresses: [], listening: [{ port: 5432, process: "x" }] }, [])).toEqual([]);
});

it("a host without systemd and apt is refused once, whatever is to live there", () => {
  expect(faults({ system: "alpine", systemVersion: "3.22", hasSystemd: false, hasApt: false })).toEqual([
    {
      path: ["pgha:hosts", "pg1"],
      found: "alpine 3.22 without systemd and apt",
      expected: "Debian or a relative, with systemd and apt",
      remedy: "Choose another host.",
    },
  ]);
});

it("an address that the host does not have is named beside those that it has", () => {
  expect(faults({}, { replicationAddress: "203.0.113.99" })).toEqual([
    {
      path: ["pgha:hosts", "pg1", "address"],
      found: "203.0.113.99, which the host does not have (it has 127.0.0.1, 198.51.100.11, 203.0.113.11)",
      expected: "an address of the host",
      remedy: "Correct the address, or give it to the host.",
    },
  ]);
});

describe("the major version", () => {
  it.each([
    ["12", 15],
    ["13", 17],
  ])("of Debian %s is %i", (systemVersion, postgresVersion) => {
    expect(faults({ systemVersion }, { postgresVersion })).toEqual([]);
  });

  it("of another release of Debian is refused, with the version that would do", () => {
    expect(faults({ systemVersion: "12" })).toEqual([
      {
        path: ["pgha:clusters", "orders", "postgresVersion"],
        found: "17 on pg1, which runs debian 12",
        expected: "15, the version of this distribution",
        remedy: "Write that version, or choose hosts of another release.",
      },
    ]);
  });

  it("is not judged on a system that we do not know", () => {
    expect(faults({ system: "ubuntu", systemVersion: "24.04" }, { postgresVersion: 18 })).toEqual([]);
  });
});

describe("what is in the way", () => {
  it("a service on the port is named", () => {
    expect(faults({ listening: [{ port: 5432, process: "postgres" }] })).toEqual([
      {
        path: ["pgha:clusters", "orders", "members", "pg1", "port"],
        found: "5432, which postgres on pg1 listens on",
        expected: "a free port",
        remedy: "Choose another port, or stop that service.",
      },
    ]);
    expect(faults({ listening: [{ port: 5432, process: "" }] })[0]?.found).toBe(
      "5432, which another service on pg1 listens on",
    );
  });

  it.each([
    ["data", "a database"],
    ["foreign", "files"],
  ])("a data directory that holds something (%s) is never overwritten", (kind, what) => {
    expect(faults({ directories: { [member.dataDirectory]: { kind, freeBytes: 10 * 1024 ** 3 } } })).toEqual([
      {
        path: ["pgha:clusters", "orders", "members", "pg1", "dataDirectory"],
        found: `/var/lib/postgresql/17/orders-pg1 on pg1 holds ${what} that pgha did not make`,
        expected: "a missing or empty directory; what is there is never overwritten",
        remedy: "Choose another directory, or move away what is there.",
      },
    ]);
  });

  it("a WAL directory is looked at like the data directory", () => {
    const walDirectory = "/wal/orders-pg1";
    const directories = { ...bare.directories, [walDirectory]: { kind: "foreign", freeBytes: 10 * 1024 ** 3 } };
    expect(faults({ directories }, { walDirectory }).map(({ path }) => path.at(-1))).toEqual(["walDirectory"]);
  });

  it("an empty directory is none", () => {
    expect(faults({ directories: { [member.dataDirectory]: { kind: "empty", freeBytes: 10 * 1024 ** 3 } } })).toEqual(
      [],
    );
  });

  it("too little room is told in sizes that people use", () => {
    const directories = { [member.dataDirectory]: { kind: "missing", freeBytes: 120 * 1024 ** 2 } };
    expect(faults({ directories })).toEqual([
      {
        path: ["pgha:clusters", "orders", "members", "pg1", "dataDirectory"],
        found: "120 MB free on pg1",
        expected: "at least 300 MB",
        remedy: "Make room there, or choose a directory on a larger volume.",
      },
    ]);
  });

  it("what bears our marker is not: an earlier `up` made it", () => {
    expect(
      faults({
        markers: [{ cluster: "orders", member: "pg1", dataDirectory: member.dataDirectory, port: 5432 }],
        listening: [{ port: 5432, process: "postgres" }],
        directories: { [member.dataDirectory]: { kind: "data", freeBytes: 1024 } },
      }),
    ).toEqual([]);
  });

  it("another member's marker excuses nothing", () => {
    const pg2 = { cluster: "orders", member: "pg2", dataDirectory: "/srv/pg2", port: 5433 };
    const found = faults({ markers: [pg2], listening: [{ port: 5432, process: "postgres" }] });
    expect(found.map(({ path }) => path.at(-1))).toEqual(["port"]);
  });
});

describe("a member of ours that nobody declares any more", () => {
  const old = { cluster: "orders", member: "old", dataDirectory: "/srv/old", port: 5432 };

  it("keeps its port, whether or not it runs, and is named instead of the process", () => {
    const expected = [
      {
        path: ["pgha:clusters", "orders", "members", "pg1", "port"],
        found: "port 5432 on pg1, which old of cluster orders has (its data is in /srv/old)",
        expected: "a place of its own; what is there is never overwritten",
        remedy:
          "If it was renamed: write the old name. Otherwise choose another place, or give up old: on pg1 `systemctl disable --now pgha-orders-old.service` and remove /srv/old and /var/lib/pgha/orders/old/marker.json.",
      },
    ];
    expect(faults({ markers: [old] })).toEqual(expected);
    expect(faults({ markers: [old], listening: [{ port: 5432, process: "postgres" }] })).toEqual(expected);
  });

  it("keeps its directory, also for a member of another cluster", () => {
    const directories = { [member.dataDirectory]: { kind: "data", freeBytes: 10 * 1024 ** 3 } };
    const sales = { cluster: "sales", member: "pg1", dataDirectory: member.dataDirectory };
    expect(faults({ markers: [sales], directories }).map(({ path, found }) => [path.at(-1), found])).toEqual([
      [
        "dataDirectory",
        "/var/lib/postgresql/17/orders-pg1 on pg1, which pg1 of cluster sales has (its data is in /var/lib/postgresql/17/orders-pg1)",
      ],
    ]);
  });

  it("is not in the way elsewhere on the host", () => {
    expect(faults({ markers: [{ ...old, port: 5433 }] })).toEqual([]);
  });

  it("is not meant when it is declared: who shares a place is then told by the stack file alone", () => {
    const declared = { ...member, member: "old", dataDirectory: "/srv/old" };
    expect(hostFaults("pg1", { ...bare, markers: [old] }, [member], [member, declared])).toEqual([]);
  });
});

it("every fault of a host is told at once", () => {
  const found = hostFaults(
    "pg1",
    {
      ...bare,
      hasApt: false,
      systemVersion: "12",
      listening: [{ port: 5432, process: "postgres" }],
      directories: { [member.dataDirectory]: { kind: "data", freeBytes: 1024 } },
    },
    [{ ...member, replicationAddress: "203.0.113.99" }],
  );
  expect(found.map(({ path }) => path.join("."))).toEqual([
    "pgha:hosts.pg1",
    "pgha:hosts.pg1.address",
    "pgha:clusters.orders.postgresVersion",
    "pgha:clusters.orders.members.pg1.port",
    "pgha:clusters.orders.members.pg1.dataDirectory",
    "pgha:clusters.orders.members.pg1.dataDirectory",
  ]);
});
