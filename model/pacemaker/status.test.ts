import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { pacemakerProblems, unpromotable } from "./explain.ts";
import { hasWork, type PacemakerStatus, parseStatus, promotedNodes, type RunningStatus, scoreOf } from "./status.ts";

/* What crm_mon of Pacemaker 3.0.0 printed, word for word: on three hosts; and where their text says so, of simulated events. */
function recorded(name: string): string {
  return readFileSync(new URL(`./recorded/${name}.xml`, import.meta.url), "utf8");
}

function running(name: string): RunningStatus {
  const status: PacemakerStatus = parseStatus(recorded(name));
  if (!status.running) throw new Error(`${name}: ${status.reason}`);
  return status;
}

const ours = ["pgha-orders", "pgha-orders-primary-ip"];

describe("three healthy nodes", () => {
  const status = running("healthy");

  it("have a coordinator, a quorum and fencing", () => {
    const { coordinator, quorum, maintenance, fencingEnabled } = status;
    expect({ coordinator, quorum, maintenance, fencingEnabled }).toEqual({
      coordinator: "pg2",
      quorum: true,
      maintenance: false,
      fencingEnabled: true,
    });
    expect(status.nodes.map(({ name, online }) => [name, online])).toEqual([
      ["pg1", true],
      ["pg2", true],
      ["pg3", true],
    ]);
    expect(status.nodes[1]).toEqual({
      id: 2,
      name: "pg2",
      online: true,
      standby: false,
      maintenance: false,
      pending: false,
      unclean: false,
      shutdown: false,
      isCoordinator: true,
    });
  });

  it("run every instance of the clone, and the group's address beside the promoted one", () => {
    expect(status.resources.filter(({ id }) => ours.includes(id))).toEqual([
      instance("Promoted", "pg1"),
      instance("Unpromoted", "pg3"),
      instance("Unpromoted", "pg2"),
      {
        ...instance("Started", "pg1"),
        id: "pgha-orders-primary-ip",
        agent: "ocf:heartbeat:IPaddr2",
        clone: undefined,
        group: "pgha-orders-addresses",
      },
    ]);
    expect(promotedNodes(status, "pgha-orders-clone")).toEqual(["pg1"]);
  });

  it("keep the agent's promotion scores as attributes", () => {
    expect(status.nodeAttributes).toEqual({
      pg1: { "master-pgha-orders": "1001" },
      pg2: { "master-pgha-orders": "1000" },
      pg3: { "master-pgha-orders": "990" },
    });
  });

  it("have no problem", () => {
    expect([pacemakerProblems(status, ours), unpromotable(status, ours)]).toEqual([[], []]);
    expect([status.failedActions, status.failCounts, status.fencing]).toEqual([[], [], []]);
  });
});

function instance(role: string, node: string) {
  return {
    id: "pgha-orders",
    agent: "ocf:heartbeat:pgsqlms",
    clone: "pgha-orders-clone",
    role,
    nodes: [node],
    managed: true,
    maintenance: false,
    failed: false,
    blocked: false,
    orphaned: false,
  };
}

it("a primary whose monitor failed is failed, with its action and its fail-count", () => {
  const status = running("failed");
  expect(status.failedActions).toEqual([
    {
      operation: "pgha-orders_monitor_3000",
      node: "pg1",
      exitCode: 9,
      exitStatus: "Failed in promoted role",
      reason: "Simulated action result",
      status: "Done",
    },
  ]);
  expect(status.failCounts).toEqual([{ resource: "pgha-orders", node: "pg1", count: 1, threshold: 5 }]);
  expect(pacemakerProblems(status, ours)).toEqual([
    "pgha-orders on pg1 has failed",
    "pgha-orders_monitor_3000 failed on pg1: Failed in promoted role: Simulated action result",
    "pgha-orders failed 1 time on pg1; at 5 it may not run there any more",
  ]);
});

it("an agent's reason is told as the agent wrote it: Pacemaker escapes it twice", () => {
  const escaped = "Instance &amp;quot;pgha-orders&amp;quot; failed to start (rc: 1) &amp;amp;quot;";
  const status = parseStatus(recorded("failed").replace("Simulated action result", escaped));
  expect(status.running && status.failedActions.map(({ reason }) => reason)).toEqual([
    'Instance "pgha-orders" failed to start (rc: 1) &quot;',
  ]);
});

it("a primary whose stop failed without fencing is blocked, and may not run there any more", () => {
  const status = running("blocked");
  expect(status.fencingEnabled).toBe(false);
  expect(pacemakerProblems(status, ours)).toEqual([
    "pgha-orders on pg1 is blocked: Pacemaker knows no way on by itself (usually a stop that failed, without fencing)",
    "pgha-orders_stop_0 failed on pg1: Error occurred: Simulated action result",
    "pgha-orders may not run on pg1: it could not be started or stopped there; once the cause is gone, `crm_resource --cleanup --resource pgha-orders --node pg1` has it tried again at once",
  ]);
});

it("clone and group in maintenance are left alone, and nothing else is", () => {
  const status = running("maintenance");
  expect(status.maintenance).toBe(false);
  const alone = status.resources.filter(({ maintenance, managed }) => maintenance && !managed).map(({ id }) => id);
  expect(alone).toEqual(["pgha-orders", "pgha-orders", "pgha-orders", "pgha-orders-primary-ip"]);
});

describe("a primary whose host dies", () => {
  it("is unclean first, and what ran there is still told to be there", () => {
    const status = running("hostDied");
    expect(promotedNodes(status, "pgha-orders-clone")).toEqual(["pg1"]);
    expect(pacemakerProblems(status, ours)).toEqual([
      "pg1 is unclean: it must be fenced before what ran there runs elsewhere",
    ]);
  });

  it("is fenced, and that is under way for a moment", () => {
    const status = running("beingFenced");
    expect(status.fencing).toEqual([{ target: "pg1", action: "reboot", status: "pending" }]);
    expect(pacemakerProblems(status, ours)).toEqual([
      "pg1 is unclean: it must be fenced before what ran there runs elsewhere",
      "fencing of pg1 (reboot) is under way",
    ]);
  });

  it("is off, and then another one is being promoted", () => {
    const status = running("promoting");
    expect(status.fencing).toEqual([
      { target: "pg1", action: "reboot", status: "success", completed: "2026-11-21 23:59:45.488308Z" },
    ]);
    expect(promotedNodes(status, "pgha-orders-clone")).toEqual([]);
    expect(pacemakerProblems(status, ours)).toEqual(["pg1 is offline", "pgha-orders on pg2: promoting"]);
  });

  it("has been replaced, and the third member is told that does not stream yet", () => {
    const status = running("failedOver");
    expect(promotedNodes(status, "pgha-orders-clone")).toEqual(["pg2"]);
    expect(status.resources.find(({ id }) => id === "pgha-orders-primary-ip")?.nodes).toEqual(["pg2"]);
    expect([...pacemakerProblems(status, ours), ...unpromotable(status, ours)]).toEqual([
      "pg1 is offline",
      "pg3 does not stream from the primary (or lags by more than maxlag), and must not be promoted",
    ]);
  });
});

it("a monitor that begins is no problem", () => {
  const status = running("monitoring");
  expect(status.resources.find(({ pending }) => pending !== undefined)).toMatchObject({ pending: "Monitoring" });
  expect(pacemakerProblems(status, ours)).toEqual([]);
});

it("without quorum nothing goes on, and a node in standby is told", () => {
  expect(pacemakerProblems(running("noQuorum"), ours)).toEqual([
    "no quorum: fewer than half of the nodes see each other, nothing may run",
    "pg1 is unclean: it must be fenced before what ran there runs elsewhere",
    "pg3 is in standby: nothing may run there",
  ]);
});

it("a host on which Pacemaker does not run says so", () => {
  expect(parseStatus(recorded("disconnected"))).toEqual({ running: false, reason: "Not connected" });
});

it.each([
  ["", "crm_mon: found no output, expected its XML."],
  ["crm_mon: command not found", 'crm_mon: found "crm_mon: command not found", expected its XML.'],
  ["<pacemaker-result><summary>", 'crm_mon: found "<pacemaker-result><summary>", expected its XML.'],
  [
    '<r><summary/><nodes><node id="1" name="pg1" online="yes"/></nodes></r>',
    'crm_mon: found <node> in which online is "yes" and standby is missing and',
  ],
])("what is no status is refused with what was found: %s", (text, fault) => {
  expect(() => parseStatus(text)).toThrow(fault);
});

it("scores are numbers, INFINITY too", () => {
  expect(["1000", "-1", "INFINITY", "-INFINITY", "+INFINITY"].map(scoreOf)).toEqual([
    1000, -1, 1_000_000, -1_000_000, 1_000_000,
  ]);
});

it("a Pacemaker has work that sees other nodes, or has resources; the one that Debian's packages start has none", () => {
  const alone = (resources: string) =>
    `<pacemaker-result><summary><current_dc present="true" name="node1" id="1" with_quorum="true"/></summary><nodes><node name="node1" id="1" online="true" standby="false" standby_onfail="false" maintenance="false" pending="false" unclean="false" shutdown="false" is_dc="true"/></nodes><resources>${resources}</resources></pacemaker-result>`;
  const resource =
    '<resource id="ip" resource_agent="ocf:heartbeat:IPaddr2" role="Stopped" managed="true" failed="false" orphaned="false"/>';
  expect(
    [undefined, "", alone("").slice(0, -20), alone(""), alone(resource), recorded("beingFenced")].map(hasWork),
  ).toEqual([false, false, false, false, true, true]);
});
