import { UserError } from "../model/fault.ts";
import { segmentBytes } from "../model/lsn.ts";
import { renderRole, steadyRole } from "../model/rendering.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { movingAddresses } from "./addresses.ts";
import type { AgentConversation } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";
import { startUnit, type UnitEvent, unitEvent } from "./units.ts";

/** The first commit may have to wait until the old primary has come back and streams. */
const acknowledgeSeconds = 420;
/** Longer than a fast stop and its undoing may take. */
const silenceSeconds = 600;
/** A target that says nothing may be back soon; an operator at a dead one needs to be told. */
const missingTargetSeconds = 30;

/** Counted from the order to stop, on the old primary's host. */
export interface Moment {
  readonly what: string;
  readonly milliseconds: number;
}

export interface OutageResult {
  readonly checkpointLsn: string;
  /** "shut down", "proved", "promoted", "acknowledged", "follows", in the order in which they happened. */
  readonly moments: readonly Moment[];
}

/** The handover was undone by the hosts: the old primary was started again, and the ticket is worth nothing. */
export class Undone extends UserError {
  constructor(
    reason: string,
    /** By performance.now(): when the hosts had the certainty that nobody was promoted. */
    readonly decidedAt: number,
  ) {
    super(reason);
  }
}

/** What the orchestrator keeps in its hands: it may say `go`, and it may leave. */
export interface ArmedOutage {
  readonly give: AgentConversation;
  readonly take: AgentConversation;
}

interface Handover {
  readonly old: MemberAccess;
  readonly target: MemberAccess;
  /** Members whose role is changed for the time of the handover, the target among them. */
  readonly changed: readonly MemberAccess[];
  readonly seen: { readonly timeline: number; readonly systemIdentifier: string };
  /** The synchronous rule needs the old primary: it follows at once, though that disturbs the promotion. */
  readonly needsOldPrimary: boolean;
}

/**
 * Stands a process ready on both hosts, as units of systemd that no session owns. Until the old primary's hears `go`,
 * nothing happens, and both go away by themselves with the lock. Throws with their reason when one cannot stand ready.
 */
export async function armOutage(access: ClusterAccess, handover: Handover, lock: ClusterLock): Promise<ArmedOutage> {
  const { old, target, seen } = handover;
  const addresses = movingAddresses(access.group);
  const common = { addresses, epoch: lock.epoch, timeline: seen.timeline, systemIdentifier: seen.systemIdentifier };
  const [take] = await Promise.all([
    startUnit(target, "take", { ...common, acknowledgeSeconds }),
    ...handover.changed.map(async (member) => {
      const role = renderRole(access.group, member.declaration, steadyRole);
      (await startUnit(member, "guard", { epoch: lock.epoch, role })).end();
    }),
  ]);
  try {
    const give = await startUnit(old, "give", {
      ...common,
      to: target.name,
      toAddress: target.declaration.replicationAddress,
      segmentBytes: segmentBytes(access.group.walSegmentSize),
      stopSeconds: access.group.limits.stopSeconds,
      neededAtOnce: handover.needsOldPrimary ? 1 : 0,
      role: renderRole(access.group, old.declaration, steadyRole),
    });
    return { give, take };
  } catch (error) {
    take.end();
    throw error;
  }
}

/**
 * Steps 6 to 9: says `go` and listens. The hosts do the rest, with or without us. Returns once the new primary's first
 * commit was acknowledged and the old one was started as a standby.
 * Errors: `Undone` when the old primary is back.
 */
export async function runOutage(old: MemberAccess, armed: ArmedOutage): Promise<OutageResult> {
  const moments: Moment[] = [];
  let checkpointLsn = "";
  let refusal: string | undefined;
  let decidedAt: number | undefined;
  armed.give.say("go");
  for (;;) {
    const told = await listen(old, armed.give, decidedAt === undefined ? refusal : undefined);
    if (told === undefined) break;
    if (told.event === "armed") continue;
    if (told.event === "refused") decidedAt = performance.now();
    if (told.event === "refused" || told.event === "silent") {
      refusal = told.reason ?? told.event;
      continue;
    }
    if (told.event === "restored")
      throw new Undone(refusal ?? "the hosts say no reason", decidedAt ?? performance.now());
    moments.push({ what: told.event, milliseconds: told.milliseconds ?? 0 });
    checkpointLsn ||= told.checkpointLsn ?? "";
  }
  const missing = ["shut down", "follows"].filter((what) => !moments.some((moment) => moment.what === what));
  if (missing.length === 0) return { checkpointLsn, moments };
  const heard = moments.map((moment) => moment.what).join(", ") || "nothing";
  throw new UserError(
    `the handover ended on ${old.name} without a result (heard: ${heard}${refusal === undefined ? "" : `; ${refusal}`}).\n  The hosts go on by themselves. Run \`pulumi up\` again: it goes on from what it finds.`,
  );
}

/** Undefined at the end of the conversation. `silent`: why nobody knows what became of the ticket. */
async function listen(
  old: MemberAccess,
  conversation: AgentConversation,
  silent: string | undefined,
): Promise<UnitEvent | undefined> {
  try {
    const line = await conversation.next(silent === undefined ? silenceSeconds : missingTargetSeconds);
    return line === undefined ? undefined : unitEvent.parse(line);
  } catch (error) {
    if (silent !== undefined) {
      throw new UserError(
        `${silent}, and may have been promoted: ${old.name} stays down until it is known.\n  Bring its host back: the two then go on by themselves. Or, once it is off for certain, take it out of members: and run \`pulumi up\`.`,
      );
    }
    throw new UserError(
      `${old.name} is out of sight during the handover (${error instanceof Error ? error.message : String(error)}).\n  The hosts go on by themselves. Run \`pulumi up\` again: it goes on from what it finds.`,
    );
  }
}
