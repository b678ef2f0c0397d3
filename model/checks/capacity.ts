import { formatBytes } from "../bytes.ts";
import { othersOf } from "../group.ts";
import { slotName } from "../names.ts";
import { block, type Check, ok, type Subject, warn } from "./check.ts";

/** A standby whose value is lower than its primary's stops replaying (src/backend/access/transam/xlogrecovery.c). */
const notLower = [
  "max_connections",
  "max_locks_per_transaction",
  "max_prepared_transactions",
  "max_wal_senders",
  "max_worker_processes",
];

export function hotStandbyCheck(subject: Subject): Check {
  const { from, to, primary, target, group, observations } = subject;
  const name = "hot-standby settings";
  const running = (member: typeof primary, setting: string) => Number(member.postgres.settings[setting]?.setting ?? 0);
  const lower = notLower.filter((setting) => running(target, setting) < running(primary, setting));
  if (lower.length > 0) {
    const measured = lower.map(
      (setting) => `${setting} ${running(target, setting)} on ${to}, ${running(primary, setting)} on ${from}`,
    );
    return block(name, measured.join(", "), "not lower", `Restart ${to} with the declared parameters.`);
  }
  // Afterwards the target is the primary of the others. The old one starts anew, with what its files say then.
  const problems = othersOf(group, to).flatMap(({ name: member }) =>
    notLower.flatMap((setting) => {
      const seen = observations.find((observation) => observation.member === member);
      if (seen === undefined || !seen.reached || seen.postgres === undefined) return [];
      const value =
        member === from ? nextValue(subject, setting) : Number(seen.postgres.settings[setting]?.setting ?? 0);
      return value < running(target, setting)
        ? [`${setting} ${value} on ${member}, ${running(target, setting)} on ${to}`]
        : [];
    }),
  );
  if (problems.length === 0) return ok(name, "the same or higher", "not lower");
  return block(
    name,
    `afterwards ${problems.join(", ")}`,
    "not lower",
    `It could not follow ${to}: give every member the same value, and restart it.`,
  );
}

/** The value that the old primary has after its restart. */
function nextValue({ primary, measured }: Subject, setting: string): number {
  const { pendingRestart } = measured.primary;
  const text = pendingRestart[setting] ?? primary.postgres.settings[setting]?.setting;
  return Number(text ?? 0);
}

export function pendingRestartCheck({ from, to, measured }: Subject): Check {
  const name = "pending restart";
  const waiting = (member: string, settings: Readonly<Record<string, string | null>>) => {
    const names = Object.entries(settings).map(([key, value]) => (value === null ? key : `${key} = ${value}`));
    return names.length === 0 ? [] : [`${member}: ${names.join(", ")}`];
  };
  const ofTarget = waiting(to, measured.target.pendingRestart);
  const ofPrimary = waiting(from, measured.primary.pendingRestart);
  if (ofTarget.length + ofPrimary.length === 0) return ok(name, "none", "none");
  const remedy = [
    ...(ofTarget.length === 0 ? [] : [`${to} goes on with its old values until it is restarted.`]),
    ...(ofPrimary.length === 0 ? [] : [`The switchover restarts ${from}, with the new values.`]),
  ];
  return warn(name, [...ofTarget, ...ofPrimary].join("; "), "none", remedy.join(" "));
}

export function connectionsCheck({ from, to, measured }: Subject): Check {
  const name = "connections";
  const { open } = measured.primary.clients;
  const { most } = measured.target.clients;
  const limit = `${most} on ${to}`;
  if (open <= most) return ok(name, `${open} open on ${from}`, limit);
  return block(name, `${open} open on ${from}`, limit, `Raise max_connections of ${to}, and restart it.`);
}

/** Every other member, and whoever else streams from the primary or the target now, will stream from the target. */
export function sendersCheck({ group, to, primary, target }: Subject): Check {
  const name = "wal senders";
  const others = othersOf(group, to);
  const foreign = [...primary.postgres.walSenders, ...target.postgres.walSenders].filter(
    (sender) => sender.state !== "backup" && !group.members.some((member) => member.name === sender.name),
  );
  const needed = others.length + foreign.length;
  const most = Number(target.postgres.settings.max_wal_senders?.setting ?? 0);
  const limit = `${most} on ${to}`;
  if (needed <= most) return ok(name, `${needed} needed`, limit);
  return block(name, `${needed} needed`, limit, `Raise max_wal_senders of ${to}, and restart it.`);
}

/** What the target holds already, and what the primary holds for others than the target. */
export function slotRoomCheck({ group, to, primary, target }: Subject): Check {
  const name = "replication slots";
  const disposable = new Set(group.disposableSlots);
  const needed = new Set([
    ...target.postgres.slots.map((slot) => slot.name),
    ...primary.postgres.slots
      .filter((slot) => !slot.temporary && slot.name !== slotName(to) && !disposable.has(slot.name))
      .map((slot) => slot.name),
    ...othersOf(group, to).map((member) => slotName(member.name)),
  ]).size;
  const most = Number(target.postgres.settings.max_replication_slots?.setting ?? 0);
  const limit = `${most} on ${to}`;
  if (needed <= most) return ok(name, `${needed} needed`, limit);
  return block(name, `${needed} needed`, limit, `Raise max_replication_slots of ${to}, and restart it.`);
}

export function walRoomCheck({ limits, from, to, primary, target }: Subject): Check {
  const name = "room for WAL";
  const limit = formatBytes(limits.walRoomBytes);
  const free = [primary, target].map((one) => one.local.walFreeBytes);
  const measured = `${from} ${formatBytes(free[0] ?? 0)}, ${to} ${formatBytes(free[1] ?? 0)} free`;
  if (Math.min(...free) >= limits.walRoomBytes) return ok(name, measured, limit);
  return block(name, measured, limit, "Make room on the volume of pg_wal: a full one stops PostgreSQL.");
}
