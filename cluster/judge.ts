import { type Fault, FaultsFound, faultText } from "../model/fault.ts";
import type { DeclaredGroup } from "../model/groupDiff.ts";
import { type MemberObservation, reachedMembers } from "../model/observation.ts";
import { namedPrimary } from "../model/observedPrimary.ts";
import { strangeData } from "../model/ownership.ts";
import { refusedChanges } from "../model/refusals.ts";
import { renderPostgresqlConf } from "../model/rendering.ts";
import type { ClusterAccess } from "./access.ts";
import { judgeParameters } from "./configuration.ts";
import type { Decision, Goal } from "./decide.ts";
import { judgeRoom } from "./room.ts";

/**
 * Everything that speaks against carrying out a declaration, at preview too: changes that cannot be made, data that is not
 * ours, too little room for a clone, parameters that PostgreSQL does not take. Errors: `FaultsFound` with all of them.
 */
export async function refuseUnfit(
  access: ClusterAccess,
  { declared, olds }: Goal,
  { observations, state }: Decision,
): Promise<void> {
  const strange = strangeDataOf(declared, { observations, state });
  const [room, parameters] = await Promise.all([
    judgeRoom(access, withoutFaults(observations, strange), state.observed),
    judgeChangedParameters(access, observations),
  ]);
  refuse([...refusedChanges(declared, olds, observations), ...strange, ...room, ...parameters]);
}

/** What must hold under the lock too, whatever somebody else did since: no data is written to that is not ours. */
export function refuseStrangeData(declared: DeclaredGroup, seen: Decision): void {
  refuse(strangeDataOf(declared, seen));
}

function strangeDataOf(declared: DeclaredGroup, seen: Pick<Decision, "observations" | "state">): Fault[] {
  const { observed } = seen.state;
  const primary = namedPrimary(observed)?.member;
  return strangeData(declared.cluster, declared.members, seen.observations, primary);
}

/** How much room a member needs whose directory is not ours is no question. */
function withoutFaults(observations: readonly MemberObservation[], faults: readonly Fault[]): MemberObservation[] {
  return observations.filter((seen) => !faults.some((fault) => fault.path[3] === seen.member));
}

function refuse(faults: readonly Fault[]): void {
  if (faults.length > 0) throw new FaultsFound(faults, "Nothing was touched:");
}

/** PostgreSQL itself reads new parameters; where nothing changes, nobody is asked. Members that say the same are told once. */
async function judgeChangedParameters(
  access: ClusterAccess,
  observations: readonly MemberObservation[],
): Promise<Fault[]> {
  const changed = reachedMembers(observations).filter((seen) => {
    const member = access.member(seen.member);
    return seen.local.files[member.paths.postgresqlConf] !== renderPostgresqlConf(access.group, member.declaration);
  });
  const faults = await Promise.all(changed.map((seen) => judgeParameters(access, access.member(seen.member))));
  return [...new Map(faults.flat().map((fault) => [faultText(fault), fault])).values()];
}
