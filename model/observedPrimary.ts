import {
  isEmptyAndUnmarked,
  isLost,
  isServiceStopped,
  isWritable,
  type MemberObservation,
  type ReachedMember,
  reachedMembers,
  timelineOf,
  wasRead,
} from "./observation.ts";
import { type ManagedInstance, vouchesFor } from "./pacemaker/vouching.ts";
import { arePromotedApart, promotedApartText } from "./promotedApart.ts";

/** Who is primary, as far as the hosts tell. Nothing but `known` is ever acted on. */
export type ObservedPrimary =
  | { readonly kind: "known"; readonly member: string; readonly timeline: number; readonly systemIdentifier: string }
  /** Every member reached; none holds anything of anybody's. */
  | { readonly kind: "nothing" }
  /** Every member reached; nobody is writable, but one holds the primary's data and is merely not running. */
  | { readonly kind: "stopped"; readonly member: string; readonly timeline: number; readonly systemIdentifier: string }
  /** Every member reached, nobody writable, and yet some stream: their primary is none of the declared members. */
  | { readonly kind: "elsewhere"; readonly text: string }
  | { readonly kind: "none" }
  /** `ahead`: who has the highest timeline, where not all of the writable members have it. */
  | { readonly kind: "several"; readonly members: readonly string[]; readonly ahead: readonly string[] }
  | { readonly kind: "foreign"; readonly text: string }
  | {
      readonly kind: "unknown";
      readonly reason: string;
      /** The member that is writable although others have left its timeline behind. */
      readonly former?: string | undefined;
      /** Where standbys run and nobody is seen to be writable. */
      readonly missing?: MissingPrimary | undefined;
      /** Whose data is there and whose service does not run: they could confirm who is primary. */
      readonly stopped?: readonly string[] | undefined;
    };

/** A primary that is surely the one, whether it runs or not. */
export type NamedPrimary = Extract<ObservedPrimary, { kind: "known" | "stopped" }>;

/** Who is surely the primary, running or merely stopped; undefined when nobody is. */
export function namedPrimary(observed: ObservedPrimary): NamedPrimary | undefined {
  return observed.kind === "known" || observed.kind === "stopped" ? observed : undefined;
}

export interface MissingPrimary {
  /** Who could not be read: one of them may be the primary. */
  readonly unread: readonly string[];
  /** Standbys that stream from one who could not be read, or is not declared: a primary runs there. */
  readonly streaming: readonly string[];
}

/** Where a member is reached by the others, for telling from whom a standby streams. */
export interface Endpoint {
  readonly member: string;
  readonly replicationAddress: string;
  readonly port: number;
  /** Undefined: nobody but the operator decides who is primary. */
  readonly pacemaker?: ManagedInstance | undefined;
}

/**
 * A member is named if every declared member could be read and exactly one is writable; or if a majority of the
 * declared members confirms it: is it, or has a wal receiver streaming from it; or if it runs under Pacemaker, which says
 * that it is promoted and that the hosts of all who could not be asked are off. Never one whose timeline another
 * member has left behind: it is a former primary that came back, and what was written after it is on the others. Where
 * another member was promoted apart to a timeline of the same number, only a majority tells which of the two counts.
 */
export function observePrimary(
  observations: readonly MemberObservation[],
  endpoints: readonly Endpoint[],
): ObservedPrimary {
  const reached = reachedMembers(observations);
  const foreign = foreignText(reached);
  if (foreign !== undefined) return { kind: "foreign", text: foreign };
  const writable = reached.filter(isWritable);
  if (writable.length > 1) {
    const ahead = new Set(writable.flatMap((one) => aheadOf(one, reached)));
    return { kind: "several", members: writable.map(({ member }) => member), ahead: [...ahead] };
  }
  const unread = observations.filter((observation) => !wasRead(observation));
  const candidate = writable[0];
  if (candidate?.postgres !== undefined) {
    const { timeline, systemIdentifier } = candidate.postgres;
    const known = { kind: "known", member: candidate.member, timeline, systemIdentifier } as const;
    const former = formerPrimaryText(candidate, reached);
    if (former !== undefined) return { kind: "unknown", reason: former, former: candidate.member };
    const apart = reached.filter((one) => !isBeingCloned(one) && arePromotedApart(one, candidate));
    if (unread.length === 0 && apart.length === 0) return known;
    const confirming = reached.filter((observation) => confirms(observation, candidate, endpoints));
    if (confirming.length * 2 > observations.length) return known;
    if (apart.length === 0 && isVouchedFor(candidate, unread, endpoints)) return known;
    const stopped = stoppedMembers(reached);
    return {
      kind: "unknown",
      reason: `${candidate.member} is writable, but only ${confirming.length} of ${observations.length} members confirm it (${[...apart.map((one) => promotedApartText(one, candidate)), ...unreadTexts(unread), ...stoppedTexts(stopped)].join("; ")})`,
      stopped,
    };
  }
  if (unread.length > 0) return unknownWithout(unread, reached, endpoints);
  const elsewhere = upstreamTexts(reached, endpoints).join("; ");
  if (reached.every(isEmptyAndUnmarked)) return { kind: "nothing" };
  // Before a stopped primary: whoever sends WAL now runs, so that one must not be started beside it.
  if (elsewhere !== "") return { kind: "elsewhere", text: elsewhere };
  return stoppedPrimary(reached) ?? { kind: "none" };
}

/** Why a host is not reached is told beside it, member by member: those reasons are long, and differ from look to look. */
function unreadTexts(unread: readonly MemberObservation[]): string[] {
  const unreachable = unread.filter(({ reached }) => !reached).map(({ member }) => member);
  const silent = reachedMembers(unread).map(
    ({ member, local, postgresSilent }) =>
      `PostgreSQL on ${member} does not answer (${postgresSilent ?? `unit ${local.unit}`})`,
  );
  return [...(unreachable.length === 0 ? [] : [`${unreachable.join(" and ")} cannot be reached`]), ...silent];
}

/** Undefined: none. */
function stoppedMembers(reached: readonly ReachedMember[]): readonly string[] | undefined {
  const stopped = reached.filter(
    (seen) => seen.postgres === undefined && seen.local.dataDirectory === "data" && isServiceStopped(seen),
  );
  return stopped.length === 0 ? undefined : stopped.map(({ member }) => member);
}

function stoppedTexts(stopped: readonly string[] | undefined): string[] {
  if (stopped === undefined) return [];
  return [`${stopped.join(" and ")} ${stopped.length === 1 ? "is" : "are"} stopped`];
}

/** By the Pacemaker on the candidate's own host: with quorum, it speaks for all. */
function isVouchedFor(
  candidate: ReachedMember,
  unread: readonly MemberObservation[],
  endpoints: readonly Endpoint[],
): boolean {
  const status = candidate.local.pacemaker;
  const [instance, ...others] = [candidate, ...unread].map(
    ({ member }) => endpoints.find((known) => known.member === member)?.pacemaker,
  );
  if (status?.running !== true || instance === undefined) return false;
  const managed = others.filter((other) => other !== undefined);
  return managed.length === others.length && vouchesFor(status, instance, managed);
}

/** Is it the candidate itself, or does it stream from there on the same timeline? */
export function confirms(
  observation: ReachedMember,
  candidate: ReachedMember,
  endpoints: readonly Endpoint[],
): boolean {
  if (observation.member === candidate.member) return true;
  const receiver = observation.postgres?.walReceiver;
  if (receiver === undefined || receiver.status !== "streaming") return false;
  const endpoint = endpoints.find((known) => known.member === candidate.member);
  return (
    receiver.senderHost === endpoint?.replicationAddress &&
    receiver.senderPort === endpoint.port &&
    timelineOf(observation) === timelineOf(candidate) &&
    !arePromotedApart(observation, candidate)
  );
}

/** Nobody is seen to be writable, and not everybody could be read. */
function unknownWithout(
  unread: readonly MemberObservation[],
  reached: readonly ReachedMember[],
  endpoints: readonly Endpoint[],
): ObservedPrimary {
  const stopped = stoppedMembers(reached);
  const reason = [...unreadTexts(unread), ...stoppedTexts(stopped), ...upstreamTexts(reached, endpoints)].join("; ");
  const standbys = reached.filter(({ postgres }) => postgres?.inRecovery === true);
  if (standbys.length === 0) return { kind: "unknown", reason, stopped };
  const streaming = upstreamsOf(standbys, endpoints).flatMap(({ members }) => members);
  return {
    kind: "unknown",
    reason,
    missing: { unread: unread.map(({ member }) => member), streaming },
    stopped,
  };
}

interface Upstream {
  /** Of a declared member; undefined when it is none. */
  readonly member: string | undefined;
  readonly source: string;
  /** Who streams from there. */
  readonly members: string[];
}

/** From whom the members stream that is not itself a standby that was read: there a primary runs. */
function upstreamsOf(reached: readonly ReachedMember[], endpoints: readonly Endpoint[]): Upstream[] {
  const found = new Map<string, Upstream>();
  for (const { member, postgres } of reached) {
    const receiver = postgres?.walReceiver;
    if (receiver?.status !== "streaming") continue;
    const { senderHost, senderPort } = receiver;
    const sender = endpoints.find((known) => known.replicationAddress === senderHost && known.port === senderPort);
    if (reached.some((one) => one.member === sender?.member && wasRead(one))) continue;
    const source = `${senderHost}:${senderPort}`;
    const upstream = found.get(source) ?? { member: sender?.member, source, members: [] };
    upstream.members.push(member);
    found.set(source, upstream);
  }
  return [...found.values()];
}

/** "pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member", "pg3 still streams from pg1". */
function upstreamTexts(reached: readonly ReachedMember[], endpoints: readonly Endpoint[]): string[] {
  return upstreamsOf(reached, endpoints).map(({ member, source, members }) => {
    const verb = members.length === 1 ? "streams" : "stream";
    const who = members.join(" and ");
    return member === undefined
      ? `${who} ${verb} from ${source}, which is no declared member`
      : `${who} still ${verb} from ${member}`;
  });
}

function formerPrimaryText(candidate: ReachedMember, reached: readonly ReachedMember[]): string | undefined {
  const ahead = aheadOf(candidate, reached);
  if (ahead.length === 0) return undefined;
  const have = ahead.length === 1 ? "has" : "have";
  return `${candidate.member} is writable on timeline ${timelineOf(candidate)}, but ${ahead.join(" and ")} ${have} timeline ${highestTimeline(reached)}: ${candidate.member} is a former primary`;
}

/** Who has the highest timeline of all, when it is not this member. */
function aheadOf(candidate: ReachedMember, reached: readonly ReachedMember[]): string[] {
  const highest = highestTimeline(reached);
  if (timelineOf(candidate) >= highest) return [];
  return reached.filter((one) => !isBeingCloned(one) && timelineOf(one) === highest).map(({ member }) => member);
}

function highestTimeline(reached: readonly ReachedMember[]): number {
  return Math.max(...reached.filter((one) => !isBeingCloned(one)).map(timelineOf));
}

function systemIdentifierOf(observation: ReachedMember): string | undefined {
  return (
    observation.postgres?.systemIdentifier ??
    observation.local.controlData?.systemIdentifier ??
    observation.local.marker?.systemIdentifier
  );
}

/** What a clone or a rewind left half made may hold anything: it tells nothing about the cluster. */
function isBeingCloned(observation: ReachedMember): boolean {
  return ["cloning", "rewinding", "swapping"].includes(observation.local.marker?.state ?? "");
}

function foreignText(reached: readonly ReachedMember[]): string | undefined {
  const identified = reached.flatMap((observation) => {
    const identifier = systemIdentifierOf(observation);
    return identifier === undefined || isBeingCloned(observation) ? [] : [{ member: observation.member, identifier }];
  });
  if (new Set(identified.map((one) => one.identifier)).size < 2) return undefined;
  return identified.map((one) => `${one.member} has system identifier ${one.identifier}`).join(", ");
}

/** Safe to name only because every member was read and none is writable: the data itself says who was primary. */
function stoppedPrimary(reached: readonly ReachedMember[]): ObservedPrimary | undefined {
  // Data that is not there may be newer than what is.
  if (reached.some(isLost)) return undefined;
  const holding = reached.filter(
    (observation) =>
      observation.local.dataDirectory === "data" &&
      observation.local.marker?.state === "ready" &&
      !observation.local.standbySignal &&
      observation.postgres === undefined,
  );
  const only = holding[0];
  const control = only?.local.controlData;
  if (only === undefined || control === undefined || holding.length !== 1) return undefined;
  if (!["shut down", "in production"].includes(control.state)) return undefined;
  if (reached.some((observation) => timelineOf(observation) > control.timeline)) return undefined;
  if (reached.some((observation) => arePromotedApart(observation, only))) return undefined;
  return {
    kind: "stopped",
    member: only.member,
    timeline: control.timeline,
    systemIdentifier: control.systemIdentifier,
  };
}
