import type { ClusterDeclaration } from "../declaration.ts";
import type { Fault } from "../fault.ts";

/** Shorter than that, a standby that restarts would let commits go on without it. */
const leastRelaxSeconds = 10;

/** What is around a cluster whose commits may go on without standbys. */
export interface RelaxSurroundings {
  /** Does the Corosync cluster switch silent hosts off? */
  readonly fenced: boolean;
  /** Does a host beside the nodes have a vote? */
  readonly hasQuorumDevice: boolean;
  /** The nodes of the Corosync cluster. */
  readonly nodes: readonly string[];
}

type RelaxingCluster = Pick<ClusterDeclaration, "name" | "members" | "relaxAfterSeconds"> & {
  readonly failover: { readonly manager: string; readonly agent?: string };
};

/**
 * Where commits must not go on without standbys: that nobody else is promoted then stands in Pacemaker's configuration, and
 * whoever has quorum later must have a copy of it. `surroundings` undefined: there is no Pacemaker.
 */
export function relaxFaults(
  { name, members, relaxAfterSeconds, failover }: RelaxingCluster,
  surroundings: RelaxSurroundings | undefined,
): Fault[] {
  if (relaxAfterSeconds === undefined) return [];
  const at = (key: string) => ["pgha:clusters", name, "synchronous", key];
  const block = "Write onLoss: block, with which commits wait";
  const faults: Fault[] = [];
  if (relaxAfterSeconds < leastRelaxSeconds) {
    faults.push({
      path: at("relaxAfter"),
      found: `${relaxAfterSeconds}s`,
      expected: `at least ${leastRelaxSeconds}s`,
      remedy: "A standby that restarts is away for some seconds: write more.",
    });
  }
  const found = (what: string, expected: string, remedy: string) =>
    faults.push({ path: at("onLoss"), found: `relax ${what}`, expected, remedy });
  if (surroundings === undefined) {
    found(
      "without a failover manager",
      "failover: { manager: pacemaker }, which keeps others from being promoted meanwhile",
      `${block}.`,
    );
    return faults;
  }
  if (!surroundings.fenced) {
    found(
      "without fencing",
      "fencing devices: a host that is cut off may decide by itself",
      `${block}, or declare them.`,
    );
  }
  if (surroundings.hasQuorumDevice) {
    found(
      "with a quorum device",
      "none: a host that comes back alone has quorum by it, and does not know who went on alone",
      `${block}, or remove the quorum device.`,
    );
  }
  if (failover.agent !== "paf") {
    found(
      `with the agent ${failover.agent ?? "none"}`,
      "paf: another agent decides itself when commits wait",
      `${block}, or agent: paf.`,
    );
  }
  const strangers = surroundings.nodes.filter((node) => !members.some(({ host }) => host === node));
  if (strangers.length > 0) {
    found(
      `in a Corosync cluster with ${strangers.join(", ")}`,
      "one that has this cluster's hosts alone: all its nodes are asked whether they know",
      `${block}, or give the cluster a Corosync cluster of its own.`,
    );
  }
  return faults;
}
