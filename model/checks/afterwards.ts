import { memberOf } from "../group.ts";
import { slotName } from "../names.ts";
import { type Slot, streamingMembers } from "../observation.ts";
import { acknowledgingStandbys, neededStandbys } from "../quorum.ts";
import { block, type Check, counted, listed, majorVersion, ok, type Subject, warn } from "./check.ts";

export function synchronousCheck({ group, from, to, observations }: Subject): Check {
  const name = "synchronous rule";
  const needed = neededStandbys(group);
  if (needed === 0) return ok(name, "off", "off");
  const count = acknowledgingStandbys(group, from, to, streamingMembers(observations));
  const limit = counted(needed, "standby", "standbys");
  const measured = `${count} without ${from}`;
  if (count >= needed) return ok(name, measured, limit);
  const withOld = count + (memberOf(group, from).candidate ? 1 : 0);
  if (withOld < needed) {
    return block(
      name,
      `${withOld} with ${from}`,
      limit,
      `Every commit on ${to} would wait without an end: bring the other standbys back, or ask for fewer (synchronous:).`,
    );
  }
  return warn(name, measured, limit, `The outage lasts until ${from} streams again as a standby (predicted below).`);
}

/** A logical slot lives on one member, unless PostgreSQL 17 or newer copies it to the standby (failover, synced). */
export function logicalSlotsCheck({ group, to, primary, target }: Subject): Check {
  const name = "logical slots";
  const limit = "none lost";
  const kept: string[] = [];
  const lost: { slot: Slot; why: string }[] = [];
  for (const slot of primary.postgres.slots) {
    if (slot.kind !== "logical" || slot.temporary || slot.walStatus === "lost") continue;
    if (group.disposableSlots.includes(slot.name)) {
      kept.push(`${slot.name} disposable`);
      continue;
    }
    const why = lossOf(slot, target.postgres.slots);
    if (why === undefined) kept.push(`${slot.name} synced`);
    else lost.push({ slot, why });
  }
  if (lost.length === 0) return ok(name, listed(kept) || "none", limit);
  const names = lost.map(({ slot }) => slot.name).join(", ");
  const declare = `declare disposableSlots: [${names}] if their consumers may begin anew`;
  if (majorVersion(primary.postgres.version) < 17) {
    return block(name, `${names} would be lost`, limit, `PostgreSQL before 17 cannot keep them: ${declare}.`);
  }
  return block(
    name,
    lost.map(({ slot, why }) => `${slot.name} ${why}`).join(", "),
    limit,
    `Make them failover slots, and declare sync_replication_slots and hot_standby_feedback on under parameters: (wait until ${to} has them); or ${declare}.`,
  );
}

/** Why the target cannot serve this slot's consumer; undefined when it can. */
function lossOf(slot: Slot, onTarget: readonly Slot[]): string | undefined {
  if (!slot.failover) return "is not a failover slot";
  const copy = onTarget.find((candidate) => candidate.name === slot.name);
  // PostgreSQL keeps a copy that is not ready yet as a temporary slot.
  if (copy === undefined || !copy.synced || copy.temporary) return "is not synced yet";
  return copy.walStatus === "lost" ? "is lost on the target" : undefined;
}

/** Physical slots that are no member's: of an archive by pg_receivewal, of a standby elsewhere. */
export function otherSlotsCheck({ group, to, primary, target }: Subject): Check {
  const name = "other slots";
  const limit = "on both";
  const own = new Set(group.members.map((member) => slotName(member.name)));
  const others = primary.postgres.slots.filter(
    (slot) => slot.kind === "physical" && !slot.temporary && !own.has(slot.name),
  );
  const missing = others.filter(
    ({ name: slot }) =>
      !group.disposableSlots.includes(slot) && !target.postgres.slots.some((held) => held.name === slot),
  );
  if (missing.length === 0) return ok(name, listed(others.map((slot) => slot.name)) || "none", limit);
  return warn(
    name,
    `${listed(missing.map((slot) => slot.name))} not on ${to}`,
    limit,
    `Its consumer may miss WAL: on ${to}, select pg_create_physical_replication_slot('${missing[0]?.name}'), or declare it under disposableSlots.`,
  );
}
