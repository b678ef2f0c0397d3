import { describe, expect, it } from "vitest";
import type { PacemakerConfiguration } from "./configuration.ts";
import { newlyDriven, redrivenClones } from "./redrive.ts";
import type { PacemakerResource } from "./resource.ts";

const paf = { agent: "ocf:heartbeat:pgsqlms", parameters: { bindir: "/programs", pgdata: "/data" } };
const pgsql = (parameters: Record<string, string> = {}) => ({
  agent: "ocf:heartbeat:pgsql",
  parameters: {
    pgdata: "/data",
    config: "/pgsql.conf",
    tmpdir: "/var/lib/pgha/orders/pgsql",
    rep_mode: "sync",
    ...parameters,
  },
});

/** Pacemaker's configuration with one cluster, orders, driven so, and one address. */
function drivenBy(
  driver: Pick<PacemakerResource, "agent" | "parameters">,
  more: Partial<PacemakerResource> = {},
): PacemakerConfiguration {
  return {
    properties: {},
    resources: { "pgha-orders": { operations: {}, meta: {}, ...driver, ...more } },
    groups: { "pgha-orders-addresses": { members: ["pgha-orders-primary-ip"], meta: {} } },
    clones: { "pgha-orders-clone": { resource: "pgha-orders", meta: {} } },
    constraints: {},
    fencing: {},
    fencingLevels: {},
  };
}

const orders = { id: "pgha-orders-clone", resource: "pgha-orders", cluster: "orders", addressKinds: ["primary"] };
const files = { tmpdir: "/var/lib/pgha/orders/pgsql", configuration: "/pgsql.conf" };

describe("a change for which Pacemaker would restart a cluster", () => {
  it("is another agent: PAF leaves nothing, pgsql its files", () => {
    expect(redrivenClones(drivenBy(paf), drivenBy(pgsql()))).toEqual([orders]);
    expect(redrivenClones(drivenBy(pgsql()), drivenBy(paf))).toEqual([
      { ...orders, leaves: { ...files, everything: true } },
    ]);
  });

  it("is another parameter of the same agent: of another rep_mode its file is left, of another directory everything", () => {
    const from = drivenBy(pgsql());
    expect(redrivenClones(from, drivenBy(pgsql({ xlog_check_count: "5" })))).toEqual([orders]);
    expect(redrivenClones(from, drivenBy(pgsql({ rep_mode: "async" })))).toEqual([
      { ...orders, leaves: { ...files, everything: false } },
    ]);
    expect(redrivenClones(from, drivenBy(pgsql({ tmpdir: "/var/lib/pgsqlscratch" })))).toEqual([
      { ...orders, leaves: { ...files, everything: true } },
    ]);
  });

  it("is not another order of the parameters, nor an operation, nor a cluster that comes or goes", () => {
    const { agent, parameters } = pgsql();
    const turned = { agent, parameters: Object.fromEntries(Object.entries(parameters).reverse()) };
    expect(redrivenClones(drivenBy(pgsql()), drivenBy(turned))).toEqual([]);
    expect(redrivenClones(drivenBy(paf), drivenBy(paf, { operations: { start: { timeout: "90s" } } }))).toEqual([]);
    const none = { ...drivenBy(paf), resources: {}, clones: {}, groups: {} };
    expect(redrivenClones(none, drivenBy(pgsql()))).toEqual([]);
    expect(redrivenClones(drivenBy(pgsql()), none)).toEqual([]);
  });
});

it("a cluster that comes to Pacemaker under the agent pgsql has to be told who is primary; PAF sees it", () => {
  const none = { ...drivenBy(paf), resources: {}, clones: {}, groups: {} };
  expect(newlyDriven(none, drivenBy(pgsql())).map(({ cluster }) => cluster)).toEqual(["orders"]);
  expect(newlyDriven(none, drivenBy(paf))).toEqual([]);
  expect(newlyDriven(drivenBy(pgsql()), drivenBy(pgsql()))).toEqual([]);
});
