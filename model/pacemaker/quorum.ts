import type { PacemakerDeclaration } from "./declaration.ts";

/** By which Pacemaker lets the host with the primary win when two hosts, cut off from each other, both want to switch the other off. */
export const fencingDelayProperty = "priority-fencing-delay";

/**
 * How long a host waits before it switches off the one with the primary. Longer than any fence device needs, because the
 * primary's host must be done by then; a failover after that host's death is later by it.
 */
const twoHostsFencingDelay = "10s";

/** Is a cut between these hosts decided by who is switched off first, and not by a majority? */
export function isTwoNode(hosts: number): boolean {
  return hosts === 2;
}

/** Properties of the Pacemaker cluster that follow from how its quorum is made. */
export function quorumProperties({ hosts, fencing }: PacemakerDeclaration): Record<string, string> {
  return isTwoNode(hosts.length) && fencing.length > 0 ? { [fencingDelayProperty]: twoHostsFencingDelay } : {};
}

/** Does the delay work? Then a primary must weigh more than a standby, and Pacemaker weighs only what has a priority. */
export function delaysFencing(properties: Readonly<Record<string, string>>): boolean {
  return !/^0*[a-z]*$/.test(properties[fencingDelayProperty] ?? "0");
}
