import type { Group } from "./group.ts";
import { segmentBytes } from "./lsn.ts";
import {
  isLost,
  isStreaming,
  isStreamingTimelineOf,
  type MemberObservation,
  type ReachedMember,
  reachedMembers,
  type SourceFacts,
  type StrayFacts,
} from "./observation.ts";
import { arePromotedApart } from "./promotedApart.ts";

export type RejoinRule = Group["rejoin"];

/** Everything that the decision rests on, of one member. */
export interface RejoinFacts {
  readonly rule: RejoinRule;
  readonly primary: string;
  readonly postgresVersion: number;
  readonly segmentBytes: number;
  /** Its WAL may also come from an archive, about which the primary knows nothing. */
  readonly hasRestoreCommand: boolean;
  readonly state: "ready" | "rewinding" | "swapping";
  readonly standbySignal: boolean;
  /** It streams, though it was promoted apart from the primary: PostgreSQL compares only the timelines' numbers. */
  readonly streamsApart: boolean;
  readonly freeBytes: number;
  /** Undefined: its data cannot be read. */
  readonly stray: StrayFacts | undefined;
  readonly source: SourceFacts;
  /** Other standbys that stream from the primary now. */
  readonly otherCopies: number;
}

/** The members that do not follow `primaryName`: how each comes back is to be decided. Members without finished data are not meant. */
export function strayMembers(primaryName: string, observations: readonly MemberObservation[]): ReachedMember[] {
  const primary = reachedMembers(observations).find((seen) => seen.member === primaryName);
  return reachedMembers(observations).filter((seen) => {
    const { marker, dataDirectory, unit } = seen.local;
    if (seen.member === primaryName) return false;
    if (marker?.state === "rewinding" || marker?.state === "swapping") return true;
    if (marker?.state !== "ready" || dataDirectory !== "data" || isLost(seen)) return false;
    if (seen.postgres !== undefined) {
      if (!seen.postgres.inRecovery) return false;
      if (primary === undefined) return !isStreaming(seen);
      return !isStreamingTimelineOf(primary, seen) || arePromotedApart(seen, primary);
    }
    // One that runs without an answer is left alone: nobody knows what it is doing.
    return unit !== "active" && unit !== "deactivating";
  });
}

/** The facts of one stray member; undefined while the primary was not asked what it can give. */
export function rejoinFacts(
  group: Group,
  primaryName: string,
  seen: ReachedMember,
  observations: readonly MemberObservation[],
): RejoinFacts | undefined {
  const primary = reachedMembers(observations).find((observation) => observation.member === primaryName);
  const state = seen.local.marker?.state;
  if (primary?.source === undefined || (state !== "ready" && state !== "rewinding" && state !== "swapping")) {
    return undefined;
  }
  return {
    rule: group.rejoin,
    primary: primaryName,
    postgresVersion: group.postgresVersion,
    segmentBytes: segmentBytes(group.walSegmentSize),
    hasRestoreCommand: "restore_command" in group.parameters,
    state,
    standbySignal: seen.local.standbySignal,
    streamsApart: isStreaming(seen) && arePromotedApart(seen, primary),
    freeBytes: seen.local.freeBytes,
    stray: seen.stray,
    source: primary.source,
    otherCopies: reachedMembers(observations).filter(
      (one) => one.member !== seen.member && isStreamingTimelineOf(primary, one),
    ).length,
  };
}
