import { durationSeconds } from "./duration.ts";
import { endpointsOf, type Group } from "./group.ts";
import { isWindowOpen, windowText } from "./maintenanceWindow.ts";
import type { MemberObservation } from "./observation.ts";
import { confirms, namedPrimary, type ObservedPrimary } from "./observedPrimary.ts";

/** May the declared member take back what a failover took from it? Under `onDrift: switchBack` only. */
export interface SwitchBack {
  readonly due: boolean;
  /** What is still missing, for people; nothing in it changes from one look to the next by itself. Missing when due. */
  readonly waitsFor?: string;
}

/**
 * Due = the declared member has streamed from the observed primary for `switchBackAfter` without a break, and the
 * maintenance window is open. Undefined when there is nothing to switch back. `now`: the clock of whoever runs pulumi.
 */
export function switchBackOf(
  group: Group,
  observed: ObservedPrimary,
  observations: readonly MemberObservation[],
  now: Date,
): SwitchBack | undefined {
  if (group.onDrift !== "switchBack") return undefined;
  const primary = namedPrimary(observed);
  if (primary === undefined || primary.member === group.primary) return undefined;
  if (primary.kind === "stopped") return { due: false, waitsFor: `${primary.member} to run` };
  const missing: string[] = [];
  const streaming = streamingSeconds(group, primary.member, observations);
  if (streaming === undefined) missing.push(`${group.primary} to stream from ${primary.member}`);
  else if (streaming < durationSeconds(group.switchBackAfter)) {
    missing.push(
      `${group.primary} to have streamed from ${primary.member} for ${group.switchBackAfter} without a break`,
    );
  }
  const window = group.maintenanceWindow;
  if (window !== undefined && !isWindowOpen(window, now)) missing.push(`the maintenance window ${windowText(window)}`);
  return missing.length === 0 ? { due: true } : { due: false, waitsFor: missing.join(", and for ") };
}

/** How long the declared member has streamed, by both sides: undefined unless it and the primary agree that it does. */
function streamingSeconds(
  group: Group,
  primaryName: string,
  observations: readonly MemberObservation[],
): number | undefined {
  const primary = observations.find((seen) => seen.member === primaryName);
  const declared = observations.find((seen) => seen.member === group.primary);
  if (!primary?.reached || !declared?.reached || !confirms(declared, primary, endpointsOf(group))) return undefined;
  // A connection that broke may stand beside the new one for a few seconds: the youngest counts.
  const senders = (primary.postgres?.walSenders ?? []).filter(
    (sender) => sender.name === group.primary && sender.state === "streaming",
  );
  if (senders.length === 0) return undefined;
  return Math.min(...senders.map((sender) => sender.connectedSeconds));
}
