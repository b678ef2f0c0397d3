import { formatBytes } from "../bytes.ts";
import { memberOf, othersOf } from "../group.ts";
import { lsnDifferenceBytes } from "../lsn.ts";
import { slotName } from "../names.ts";
import type { PostgresFacts, WalSender } from "../observation.ts";
import { arePromotedApart, promotedApartText } from "../promotedApart.ts";
import { block, type Check, majorVersion, ok, type Subject, secondsText, versionText, warn } from "./check.ts";

export function answersCheck({ to, target }: Subject): Check {
  const name = "target answers";
  if (target.postgres.inRecovery) return ok(name, `${to} is a standby`, "a standby");
  return block(name, `${to} is writable`, "a standby", "Find out why there are two primaries.");
}

export function versionCheck({ from, to, primary, target }: Subject): Check {
  const name = "version";
  const [old, next] = [primary.postgres.version, target.postgres.version];
  if (old === next) return ok(name, `PostgreSQL ${versionText(old)} on both`, "the same");
  const measured = `${from} ${versionText(old)}, ${to} ${versionText(next)}`;
  if (majorVersion(old) !== majorVersion(next)) {
    return block(name, measured, "the same", "Upgrade the older one.");
  }
  const remedy =
    next > old
      ? `The usual way of a minor upgrade; upgrade ${from} afterwards.`
      : `Upgrade ${to} first: standbys get a new minor version before their primary.`;
  return warn(name, measured, "the same", remedy);
}

export function databaseCheck({ primary, target }: Subject): Check {
  const name = "same database";
  const [old, next] = [primary.postgres, target.postgres];
  if (old.systemIdentifier !== next.systemIdentifier) {
    return block(
      name,
      `system identifiers ${old.systemIdentifier} and ${next.systemIdentifier}`,
      "one system identifier",
      "The target holds another database: give it an empty data directory.",
    );
  }
  if (old.timeline !== next.timeline) {
    return block(name, `timelines ${old.timeline} and ${next.timeline}`, "one timeline", "Wait until it follows.");
  }
  if (arePromotedApart(target, primary)) {
    const wayOut = "`pulumi up` without the change of primary brings it back.";
    return block(name, promotedApartText(target, primary), "one timeline", wayOut);
  }
  return ok(name, `timeline ${old.timeline}`, "one timeline");
}

export function streamsCheck({ group, from, to, target }: Subject): Check {
  const name = "target streams";
  const limit = `from ${from}`;
  const primary = memberOf(group, from);
  const receiver = target.postgres.walReceiver;
  if (receiver === undefined || receiver.status !== "streaming") {
    return block(name, receiver?.status ?? "no wal receiver", limit, `See the log of PostgreSQL on ${to}.`);
  }
  const source = `from ${receiver.senderHost}:${receiver.senderPort}`;
  if (receiver.senderHost === primary.replicationAddress && receiver.senderPort === primary.port) {
    return ok(name, source, limit);
  }
  return block(name, source, limit, `Let ${to} follow ${from} first (\`pulumi up\` without the change).`);
}

/** The primary keeps the WAL that the target still needs in its slot. */
export function ownSlotCheck({ from, to, primary }: Subject): Check {
  const name = "target's slot";
  const limit = "active, WAL kept";
  const wanted = slotName(to);
  const slot = primary.postgres.slots.find((candidate) => candidate.name === wanted);
  const repair = "`pulumi up` without the change of primary repairs it.";
  if (slot === undefined) return warn(name, `${from} has no slot ${wanted}`, limit, repair);
  if (slot.walStatus === "lost") {
    return block(name, `${wanted} lost WAL that ${to} may need`, limit, `${to} must be cloned anew.`);
  }
  if (!slot.active) return warn(name, `${wanted} is not used by ${to}`, limit, repair);
  if (slot.walStatus === "unreserved") {
    return warn(name, `${wanted} is about to lose WAL`, limit, "Raise slotSizeLimit, or wait until it caught up.");
  }
  return ok(name, `${wanted} active`, limit);
}

/** The others are to follow the target through slots there. */
export function slotsForOthersCheck({ group, to, target }: Subject): Check {
  const name = "slots on the target";
  const wanted = othersOf(group, to).map((member) => slotName(member.name));
  const missing = wanted.filter((slot) => !target.postgres.slots.some((held) => held.name === slot));
  const limit = "one for each member";
  if (missing.length === 0) return ok(name, wanted.join(", ") || "none needed", limit);
  const remedy = "`pulumi up` without the change of primary makes them.";
  return block(name, `${to} has no slot ${missing.join(", ")}`, limit, remedy);
}

export function replayCheck({ to, target, measured }: Subject): Check {
  const name = "replay";
  const limit = "runs, no delay";
  if (target.postgres.replayPaused) return block(name, "paused", limit, `On ${to}: select pg_wal_replay_resume()`);
  const delay = measured.target.replayDelaySeconds;
  if (delay === 0) return ok(name, "runs", limit);
  return warn(
    name,
    `delayed by ${secondsText(delay)}`,
    limit,
    "What was held back is replayed within the outage: remove recovery_min_apply_delay.",
  );
}

export function lagCheck({ limits, to, primary }: Subject): Check {
  const name = "target's lag";
  const limit = `${formatBytes(limits.lagBytes)}, ${secondsText(limits.lagSeconds)}`;
  const sender = senderTo(to, primary.postgres);
  if (sender?.replayLsn === undefined || primary.postgres.lsn === undefined) {
    return block(name, "the primary has no wal sender for it", limit, "Wait until it streams.");
  }
  const bytes = Math.max(0, lsnDifferenceBytes(primary.postgres.lsn, sender.replayLsn));
  const measured = `${formatBytes(bytes)}, ${sender.replayLagSeconds.toFixed(1)} s`;
  // The time is that of the last change: without new WAL it stays where it was, so it counts only with bytes.
  if (bytes > limits.lagBytes || (bytes > 0 && sender.replayLagSeconds > limits.lagSeconds)) {
    return block(name, measured, limit, "Wait until it caught up, or raise limits.lagBytes / lagSeconds.");
  }
  return ok(name, measured, limit);
}

/** The one in the member's slot; an old one may linger beside it until its time is out. */
export function senderTo(member: string, primary: PostgresFacts): WalSender | undefined {
  const named = primary.walSenders.filter((sender) => sender.name === member && !sender.logical);
  return named.find((sender) => sender.slot === slotName(member)) ?? named[0];
}
