import { join } from "node:path";
import { expect, it } from "vitest";
import { demoEnvironment } from "./environments.ts";
import { nextSteps } from "./nextSteps.ts";
import { root } from "./pulumi.ts";

const hosts = [1, 2, 3].map((number) => ({
  name: `pg${number}`,
  address: `198.51.100.1${number}`,
}));
const lab = {
  hosts,
  keyFile: join(root, ".lab/id_ed25519"),
  knownHostsFile: join(root, ".lab/known_hosts"),
  virtualIp: "198.51.100.50",
};

it("the demo ends with what to type next", () => {
  expect(nextSteps(demoEnvironment("demo"), lab, "pg2")).toBe(`The hosts run on. Try:
  . .tools/env                                       # this checkout's Pulumi
  edit stacks/Pulumi.demo.yaml: primary: pg3         # or parameters, synchronous, members
  pulumi preview --stack demo --diff                 # the checks, the plan, the expected gap
  pulumi up --stack demo
  lab/lab --help                                     # kill, partition or freeze a host, then preview again
  make demo                                          # once more, the other way round
  make demo-down                                     # removes it all`);
});

it("under Pacemaker it kills the primary of that moment, and asks a host that lives", () => {
  const steps = nextSteps(demoEnvironment("pacemaker"), lab, "pg1");
  expect(steps).toContain("\n  lab/lab kill pg1\n");
  expect(steps).toContain(
    "\n  ssh -i .lab/id_ed25519 -o UserKnownHostsFile=.lab/known_hosts root@198.51.100.12 crm_mon -1A\n",
  );
  expect(steps).toContain("pg2 or pg3 is Promoted,");
  expect(steps).toContain("\n  make demo ENV=pacemaker ");
});

it("of two hosts the former primary stays down until pulumi up, as the agent pgsql has it", () => {
  const steps = nextSteps(demoEnvironment("pacemaker-2"), { ...lab, hosts: hosts.slice(0, 2) }, "pg1");
  expect(steps).toContain("pg2 is Promoted, with every acknowledged row,");
  expect(steps).toContain("the agent refuses to start it: PGSQL.lock marks a former primary.");
  expect(steps).not.toContain("Pacemaker starts it as a standby");
});

it("a demo that does not exist is refused with those that do", () => {
  const refusal =
    "ENV: found patroni, expected demo, pacemaker or pacemaker-2. Run: make demo, or make demo ENV=pacemaker, or make demo ENV=pacemaker-2";
  expect(() => demoEnvironment("patroni")).toThrow(refusal);
});
