import type { RunningStatus } from "../../model/pacemaker/status.ts";

const nodes = ["pg1", "pg2", "pg3"];

type Instance = RunningStatus["resources"][number];

/** One instance of cluster orders, as Pacemaker believes it. */
export function instance(node: string, role: string, overrides: Partial<Instance> = {}): Instance {
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
    ...overrides,
  };
}

/** Its virtual IP. */
function address(node: string): Instance {
  const { clone: _, ...started } = instance(node, "Started");
  return { ...started, id: "pgha-orders-primary-ip", agent: "ocf:heartbeat:IPaddr2", group: "pgha-orders-addresses" };
}

/** Three nodes online, pg2 decides, pg1 is promoted, the address is beside it. */
export function pacemaker(overrides: Partial<RunningStatus> = {}): RunningStatus {
  return {
    running: true,
    coordinator: "pg2",
    quorum: true,
    maintenance: false,
    fencingEnabled: true,
    bans: [],
    nodes: nodes.map((name, index) => ({
      id: index + 1,
      name,
      online: true,
      standby: false,
      maintenance: false,
      pending: false,
      unclean: false,
      shutdown: false,
      isCoordinator: name === "pg2",
    })),
    resources: [
      instance("pg1", "Promoted"),
      instance("pg2", "Unpromoted"),
      instance("pg3", "Unpromoted"),
      address("pg1"),
    ],
    failedActions: [],
    failCounts: [],
    nodeAttributes: {
      pg1: { "master-pgha-orders": "1001" },
      pg2: { "master-pgha-orders": "1000" },
      pg3: { "master-pgha-orders": "990" },
    },
    fencing: [],
    ...overrides,
  };
}
