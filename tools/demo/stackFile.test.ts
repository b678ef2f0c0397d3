import { expect, it } from "vitest";
import { parse } from "yaml";
import { parseEnvironment } from "../../model/environment.ts";
import { type DemoHost, declaredPrimary, demoStackFile, withPrimary } from "./stackFile.ts";

const hosts: DemoHost[] = [1, 2, 3].map((number) => ({
  name: `pg${number}`,
  addresses: {
    service: `198.51.100.1${number}`,
    cluster: `192.0.2.1${number}`,
    replication: `203.0.113.1${number}`,
  },
  hostKey: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${number}`,
}));

function configOf(text: string): Record<string, string> {
  const { config } = parse(text) as { config: Record<string, unknown> };
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [key.replace("pgha:", ""), JSON.stringify(value)]),
  );
}

it("the demo's stack file declares a cluster that has no faults", () => {
  const { environment, faults } = parseEnvironment(configOf(demoStackFile(hosts, "/keys/id_ed25519", undefined)));
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

it("a lab made anew changes addresses and keys, and keeps what the reader changed", () => {
  const edited = demoStackFile(hosts, "/keys/id_ed25519", undefined).replace("primary: pg1 #", "primary: pg2 # mine,");
  const again = demoStackFile(hosts.slice(0, 2), "/keys/new", edited);
  expect(again).toContain("primary: pg2 # mine,");
  const { config } = parse(again) as { config: Record<string, Record<string, unknown>> };
  expect(Object.keys(config["pgha:hosts"] ?? {})).toEqual(["pg1", "pg2"]);
  expect(config["pgha:ssh"]).toEqual({ user: "root", privateKeyFile: "/keys/new" });
});

it("another primary is one changed line, and the comments stay", () => {
  const before = demoStackFile(hosts, "/keys/id_ed25519", undefined);
  const after = withPrimary(before, "pg2");
  expect(declaredPrimary(before)).toBe("pg1");
  expect(declaredPrimary(after)).toBe("pg2");
  expect(after).toBe(before.replace("primary: pg1 #", "primary: pg2 #"));
  expect(after).toContain("# change this line = planned switchover");
});
