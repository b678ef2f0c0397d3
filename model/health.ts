import { formatBytes } from "./bytes.ts";
import type { Group } from "./group.ts";
import { memberOf, othersOf } from "./group.ts";
import { slotName, slotPrefix } from "./names.ts";
import {
  isSentNothing,
  isServiceStopped,
  isStreamingTimelineOf,
  type Marker,
  type MemberObservation,
  missingData,
  type ReachedMember,
  reachedMembers,
  type Slot,
  timelineOf,
} from "./observation.ts";
import { wayBack } from "./ownership.ts";
import { stoppedByOrder } from "./pacemaker/operatorOrders.ts";
import { arePromotedApart, promotedApartText } from "./promotedApart.ts";
import { strayProblem } from "./rejoin.ts";
import { rejoinFacts } from "./rejoinFacts.ts";
import { synchronousStandbyNames } from "./rendering.ts";

/**
 * What is not as it should be, by member, in words that name the cause; empty when all is well. Nothing is said of a
 * member whose host was not reached: it is unknown, and what is unknown is no change; nor of one that an operator keeps
 * stopped. A member that follows another standby for the time of a handover is not settled either.
 */
export function memberHealth(
  group: Group,
  primaryName: string,
  observations: readonly MemberObservation[],
): Readonly<Record<string, string>> {
  const primary = memberOf(group, primaryName);
  const found: Record<string, string> = {};
  const ordered = stoppedByOrder(group, primaryName, observations);
  for (const observation of observations) {
    if (observation.member in ordered) continue;
    const problem = problemOf(group, primary, observation, observations);
    if (problem !== undefined) found[observation.member] = problem;
  }
  return found;
}

function problemOf(
  group: Group,
  primary: { name: string; replicationAddress: string; port: number },
  observation: MemberObservation,
  observations: readonly MemberObservation[],
): string | undefined {
  if (!observation.reached) return undefined;
  const { local, postgres, member } = observation;
  if (local.marker === undefined) return local.dataDirectory === "data" ? "data that pgha did not make" : "no data yet";
  if (local.marker.state === "rewinding") return "its rewind broke off";
  if (local.marker.state === "swapping") return "its clone has not taken the place of its old data";
  if (local.marker.state !== "ready") return `${local.marker.state} was not finished`;
  const gone = missingData(local);
  if (gone !== undefined) {
    return `data missing (a volume that is not mounted?): marked ready, but ${gone.text}. ${wayBack(group.cluster, observation)}`;
  }
  const facts = rejoinFacts(group, primary.name, observation, observations);
  const stray = facts === undefined ? undefined : strayProblem(facts);
  if (stray !== undefined) return stray;
  if (postgres === undefined && local.unit === "waiting") return `waits to start: ${local.gate ?? "at its boot gate"}`;
  if (postgres === undefined) {
    return isServiceStopped(observation) ? "service stopped" : `PostgreSQL does not answer (unit ${local.unit})`;
  }
  const missing = othersOf(group, member)
    .map((other) => slotName(other.name))
    .filter((name) => !postgres.slots.some((slot) => slot.name === name));
  if (missing.length > 0) return `slot missing: ${missing.join(", ")}`;
  const left = slotsOfNobody(group, member, postgres.slots).filter((slot) => !slot.active);
  if (left.length > 0) return `slot of no member, holds WAL back: ${left.map((slot) => slot.name).join(", ")}`;
  const channel = channelProblem(group, observation, observations);
  if (channel !== undefined) return channel;
  const ours = group.failover.manager === "none";
  if (local.unitEnabled !== ours) {
    return ours ? "service not enabled at boot" : "service enabled at boot, where the failover manager starts it";
  }
  if (member === primary.name) {
    if (postgres.inRecovery) return "is a standby, not the primary";
    if (local.standbySignal) return "its next restart would be as a standby (standby.signal)";
    return synchronousProblem(group, postgres.settings.synchronous_standby_names?.setting);
  }
  if (!postgres.inRecovery) return "writable although it is not the primary";
  const receiver = postgres.walReceiver;
  if (receiver?.status !== "streaming") return "does not stream";
  const seenPrimary = reachedMembers(observations).find((seen) => seen.member === primary.name);
  if (seenPrimary !== undefined && isSentNothing(seenPrimary, member)) {
    return `is connected to ${primary.name} and is sent nothing: the logs of both say why`;
  }
  if (receiver.senderHost !== primary.replicationAddress || receiver.senderPort !== primary.port) {
    return `streams from ${receiver.senderHost}:${receiver.senderPort}, not from ${primary.name}`;
  }
  if (seenPrimary !== undefined) {
    if (arePromotedApart(observation, seenPrimary)) return promotedApartText(observation, seenPrimary);
    if (!isStreamingTimelineOf(seenPrimary, observation)) {
      return `streams timeline ${receiver.timeline}, while ${primary.name} is on ${timelineOf(seenPrimary)}`;
    }
  }
  return leftoverProblem(local.marker);
}

/**
 * Who has a slot in use that is nobody's among the members: it cannot be dropped, and only an operator knows who streams
 * there. By member, in words; empty when there is nobody.
 */
export function slotsInUse(group: Group, observations: readonly MemberObservation[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    reachedMembers(observations).flatMap(({ member, postgres }) => {
      const used = slotsOfNobody(group, member, postgres?.slots ?? []).filter((slot) => slot.active);
      return used.length === 0
        ? []
        : [
            [
              member,
              `${used.map((slot) => slot.name).join(", ")} (\`pulumi up\` drops it once that standby is stopped)`,
            ],
          ];
    }),
  );
}

/** With less, PostgreSQL soon cannot write: four WAL segments of the usual size. */
const fullBelowBytes = 64 * 1024 ** 2;

/** Members that have hardly room left for their data or their WAL, with where; of hosts that are not reached nothing is known. */
export function fullVolumes(
  group: Group,
  observations: readonly MemberObservation[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    reachedMembers(observations).flatMap(({ member, local }) => {
      const declared = group.members.find(({ name }) => name === member);
      if (declared === undefined) return [];
      const { dataDirectory, walDirectory } = declared;
      const full = [
        ...(local.freeBytes < fullBelowBytes ? [dataDirectory] : []),
        ...(walDirectory !== undefined && local.walFreeBytes < fullBelowBytes ? [walDirectory] : []),
      ];
      const left = `less than ${formatBytes(fullBelowBytes)} free at`;
      return full.length === 0 ? [] : [[member, `${left} ${full.join(" and ")}; without room for WAL it stops`]];
    }),
  );
}

/** Slots named as pgha names them, for others than the declared members; whoever else has slots names them otherwise. */
function slotsOfNobody(group: Group, member: string, slots: readonly Slot[]): Slot[] {
  const wanted = othersOf(group, member).map((other) => slotName(other.name));
  return slots.filter(
    ({ name, kind, temporary }) =>
      kind === "physical" && !temporary && name.startsWith(slotPrefix) && !wanted.includes(name),
  );
}

/** What a clone beside the data left on the disk. */
function leftoverProblem({ replaced, beside }: Marker): string | undefined {
  if (replaced !== undefined) return `the data that its clone replaced is still there (${replaced})`;
  return beside === undefined ? undefined : `a clone that was not finished is still there (${beside})`;
}

/** The hosts ask each other during a handover and after a boot; of one that is not reached nothing is known. */
function channelProblem(
  group: Group,
  { member, local }: ReachedMember,
  observations: readonly MemberObservation[],
): string | undefined {
  if (group.members.length < 2) return undefined;
  if (local.channelKey === undefined) return "its host has no key to ask the other members' hosts with";
  const unknown = reachedMembers(observations).filter(
    ({ member: other, local: { channelKey } }) =>
      other !== member && channelKey !== undefined && !local.authorized?.includes(channelKey.trim()),
  );
  if (unknown.length === 0) return undefined;
  return `its host does not let ${unknown.map((other) => other.member).join(", ")} ask it`;
}

function synchronousProblem(group: Group, live: string | undefined): string | undefined {
  const wanted = synchronousStandbyNames(group);
  if (live === undefined || live === wanted) return undefined;
  // The agent pgsql takes the rule away while no standby is there, and puts it back.
  if (live === "" && group.failover.manager === "pacemaker" && group.failover.agent === "pgsql") return undefined;
  // It goes on without standbys as declared, and ends that by itself.
  if (live === "" && group.relaxAfterSeconds !== undefined) return undefined;
  return `synchronous_standby_names is '${live}', not '${wanted}'`;
}
