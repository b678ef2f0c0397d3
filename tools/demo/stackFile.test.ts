import { expect, it } from "vitest";
import { parse } from "yaml";
import { parseEnvironment } from "../../model/environment.ts";
import { parseFencingSecrets } from "../../model/pacemaker/fencingSecrets.ts";
import { type DemoHost, type DemoLab, declaredPrimary, demoStackFile, withPrimary } from "./stackFile.ts";

const hosts: DemoHost[] = [1, 2, 3].map((number) => ({
  name: `pg${number}`,
  addresses: {
    service: `198.51.100.1${number}`,
    cluster: `192.0.2.1${number}`,
    replication: `203.0.113.1${number}`,
  },
  hostKey: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${number}`,
}));

const lab: DemoLab = {
  hosts,
  keyFile: "/keys/id_ed25519",
  virtualIp: "198.51.100.50",
  board: { address: "198.51.100.1", port: 8443, user: "admin" },
};

function configOf(text: string): Record<string, string> {
  const { config } = parse(text) as { config: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [key.replace("pgha:", ""), JSON.stringify(value)]),
  );
}

it("the demo's stack file declares a cluster that has no faults", () => {
  const { environment, faults } = parseEnvironment(configOf(demoStackFile("none", lab, undefined)));
  expect(faults).toEqual([]);
  expect(environment?.clusters.map(({ name, primary, members }) => [name, primary, members.length])).toEqual([
    ["orders", "pg1", 3],
  ]);
  expect(environment?.hosts.map(({ ssh }) => [ssh.address, ssh.user, ssh.privateKeyFile])).toEqual([
    ["198.51.100.11", "root", "/keys/id_ed25519"],
    ["198.51.100.12", "root", "/keys/id_ed25519"],
    ["198.51.100.13", "root", "/keys/id_ed25519"],
  ]);
});

it("under Pacemaker the cluster has a virtual IP, and every host is fenced by the lab's board", () => {
  const { environment, faults } = parseEnvironment(configOf(demoStackFile("pacemaker", lab, undefined)));
  expect(faults).toEqual([]);
  expect(environment?.clusters.map(({ failover, virtualIps }) => [failover.manager, virtualIps])).toEqual([
    ["pacemaker", { primary: { address: "198.51.100.50", prefix: 26 } }],
  ]);
  const fencing = environment?.pacemaker[0]?.fencing ?? [];
  expect(
    fencing.map(({ hosts, parameters }) => [
      ...hosts.map(({ name }) => name),
      `${parameters.ip}${parameters.systems_uri}`,
    ]),
  ).toEqual([
    ["pg1", "198.51.100.1/redfish/v1/Systems/pg1"],
    ["pg2", "198.51.100.1/redfish/v1/Systems/pg2"],
    ["pg3", "198.51.100.1/redfish/v1/Systems/pg3"],
  ]);
  expect(parseFencingSecrets('{"board":"x"}', environment?.pacemaker).faults).toEqual([]);
});

it("of two hosts the cluster has an address for replication too, and the agent of the classic pair", () => {
  const text = demoStackFile("pacemaker", { ...lab, hosts: hosts.slice(0, 2) }, undefined);
  const { environment, faults } = parseEnvironment(configOf(text));
  expect(faults).toEqual([]);
  expect(
    environment?.clusters.map(({ members, failover, virtualIps }) => [
      members.length,
      failover.manager === "pacemaker" && failover.agent,
      virtualIps,
    ]),
  ).toEqual([
    [
      2,
      "pgsql",
      {
        primary: { address: "198.51.100.50", prefix: 26 },
        replication: { address: "203.0.113.50", prefix: 26 },
      },
    ],
  ]);
  expect(text).toContain("# The demo: two hosts of the lab");
});

it("a fencing password that the demo has set stays in the stack file", () => {
  const withPassword = `${demoStackFile("pacemaker", lab, undefined)}  pgha:fencingSecrets:\n    board:\n      secure: v1:x\n`;
  const again = demoStackFile("pacemaker", { ...lab, board: { ...lab.board, port: 8444 } }, withPassword);
  expect(again).toContain("secure: v1:x");
  expect(again).toContain("ipport: 8444");
});

it("a lab made anew changes addresses and keys, and keeps what the reader changed", () => {
  const edited = demoStackFile("none", lab, undefined).replace("primary: pg1 #", "primary: pg2 # mine,");
  const again = demoStackFile("none", { ...lab, hosts: hosts.slice(0, 2), keyFile: "/keys/new" }, edited);
  expect(again).toContain("primary: pg2 # mine,");
  const { config } = parse(again) as { config: Record<string, Record<string, unknown>> };
  expect(Object.keys(config["pgha:hosts"] ?? {})).toEqual(["pg1", "pg2"]);
  expect(config["pgha:ssh"]).toEqual({ user: "root", privateKeyFile: "/keys/new" });
});

it("another primary is one changed line, and the comments stay", () => {
  const before = demoStackFile("none", lab, undefined);
  const after = withPrimary(before, "pg2");
  expect(declaredPrimary(before)).toBe("pg1");
  expect(declaredPrimary(after)).toBe("pg2");
  expect(after).toBe(before.replace("primary: pg1 #", "primary: pg2 #"));
  expect(after).toContain("# change this line = planned switchover");
});
