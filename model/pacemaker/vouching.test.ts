import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type PacemakerNode, parseStatus, type RunningStatus } from "./status.ts";
import { vouchesFor } from "./vouching.ts";

/* What crm_mon printed on real hosts. */
function recorded(name: string): RunningStatus {
  const status = parseStatus(readFileSync(new URL(`./recorded/${name}.xml`, import.meta.url), "utf8"));
  if (!status.running) throw new Error(`${name}: ${status.reason}`);
  return status;
}

const on = (node: string) => ({ clone: "pgha-orders-clone", node });
/** pg1's host died and was fenced; pg2 was promoted. */
const failedOver = recorded("failedOver");

function withNode(name: string, overrides: Partial<PacemakerNode>): RunningStatus {
  return {
    ...failedOver,
    nodes: failedOver.nodes.map((node) => (node.name === name ? { ...node, ...overrides } : node)),
  };
}

it("of the promoted member, when the host of the other one was fenced", () => {
  expect(vouchesFor(failedOver, on("pg2"), [on("pg1")])).toBe(true);
});

it.each<[string, RunningStatus]>([
  ["the host of the other one is not fenced yet", recorded("hostDied")],
  ["it is being fenced", recorded("beingFenced")],
  ["this partition has no quorum", { ...failedOver, quorum: false }],
  ["nobody decides", { ...failedOver, coordinator: undefined }],
  ["nothing is fenced: a host that is not heard may live", { ...failedOver, fencingEnabled: false }],
  ["everything is left alone", { ...failedOver, maintenance: true }],
  ["the other host is left alone: its instance runs on without Pacemaker", withNode("pg1", { maintenance: true })],
  ["the other host joins", withNode("pg1", { pending: true })],
  ["the other host runs, and only we do not reach it", withNode("pg1", { online: true })],
  ["the other host is not its", { ...failedOver, nodes: failedOver.nodes.filter(({ name }) => name !== "pg1") }],
  ["nobody is promoted", { ...failedOver, resources: [] }],
  [
    "two are promoted",
    {
      ...failedOver,
      resources: failedOver.resources.map((one) => (one.role === "Unpromoted" ? { ...one, role: "Promoted" } : one)),
    },
  ],
])("not when %s", (_, status) => {
  expect(vouchesFor(status, on("pg2"), [on("pg1")])).toBe(false);
});

it("not for another member or another cluster than the promoted one", () => {
  expect(vouchesFor(failedOver, on("pg3"), [on("pg1")])).toBe(false);
  expect(vouchesFor(failedOver, { ...on("pg2"), clone: "pgha-stock-clone" }, [on("pg1")])).toBe(false);
});

it("not when one of several others runs", () => {
  expect(vouchesFor(failedOver, on("pg2"), [on("pg1"), on("pg3")])).toBe(false);
});
