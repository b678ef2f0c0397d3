import { expect, test } from "vitest";
import { hostNames, isLabRange, labNames } from "./names.ts";

test("the demo lab's first host has the .11 of each range", () => {
  expect(hostNames("demo", 1)).toEqual({
    name: "pg1",
    addresses: { service: "198.51.100.11", cluster: "192.0.2.11", replication: "203.0.113.11" },
    ports: { service: "demo-pg1s", cluster: "demo-pg1c", replication: "demo-pg1r" },
    machine: "demo-pg1",
  });
});

test("each lab takes the next /26, so two labs run beside each other", () => {
  expect(["demo", "test", "bench", "mine"].map((lab) => hostNames(lab, 1).addresses.service)).toEqual([
    "198.51.100.11",
    "198.51.100.75",
    "198.51.100.139",
    "198.51.100.203",
  ]);
  expect(labNames("test")).toEqual({
    lab: "test",
    networks: [
      { name: "service", bridge: "test-svc", subnet: "198.51.100.64/26", hostInterface: "host0" },
      { name: "cluster", bridge: "test-cls", subnet: "192.0.2.64/26", hostInterface: "host1" },
      { name: "replication", bridge: "test-rep", subnet: "203.0.113.64/26", hostInterface: "host2" },
    ],
    gateway: "198.51.100.65",
    virtualIp: "198.51.100.114",
    table: "pgha_test",
    slice: "pgha-test",
  });
});

test("interface names stay within the kernel's 15 characters for the longest lab and host", () => {
  const names = [
    ...labNames("abcdefgh").networks.map((network) => network.bridge),
    ...Object.values(hostNames("abcdefgh", 20).ports),
  ];
  expect(names.filter((name) => name.length > 15)).toEqual([]);
});

test("a name that interfaces cannot carry is refused", () => {
  expect(() => labNames("my-lab")).toThrow(
    '--lab: found "my-lab", expected 1 to 8 lower-case letters and digits, a letter first. Use for example "test".',
  );
});

test("more hosts than a /26 has room for are refused", () => {
  expect(() => hostNames("demo", 21)).toThrow("--hosts: found 21, expected 1 to 20.");
});

test("only the three documentation ranges are the lab's", () => {
  expect(["203.0.113.80", "198.51.100.1", "192.0.2.1", "10.255.255.53"].map(isLabRange)).toEqual([
    true,
    true,
    true,
    false,
  ]);
});
