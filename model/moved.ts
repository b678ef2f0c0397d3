import type { MemberObservation } from "./observation.ts";
import { type Endpoint, type ObservedPrimary, observePrimary } from "./observedPrimary.ts";

/**
 * What is no longer as it was at an earlier look: who is primary, on which timeline, and which members can be reached.
 * A decision made by the earlier look does not hold when there is anything. One sentence for each; empty = nothing.
 */
export function movedSince(
  before: readonly MemberObservation[],
  now: readonly MemberObservation[],
  endpoints: readonly Endpoint[],
): string[] {
  const [was, is] = [observePrimary(before, endpoints), observePrimary(now, endpoints)];
  const primary = identity(was) === identity(is) ? [] : [changeText(was, is)];
  const reach = now.flatMap((seen): string[] => {
    const reachedBefore = before.some((one) => one.member === seen.member && one.reached);
    if (reachedBefore && !seen.reached) return [`${seen.member} cannot be reached any more (${seen.reason})`];
    if (!reachedBefore && seen.reached) return [`${seen.member} can be reached now`];
    return [];
  });
  return [...primary, ...reach];
}

function changeText(was: ObservedPrimary, is: ObservedPrimary): string {
  const [before, now] = [primaryText(was), primaryText(is)];
  if (before !== now) return `${now} (before: ${before})`;
  return `${now} ${systemText(is)} (before: ${systemText(was)})`;
}

function systemText(observed: ObservedPrimary): string {
  return "systemIdentifier" in observed ? `of system ${observed.systemIdentifier}` : observed.kind;
}

/** Reasons in words are left out: they may differ from look to look. */
function identity(observed: ObservedPrimary): string {
  switch (observed.kind) {
    case "known":
    case "stopped":
      return [observed.kind, observed.member, observed.timeline, observed.systemIdentifier].join(" ");
    case "several":
      return [observed.kind, ...observed.members].join(" ");
    default:
      return observed.kind;
  }
}

function primaryText(observed: ObservedPrimary): string {
  switch (observed.kind) {
    case "known":
      return `${observed.member} is primary on timeline ${observed.timeline}`;
    case "stopped":
      return `${observed.member} is primary on timeline ${observed.timeline}, and stopped`;
    case "nothing":
      return "every member is empty";
    case "none":
      return "no member is writable";
    case "several":
      return `${observed.members.join(" and ")} are writable`;
    case "foreign":
    case "elsewhere":
      return observed.text;
    case "unknown":
      return `who is primary cannot be told (${observed.reason})`;
  }
}
