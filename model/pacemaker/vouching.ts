import { promotedNodes, type RunningStatus } from "./status.ts";

/** One member as Pacemaker knows it. */
export interface ManagedInstance {
  /** The promotable clone it is an instance of. */
  readonly clone: string;
  /** The node it is on. */
  readonly node: string;
}

/**
 * Does Pacemaker's word make it sure that nobody but this member, which was seen to be writable, is primary, although the
 * others could not be asked? By it this one is the promoted one, and each of the others is on a node that is off: fenced, or
 * left in order, which stops its instances. Only with quorum and with fencing, for otherwise a node that is not heard counts
 * as off; never under maintenance of everything or of that node, which leaves instances running.
 */
export function vouchesFor(
  status: RunningStatus,
  candidate: ManagedInstance,
  others: readonly ManagedInstance[],
): boolean {
  const promoted = promotedNodes(status, candidate.clone);
  return (
    status.quorum &&
    status.coordinator !== undefined &&
    status.fencingEnabled &&
    !status.maintenance &&
    promoted.length === 1 &&
    promoted[0] === candidate.node &&
    others.every(({ node }) => isOff(status, node))
  );
}

function isOff(status: RunningStatus, name: string): boolean {
  const node = status.nodes.find((one) => one.name === name);
  return node !== undefined && !node.online && !node.unclean && !node.pending && !node.maintenance;
}
