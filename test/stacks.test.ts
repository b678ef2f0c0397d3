import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { type Environment, parseEnvironment } from "../model/environment.ts";
import { parseFencingSecrets } from "../model/pacemaker/fencingSecrets.ts";
import { openStack } from "./support/stack.ts";

it("the example environment under Pacemaker has no faults once its boards' passwords are set", () => {
  const { environment, faults } = readExample("pacemaker");
  expect(faults).toEqual([]);
  expect(environment?.pacemaker.map(({ hosts, fencing }) => [hosts.map(({ name }) => name), fencing.length])).toEqual([
    [["pg1", "pg2", "pg3"], 3],
  ]);
  expect(
    environment?.clusters.map(({ failover, virtualIps, synchronous }) => [failover, virtualIps, synchronous]),
  ).toEqual([
    [
      { manager: "pacemaker", agent: "paf", corosync: "main" },
      { primary: { address: "198.51.100.50", prefix: 24 } },
      { quorum: 1 },
    ],
  ]);
  const passwords = { PG1_BOARD: "one", PG2_BOARD: "two", PG3_BOARD: "three" };
  expect(parseFencingSecrets(JSON.stringify(passwords), environment?.pacemaker).faults).toEqual([]);
});

it("the example environment of two hosts has an address for clients and one for replication, and fencing decides", () => {
  const { environment, faults } = readExample("pacemaker-2");
  expect(faults).toEqual([]);
  expect(
    environment?.pacemaker.map(({ hosts, fencing, properties }) => [
      hosts.map(({ name, addresses }) => `${name} ${addresses.join()}`),
      fencing.length,
      properties,
    ]),
  ).toEqual([[["pg1 192.0.2.11,203.0.113.11", "pg2 192.0.2.12,203.0.113.12"], 2, { "priority-fencing-delay": "10s" }]]);
  expect(environment?.clusters.map(({ synchronous, failover }) => [synchronous, failover])).toEqual([
    [{ priority: 1 }, expect.objectContaining({ manager: "pacemaker", agent: "pgsql", corosync: "main" })],
  ]);
  expect(environment?.clusters.map(({ virtualIps }) => virtualIps)).toEqual([
    { primary: { address: "198.51.100.50", prefix: 24 }, replication: { address: "203.0.113.50", prefix: 24 } },
  ]);
  const passwords = { PG1_BOARD: "one", PG2_BOARD: "two" };
  expect(parseFencingSecrets(JSON.stringify(passwords), environment?.pacemaker).faults).toEqual([]);
});

it("a test's stack is refused the name of an environment, whose file it would remove", async () => {
  await expect(openStack({ name: "pacemaker", config: {} })).rejects.toThrow(
    /Pulumi\.pacemaker\.yaml: found a stack file, expected none/,
  );
});

function readExample(name: string): ReturnType<typeof parseEnvironment> & { environment?: Environment } {
  const { config } = parse(readFileSync(new URL(`../stacks/Pulumi.${name}.yaml`, import.meta.url), "utf8")) as {
    config: Record<string, unknown>;
  };
  return parseEnvironment(
    Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace("pgha:", ""), JSON.stringify(value)])),
  );
}
