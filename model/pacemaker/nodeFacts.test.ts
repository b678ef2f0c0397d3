import { expect, it } from "vitest";
import { faultText } from "../fault.ts";
import type { HostFacts } from "../hostFacts.ts";
import { nodeFaults, type PlannedNode } from "./nodeFacts.ts";

const facts: HostFacts = {
  system: "debian",
  systemVersion: "13",
  hasSystemd: true,
  hasApt: true,
  addresses: ["127.0.0.1", "198.51.100.11", "192.0.2.11"],
  networks: ["127.0.0.1/8", "198.51.100.11/25", "192.0.2.11/24"],
  listening: [],
  directories: {},
  markers: [],
};

const node: PlannedNode = {
  corosync: "main",
  nodes: ["pg1", "pg2", "pg3"],
  addresses: ["192.0.2.11"],
  virtualIps: { "pgha:clusters.orders.virtualIps.primary": "198.51.100.50/25" },
};

function faults(seen: Partial<HostFacts>, managed: readonly string[] = [], planned = node): string[] {
  return nodeFaults("pg1", { ...facts, ...seen }, planned, managed).map(faultText);
}

function withAddress(address: string): string[] {
  return faults({}, [], { ...node, virtualIps: { "pgha:clusters.orders.virtualIps.primary": address } });
}

it("a host that has the ring's address and belongs to nobody is a good node", () => {
  expect(faults({})).toEqual([]);
  expect(faults({ corosyncConf: "totem {\n cluster_name: debian\n}\n", answered: {} })).toEqual([]);
});

it("one without the ring's address, or of another Corosync cluster, is refused", () => {
  const web =
    "totem {\n cluster_name: web\n}\nnodelist {\n node {\n name: web1\n nodeid: 1\n ring0_addr: 192.0.2.99\n }\n}\n";
  expect(faults({ addresses: ["127.0.0.1", "198.51.100.11"], corosyncConf: web })).toEqual([
    "pgha:hosts.pg1.address: found 192.0.2.11, which the host does not have (it has 127.0.0.1, 198.51.100.11), expected an address of the host. Correct the address, or give it to the host.",
    "pgha:hosts.pg1: found a node of the Corosync cluster web: web1 (1), expected none, or main: pg1, pg2, pg3. Choose another host, or take it out of that cluster first and remove /etc/corosync/corosync.conf.",
  ]);
});

it("a virtual IP for which somebody answers is refused, unless it is in Pacemaker's hands already", () => {
  const answered = { "198.51.100.50": "02:00:00:00:00:01" };
  expect(faults({ answered })).toEqual([
    "pgha:clusters.orders.virtualIps.primary: found 198.51.100.50, for which 02:00:00:00:00:01 answers already, expected an address that nobody has yet. Choose a free one, or take it away from there.",
  ]);
  expect(faults({ answered }, ["198.51.100.50"])).toEqual([]);
});

it("a virtual IP whose network is wider than the host's interface has it is refused: its interface would not be found", () => {
  expect(withAddress("198.51.100.50/24")).toEqual([
    "pgha:clusters.orders.virtualIps.primary: found 198.51.100.50/24, and pg1 has 198.51.100.11/25, expected the length of the network that the host's interface has: by a wider one it is not found, and the address starts nowhere. Correct the length, or name the interface: { address: ..., nic: ... }.",
  ]);
  expect(withAddress("203.0.113.50/26")[0]).toContain("203.0.113.50/26, and pg1 has no interface in that network");
});

it("a narrower one finds it, and one with its interface named is asked nothing", () => {
  expect(withAddress("198.51.100.50/28")).toEqual([]);
  expect(withAddress("203.0.113.50")).toEqual([]);
});
