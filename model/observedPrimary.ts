import {
  isEmptyAndUnmarked,
  isLost,
  isWritable,
  type MemberObservation,
  type ReachedMember,
  reachedMembers,
  wasRead,
} from "./observation.ts";

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
  | { readonly kind: "several"; readonly members: readonly string[] }
  | { readonly kind: "foreign"; readonly text: string }
  /** `former`: the member that is writable although others have left its timeline behind. */
  | { readonly kind: "unknown"; readonly reason: string; readonly former?: string | undefined };

/** Where a member is reached by the others, for telling from whom a standby streams. */
export interface Endpoint {
  readonly member: string;
  readonly replicationAddress: string;
  readonly port: number;
}

/**
 * A member is named if every declared member could be read and exactly one is writable; or if a majority of the
 * declared members confirms it: is it, or has a wal receiver streaming from it. Never one whose timeline another
 * member has left behind: it is a former primary that came back, and what was written after it is on the others.
 */
export function observePrimary(
  observations: readonly MemberObservation[],
  endpoints: readonly Endpoint[],
): ObservedPrimary {
  const reached = reachedMembers(observations);
  const foreign = foreignText(reached);
  if (foreign !== undefined) return { kind: "foreign", text: foreign };
  const writable = reached.filter(isWritable);
  if (writable.length > 1) return { kind: "several", members: writable.map((observation) => observation.member) };
  const unread = observations.filter((observation) => !wasRead(observation));
  const candidate = writable[0];
  if (candidate?.postgres !== undefined) {
    const { timeline, systemIdentifier } = candidate.postgres;
    const known = { kind: "known", member: candidate.member, timeline, systemIdentifier } as const;
    const former = formerPrimaryText(candidate, reached);
    if (former !== undefined) return { kind: "unknown", reason: former, former: candidate.member };
    if (unread.length === 0) return known;
    const confirming = reached.filter((observation) => confirms(observation, candidate, endpoints));
    if (confirming.length * 2 > observations.length) return known;
    return {
      kind: "unknown",
      reason: `${candidate.member} is writable, but only ${confirming.length} of ${observations.length} members confirm it (${unread.map(unreadText).join("; ")})`,
    };
  }
  const elsewhere = undeclaredUpstreamText(reached, endpoints);
  if (unread.length > 0) {
    const told = elsewhere === undefined ? [] : [elsewhere];
    return { kind: "unknown", reason: [...unread.map(unreadText), ...told].join("; ") };
  }
  if (reached.every(isEmptyAndUnmarked)) return { kind: "nothing" };
  // Before a stopped primary: whoever sends WAL now runs, so that one must not be started beside it.
  if (elsewhere !== undefined) return { kind: "elsewhere", text: elsewhere };
  return stoppedPrimary(reached) ?? { kind: "none" };
}

function unreadText(observation: MemberObservation): string {
  if (!observation.reached) return `${observation.member} cannot be reached: ${observation.reason}`;
  return `PostgreSQL on ${observation.member} does not answer (${observation.postgresSilent ?? `unit ${observation.local.unit}`})`;
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
    timelineOf(observation) === timelineOf(candidate)
  );
}

/** "pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member"; undefined when none does such a thing. */
function undeclaredUpstreamText(reached: readonly ReachedMember[], endpoints: readonly Endpoint[]): string | undefined {
  const streaming = new Map<string, string[]>();
  for (const { member, postgres } of reached) {
    const receiver = postgres?.walReceiver;
    if (receiver?.status !== "streaming") continue;
    const { senderHost, senderPort } = receiver;
    if (endpoints.some((known) => known.replicationAddress === senderHost && known.port === senderPort)) continue;
    const source = `${senderHost}:${senderPort}`;
    streaming.set(source, [...(streaming.get(source) ?? []), member]);
  }
  if (streaming.size === 0) return undefined;
  return [...streaming]
    .map(([source, members]) => {
      const verb = members.length === 1 ? "streams" : "stream";
      return `${members.join(" and ")} ${verb} from ${source}, which is no declared member`;
    })
    .join("; ");
}

function formerPrimaryText(candidate: ReachedMember, reached: readonly ReachedMember[]): string | undefined {
  const own = timelineOf(candidate);
  const settled = reached.filter((observation) => !isBeingCloned(observation));
  const highest = Math.max(...settled.map(timelineOf));
  if (own >= highest) return undefined;
  const ahead = settled.filter((observation) => timelineOf(observation) === highest).map(({ member }) => member);
  const have = ahead.length === 1 ? "has" : "have";
  return `${candidate.member} is writable on timeline ${own}, but ${ahead.join(" and ")} ${have} timeline ${highest}: ${candidate.member} is a former primary`;
}

function timelineOf(observation: ReachedMember): number {
  return observation.postgres?.timeline ?? observation.local.controlData?.timeline ?? 0;
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
  return {
    kind: "stopped",
    member: only.member,
    timeline: control.timeline,
    systemIdentifier: control.systemIdentifier,
  };
}
