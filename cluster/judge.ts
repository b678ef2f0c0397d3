import { type Fault, FaultsFound, faultText } from "../model/fault.ts";
import type { DeclaredGroup } from "../model/groupDiff.ts";
import { type MemberObservation, reachedMembers } from "../model/observation.ts";
import type { ObservedPrimary } from "../model/observedPrimary.ts";
import { strangeData } from "../model/ownership.ts";
import { refusedChanges, roomFaults } from "../model/refusals.ts";
import { renderPostgresqlConf } from "../model/rendering.ts";
import { type ClusterAccess, withSession } from "./access.ts";
import { judgeParameters } from "./configuration.ts";
import type { Decision, Goal } from "./decide.ts";

/**
 * Everything that speaks against carrying out a declaration, at preview too: changes that cannot be made, data that is not
 * ours, too little room for a clone, parameters that PostgreSQL does not take. Errors: `FaultsFound` with all of them.
 */
export async function refuseUnfit(
  access: ClusterAccess,
  { declared, olds }: Goal,
  { observations, state }: Decision,
): Promise<void> {
  const [room, parameters] = await Promise.all([
    judgeRoom(access, observations, state.observed),
    judgeChangedParameters(access, observations),
  ]);
  refuse([
    ...refusedChanges(declared, olds, observations),
    ...strangeData(declared.cluster, declared.members, observations),
    ...room,
    ...parameters,
  ]);
}

/** What must hold under the lock too, whatever somebody else did since: no data is written to that is not ours. */
export function refuseStrangeData(declared: DeclaredGroup, { observations }: Decision): void {
  refuse(strangeData(declared.cluster, declared.members, observations));
}

function refuse(faults: readonly Fault[]): void {
  if (faults.length > 0) throw new FaultsFound(faults, "Nothing was touched:");
}

/** A clone must fit before anything is touched. */
async function judgeRoom(
  access: ClusterAccess,
  observations: readonly MemberObservation[],
  observed: ObservedPrimary,
): Promise<Fault[]> {
  const targets = reachedMembers(observations).filter((seen) => seen.local.dataDirectory !== "data");
  if (targets.length === 0) return [];
  const bytes = observed.kind === "known" ? await databaseBytes(access, observed.member) : emptyDatabaseBytes;
  return roomFaults(access.group.cluster, targets, bytes, (member) => access.member(member).declaration.host);
}

/** A fresh initdb, its WAL, and room to begin with. */
const emptyDatabaseBytes = 200 * 1024 * 1024;

function databaseBytes(access: ClusterAccess, primary: string): Promise<number> {
  return withSession(access.member(primary), async (session) => {
    const rows = await session.query<{ bytes: string }>(
      "select (select sum(pg_database_size(oid)) from pg_database) + (select sum(size) from pg_ls_waldir()) as bytes",
    );
    return Number(rows[0]?.bytes ?? 0);
  });
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
