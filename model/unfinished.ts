import {
  isWritable,
  type Journal,
  type MemberObservation,
  type ReachedMember,
  reachedMembers,
  timelineOf,
  wasCompleted,
  wasRead,
} from "./observation.ts";

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
    local.marker === undefined || wasCompleted(local.marker) ? [] : [`${member} ${local.marker.state}`],
  );
  return marked.length === 0 ? undefined : `the data of ${marked.join(", ")}`;
}

/** What the next `up` does about a handover that did not end. A pure reading of what the members say now. */
export type Recovery =
  /** Nobody was stopped: put the standbys back and forget it. */
  | { readonly kind: "clear" }
  /** The target was promoted, or holds the right to be: the old one follows, and the handover is complete. `startTarget`: it is not running. */
  | { readonly kind: "forward"; readonly startTarget: boolean }
  /** The old primary is down and nobody was promoted: once the ticket is taken away, it comes back. */
  | { readonly kind: "restore" }
  /** Another member was promoted meanwhile: the handover is void, and both its parties are former members of it. */
  | { readonly kind: "overtaken"; readonly by: string }
  /** `givenUp`: the member whose data has to go before anything goes on; undefined when all have to be read first. */
  | { readonly kind: "stop"; readonly reason: string; readonly givenUp?: string };

interface Scene {
  readonly journal: Journal;
  readonly reached: readonly ReachedMember[];
  /** Members that may be primary without our knowing. */
  readonly unread: readonly MemberObservation[];
  readonly writable: readonly ReachedMember[];
  /** Undefined: not declared any more, or not reached. */
  readonly old: ReachedMember | undefined;
  readonly target: ReachedMember | undefined;
}

/** The first rule that matches wins; each knows that the ones before it did not. */
const rules: readonly ((scene: Scene) => Recovery | undefined)[] = [
  ({ writable }) =>
    writable.length > 1 ? stop(`${writable.map(({ member }) => member).join(" and ")} are both writable`) : undefined,
  // It was taken out of members:, the old primary came back and went on writing, and then it was put back.
  ({ journal, old, target }) => {
    if (target === undefined || !holdsTicket(target, journal) || !wasRestored(old, journal)) return undefined;
    return stopGivenUp(journal, `${holdsRight(journal)}, but was given up`);
  },
  ({ journal, writable }) => (isOnly(writable, journal.to) ? { kind: "forward", startTarget: false } : undefined),
  // Consumed means only forward, as long as the old primary cannot have been brought back meanwhile.
  (scene) => {
    const { journal, writable, target } = scene;
    if (target === undefined || !holdsTicket(target, journal)) return undefined;
    const leftBehind = whyLeftBehind(scene, target, holdsRight(journal));
    if (leftBehind !== undefined) return leftBehind;
    if (writable.length > 0) return stop(`${writable[0]?.member} is writable, but ${holdsRight(journal)}`);
    return whyUnsure(scene) ?? { kind: "forward", startTarget: target.postgres === undefined };
  },
  ({ journal, writable, unread }) => {
    const third = writable[0];
    if (third === undefined || third.member === journal.from) return undefined;
    if (timelineOf(third) <= journal.timeline) return stop(`${third.member} became primary meanwhile`);
    if (unread.length > 0) return stop(`${third.member} became primary meanwhile, and ${unreadText(unread)}`);
    return { kind: "overtaken", by: third.member };
  },
  ({ journal, writable, unread, old }) => {
    if (!isOnly(writable, journal.from)) return undefined;
    // A target that nobody can ask may be writable on its side: its journal stays until it can be asked.
    if (unread.some(({ member }) => member === journal.to)) {
      return stop(`${journal.to} cannot be read, and may be primary as well`);
    }
    const stopping = old?.local.switch?.epoch === journal.epoch && old.local.switch.state === "stopping";
    return { kind: stopping ? "restore" : "clear" };
  },
  ({ unread }) => (unread.length > 0 ? stop(unreadText(unread)) : undefined),
  (scene) => {
    const { journal, reached, target } = scene;
    const ahead = reached.filter((seen) => timelineOf(seen) > journal.timeline);
    if (ahead.length === 0) return undefined;
    const highest = Math.max(...ahead.map(timelineOf));
    const promoted = target?.postgres === undefined && target?.local.standbySignal === false;
    if (target !== undefined && promoted && timelineOf(target) === highest)
      return whyLeftBehind(scene, target, `${journal.to} was promoted`) ?? { kind: "forward", startTarget: true };
    return stop(
      `nobody is writable, but the timeline of ${ahead.map(({ member }) => member).join(", ")} is higher than ${journal.timeline}`,
    );
  },
  ({ journal, old }) =>
    old === undefined || old.local.dataDirectory !== "data" || timelineOf(old) !== journal.timeline
      ? stop(`${journal.from} has no data on timeline ${journal.timeline}, on which it was primary`)
      : undefined,
];

/**
 * `observations` are of the declared members: a party of the handover that is not among them was taken out, which is the
 * operator's word that it is fenced.
 */
export function recoveryOf(journal: Journal, observations: readonly MemberObservation[]): Recovery {
  const reached = reachedMembers(observations);
  const scene: Scene = {
    journal,
    reached,
    unread: observations.filter((seen) => !wasRead(seen)),
    writable: reached.filter(isWritable),
    old: reached.find(({ member }) => member === journal.from),
    target: reached.find(({ member }) => member === journal.to),
  };
  for (const rule of rules) {
    const recovery = rule(scene);
    if (recovery !== undefined) return recovery;
  }
  return { kind: "restore" };
}

function holdsRight({ to }: Journal): string {
  return `${to} holds the right to be primary`;
}

/** The old primary's own word that it did not come back: it is down by this handover, or follows by it. */
function didNotComeBack({ journal, old }: Scene): boolean {
  const found = old?.local.switch;
  return found?.epoch === journal.epoch && (found.state === "stopping" || found.state === "followed");
}

/** What the others say against a promotion of the target: rows may have been written since that it does not have. */
function whyLeftBehind(scene: Scene, target: ReachedMember, claim: string): Recovery | undefined {
  const { journal, reached, old } = scene;
  const newer = reached.filter((seen) => timelineOf(seen) > timelineOf(target));
  if (newer.length > 0) {
    const text = newer.map((seen) => `${seen.member} is on timeline ${timelineOf(seen)}`).join(", ");
    return { kind: "stop", reason: `${claim}, on timeline ${timelineOf(target)}, but ${text}`, givenUp: journal.to };
  }
  if (didNotComeBack(scene)) return undefined;
  const tell = reached.filter(({ local }) => (local.givenUp ?? 0) >= journal.epoch).map(({ member }) => member);
  if (tell.length > 0) return stopGivenUp(journal, `${claim}, but was given up, as ${tell.join(" and ")} recorded`);
  const later = old?.local.switch;
  if (later === undefined || later.epoch <= journal.epoch) return undefined;
  return stopGivenUp(journal, `${claim}, but ${journal.from} took part in a later switchover`);
}

/** Who is not read may hold the record that the target was given up. */
function whyUnsure(scene: Scene): Recovery | undefined {
  const { journal, unread } = scene;
  if (unread.length === 0 || didNotComeBack(scene)) return undefined;
  const names = unread.map(({ member }) => member).join(", ");
  return stop(`${names} cannot be read, and may know that ${journal.from} was brought back`);
}

function stopGivenUp({ from, to }: Journal, reason: string): Recovery {
  return { kind: "stop", reason: `${reason}: ${from} was brought back, and may have written since`, givenUp: to };
}

function stop(reason: string): Recovery {
  return { kind: "stop", reason };
}

function isOnly(writable: readonly ReachedMember[], member: string): boolean {
  return writable.length === 1 && writable[0]?.member === member;
}

function holdsTicket({ local }: ReachedMember, journal: Journal): boolean {
  const { ticket } = local;
  return ticket?.epoch === journal.epoch && (ticket.state === "consumed" || ticket.state === "promoted");
}

function wasRestored(old: ReachedMember | undefined, { epoch }: Journal): boolean {
  return old?.local.switch?.epoch === epoch && old.local.switch.state === "restored";
}

function unreadText(unread: readonly MemberObservation[]): string {
  return `${unread.map(({ member }) => member).join(", ")} cannot be read, and may be primary`;
}
