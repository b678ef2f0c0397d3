import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { clusterProblems, type NodeAnswer } from "./problems.ts";

/* Of what crm_mon of Pacemaker 3.0.0 printed, and of no answer. */
function recorded(name: string): string {
  return readFileSync(new URL(`./recorded/${name}.xml`, import.meta.url), "utf8");
}

const declared = {
  nodes: {
    pg1: { id: 1, addresses: ["192.0.2.11", "203.0.113.11"] },
    pg2: { id: 2, addresses: ["192.0.2.12", "203.0.113.12"] },
  },
  clones: { "pgha-orders-clone": { resource: "pgha-orders", meta: {} } },
  groups: { "pgha-orders-addresses": { members: ["pgha-orders-primary-ip"], meta: {} } },
  fencing: {},
};

const problems = (...answers: readonly Partial<NodeAnswer>[]) =>
  clusterProblems(
    declared,
    answers.map((answer) => ({ host: "pg2", status: undefined, rings: undefined, ...answer })),
  );

it("nothing is told of nodes that are well, of those that did not answer, and of an answer that was cut off", () => {
  expect(problems({ status: recorded("healthy") })).toEqual([]);
  expect(problems({})).toEqual([]);
  expect(problems({ status: recorded("hostDied").slice(0, 3000) })).toEqual([]);
  expect(problems({ status: recorded("disconnected") })).toEqual([]);
});

it("a host that is being fenced is told, by whoever has quorum", () => {
  const expected = [
    "pg1 is unclean: it must be fenced before what ran there runs elsewhere",
    "fencing of pg1 (reboot) is under way",
  ];
  expect(problems({ status: recorded("noQuorum"), host: "pg1" }, { status: recorded("beingFenced") })).toEqual(
    expected,
  );
});

it("maintenance is left out: it is told with the way out of it", () => {
  expect(problems({ status: recorded("maintenance") })).toEqual([]);
});

it("a broken ring is told beside it", () => {
  const link = (ring: number, state: string) => `LINK ID ${ring} udp\n\tstatus:\n\t\tnodeid:          1:\t${state}\n`;
  expect(problems({ status: recorded("healthy"), rings: link(0, "disconnected") + link(1, "connected") })).toEqual([
    "ring 0: pg1 (192.0.2.11) and pg2 (192.0.2.12) do not hear each other",
  ]);
});
