import { endpointsOf, type Group } from "../model/group.ts";
import type { MemberObservation } from "../model/observation.ts";
import { namedPrimary, observePrimary } from "../model/observedPrimary.ts";
import { withPrimary } from "../model/pacemaker/names.ts";
import type { ClusterAccess } from "./access.ts";
import type { AgentArguments } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";
import { orderUnderLock } from "./order.ts";

/** The addresses that move with the primary, as the hosts take them: without a `nic` the host looks for the one in the same network. */
export function movingAddresses({ virtualIps }: Pick<Group, "virtualIps">): AgentArguments[] {
  return Object.values(withPrimary(virtualIps)).map(({ address, prefix, nic = "" }) => ({ address, prefix, nic }));
}

/**
 * Before the failover manager manages again: nobody but the primary has an address that moves with it, and nothing of a
 * handover that was cut off keeps its host from answering. One that nobody has is the manager's to start. Nothing where the
 * primary is not known.
 */
export async function settleAddresses(
  access: ClusterAccess,
  seen: readonly MemberObservation[],
  lock: Pick<ClusterLock, "epoch" | "members">,
): Promise<void> {
  const addresses = movingAddresses(access.group);
  const primary = namedPrimary(observePrimary(seen, endpointsOf(access.group)))?.member;
  if (addresses.length === 0 || primary === undefined) return;
  const order = (name: string, owner: number) =>
    orderUnderLock(access.member(name), lock, {
      verb: "settle_addresses",
      values: { addresses, owner },
      answers: ["settled"],
      purpose: owner === 1 ? `let ${name} answer for its addresses` : `take the primary's addresses from ${name}`,
    });
  const held = access.members.map(({ name }) => name).filter((name) => lock.members.has(name));
  await Promise.all(held.filter((name) => name !== primary).map((name) => order(name, 0)));
  if (held.includes(primary)) await order(primary, 1);
}
