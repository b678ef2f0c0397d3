import { type Journal, type MemberObservation, type ReachedMember, reachedMembers } from "./observation.ts";

/** The journal of a handover that did not end, from whichever member has it; the newest epoch wins. */
export function openJournal(observations: readonly MemberObservation[]): Journal | undefined {
  return reachedMembers(observations)
    .flatMap(({ local }) => (local.journal === undefined ? [] : [local.journal]))
    .sort((a, b) => b.epoch - a.epoch)[0];
}

/** What was begun on a member and not ended, as one sentence; undefined when nothing is. */
export function unfinishedWork(observations: readonly MemberObservation[]): string | undefined {
  const journal = openJournal(observations);
  if (journal !== undefined) {
    return `the switchover ${journal.from} -> ${journal.to}, begun ${journal.startedAt} by ${journal.holder}`;
  }
  const marked = reachedMembers(observations).flatMap(({ member, local }) =>
    local.marker === undefined || local.marker.state === "ready" ? [] : [`${member} ${local.marker.state}`],
  );
  return marked.length === 0 ? undefined : `the data of ${marked.join(", ")}`;
}

/** What the next `up` does about a handover that did not end. A pure reading of what the members say now. */
export type Recovery =
  /** Nobody was stopped: put the standbys back and forget it. */
  | { readonly kind: "clear" }
  /** The target was promoted: the old one follows, and the handover is complete. `startTarget`: it is not running. */
  | { readonly kind: "forward"; readonly startTarget: boolean }
  /** The old primary is down and nobody was promoted: it comes back. */
  | { readonly kind: "restore" }
  | { readonly kind: "stop"; readonly reason: string };

export function recoveryOf(journal: Journal, observations: readonly MemberObservation[]): Recovery {
  const unread = observations.filter(
    (observation) =>
      !observation.reached ||
      (observation.postgres === undefined && !["inactive", "failed"].includes(observation.local.unit)),
  );
  const reached = reachedMembers(observations);
  const writable = reached.filter((observation) => observation.postgres?.inRecovery === false);
  const only = writable[0];
  if (writable.length > 1) {
    return {
      kind: "stop",
      reason: `${writable.map((observation) => observation.member).join(" and ")} are both writable`,
    };
  }
  if (only?.member === journal.to) return { kind: "forward", startTarget: false };
  if (only?.member === journal.from) {
    // A target that nobody can ask may be writable on its side: its journal stays until it can be asked.
    if (unread.some((observation) => observation.member === journal.to)) {
      return { kind: "stop", reason: `${journal.to} cannot be read, and may be primary as well` };
    }
    return { kind: "clear" };
  }
  if (only !== undefined) return { kind: "stop", reason: `${only.member} became primary meanwhile` };
  if (unread.length > 0) {
    return {
      kind: "stop",
      reason: `${unread.map((observation) => observation.member).join(", ")} cannot be read, and may be primary`,
    };
  }
  const timelineOf = ({ local, postgres }: ReachedMember) => postgres?.timeline ?? local.controlData?.timeline ?? 0;
  const ahead = reached.filter((observation) => timelineOf(observation) > journal.timeline);
  const target = reached.find((observation) => observation.member === journal.to);
  const highest = Math.max(...ahead.map(timelineOf));
  if (
    target !== undefined &&
    target.postgres === undefined &&
    !target.local.standbySignal &&
    timelineOf(target) === highest
  ) {
    return { kind: "forward", startTarget: true };
  }
  if (ahead.length > 0) {
    return {
      kind: "stop",
      reason: `nobody is writable, but the timeline of ${ahead.map((observation) => observation.member).join(", ")} is higher than ${journal.timeline}`,
    };
  }
  const old = reached.find((observation) => observation.member === journal.from);
  if (old === undefined || old.local.dataDirectory !== "data" || timelineOf(old) !== journal.timeline) {
    return {
      kind: "stop",
      reason: `${journal.from} has no data on timeline ${journal.timeline}, on which it was primary`,
    };
  }
  return { kind: "restore" };
}
