import { upIsRunning } from "./orchestrator.ts";
import { startPostgres, stopPostgres } from "./postgres.ts";
import type { Rules } from "./rules.ts";
import { restarted, withoutAnswers } from "./units.ts";
import {
  type Host,
  hostAt,
  isWritable,
  type Move,
  nameOf,
  nothingHeard,
  spend,
  timelineOf,
  type World,
  withHost,
  withUnit,
} from "./world.ts";

/** What breaks: power, whole machines for a while, processes. */
export function faultMoves(world: World): Move[] {
  return world.hosts.flatMap((host, index) => {
    const name = nameOf(index);
    if (host.power === "off")
      return mayBoot(world, index) ? [{ label: `${name} boots`, next: () => boot(world, index) }] : [];
    if (host.power === "frozen")
      return mayGoOn(world, host, index) ? [{ label: `${name} goes on`, next: () => thaw(world, index) }] : [];
    return [...powerCuts(world, host, index), ...freezes(world, index), ...kills(world, host, index)];
  });
}

/** One that was taken out of `members:` stays off until an `up` has finished what it was a part of: so it was promised. */
function mayBoot(world: World, index: number): boolean {
  if (!world.fenced.includes(index)) return true;
  return !upIsRunning(world) && world.hosts.every(({ journal }, at) => at === index || journal === undefined);
}

/** Nor does one go on that was taken out with a consumed ticket, before the next `up` holds the old primary or is done. */
function mayGoOn(world: World, { ticket, journal }: Host, index: number): boolean {
  if (!world.fenced.includes(index) || ticket?.state !== "consumed" || journal === undefined) return true;
  const { lock } = hostAt(world, journal.from);
  return mayBoot(world, index) || (lock.alive && lock.epoch > journal.epoch);
}

function powerCuts(world: World, host: Host, index: number): Move[] {
  if (world.left.powerCuts <= 0) return [];
  const cut = (label: string, loses: boolean) => ({
    label: `${nameOf(index)} ${label}`,
    next: () => spend(powerOff(world, index, loses), "powerCuts"),
  });
  const loses = cut("loses power and what was not flushed", true);
  return [cut("loses power", false), ...(Object.keys(host.unsynced).length > 0 ? [loses] : [])];
}

function powerOff(world: World, index: number, losesUnsynced: boolean): World {
  const host = hostAt(world, index);
  const kept = losesUnsynced ? { ...host, ...host.unsynced } : host;
  return withHost(world, index, {
    power: "off",
    lock: { ...host.lock, alive: false },
    ticket: kept.ticket && { ...kept.ticket, thisBoot: false },
    switch: kept.switch && { ...kept.switch, thisBoot: false },
    standbySignal: kept.standbySignal,
    pass: false,
    postgres: "down",
    units: [],
    gate: nothingHeard,
    unsynced: {},
  });
}

export function boot(world: World, index: number): World {
  return withHost(world, index, { power: "on", postgres: "gate" });
}

function freezes(world: World, index: number): Move[] {
  if (world.left.freezes <= 0) return [];
  const frozen = () => spend(withHost(world, index, { power: "frozen" }), "freezes");
  return [{ label: `${nameOf(index)} stands still`, next: frozen }];
}

/** Its clock went on: locks and tickets are too old. */
export function thaw(world: World, index: number): World {
  const host = hostAt(world, index);
  const units = host.units.map((unit) => (unit.kind === "take" ? { ...unit, late: true } : unit));
  return withHost(world, index, { power: "on", lock: { ...host.lock, alive: false }, units });
}

function kills(world: World, host: Host, index: number): Move[] {
  if (world.left.kills <= 0) return [];
  const name = nameOf(index);
  const killed = (label: string, next: () => World): Move => ({
    label: `${name}'s ${label}`,
    next: () => spend(next(), "kills"),
  });
  const startedAnew = (postgres: Host["postgres"]) => {
    const kept = host.units.filter(({ kind }) => kind !== "started");
    return withHost(world, index, { postgres, units: kept, gate: nothingHeard });
  };
  const units = host.units.map((unit) =>
    killed(`unit "${unit.kind} ${unit.handover.epoch}" is killed`, () => {
      // It is ExecStartPost of the instance: systemd takes that for a start that failed, ends it, and starts it again.
      if (unit.kind === "started") return startedAnew("gate");
      const after = withHost(world, index, withUnit(host, unit, restarted(host, unit)));
      return unit.kind === "give" ? withoutAnswers(after, index) : after;
    }),
  );
  const crash = (postgres: Host["postgres"]) => killed("postmaster is killed", () => startedAnew(postgres));
  switch (host.postgres) {
    case "primary":
    case "standby":
    case "promoting":
      return [...units, crash("gate")];
    case "stopping":
    case "ending":
      return [...units, crash("down")];
    case "gate":
      return host.gate === nothingHeard
        ? units
        : [...units, killed("gate is killed", () => withHost(world, index, { gate: nothingHeard }))];
    case "down":
      return units;
  }
}

/** What careful people do: docs/internals/handover.md says what is asked of them. */
export function humanMoves(world: World, rules: Rules): Move[] {
  if (world.left.humans <= 0 || upIsRunning(world)) return [];
  return world.hosts.flatMap((host, index) => {
    const name = nameOf(index);
    const act = (label: string, next: () => World): Move => ({ label, next: () => spend(next(), "humans") });
    const moves: Move[] = [];
    if (world.fenced.length === 0 && host.power !== "frozen") {
      moves.push(
        act(`somebody switches ${name} off and takes it out of members:`, () => ({
          ...powerOff(world, index, false),
          fenced: [index],
        })),
      );
    }
    // Not careful, and yet safe as long as it has not told PostgreSQL to promote: its ticket and its words run out.
    if (world.fenced.length === 0 && host.power === "frozen" && !isWritable(host) && host.standbySignal) {
      const fenced = () => ({ ...world, fenced: [index] });
      moves.push(act(`somebody takes ${name}, which stands still, for dead and out of members:`, fenced));
    }
    if (world.fenced.includes(index) && host.power !== "frozen" && mayBoot(world, index)) {
      moves.push(act(`somebody puts ${name} back into members:`, () => ({ ...world, fenced: [], actedByHand: true })));
    }
    const [away] = world.fenced;
    if (away !== undefined && away !== index && hostAt(world, away).power === "off" && mayBoot(world, away)) {
      const next = () => ({ ...powerOff(world, index, false), fenced: [index], actedByHand: true });
      moves.push(act(`somebody switches ${name} off, takes it out of members: and puts ${nameOf(away)} back`, next));
    }
    if (host.power === "on" && host.postgres === "primary" && host.units.length === 0) {
      const stopped = () => ({ ...withHost(world, index, stopPostgres(host, rules)), actedByHand: true });
      moves.push(act(`somebody stops the unit of ${name}`, stopped));
    }
    if (host.power === "on" && host.postgres === "down" && host.units.length === 0) {
      moves.push(act(`somebody starts the unit of ${name}`, () => withHost(world, index, startPostgres(host))));
    }
    if (mayBePromotedByHand(world, index)) {
      const label = `somebody promotes ${name} by hand, and waits until the others follow`;
      moves.push(act(label, () => promotedByHand(world, index)));
    }
    return moves;
  });
}

function promotedByHand(world: World, index: number): World {
  const host = hostAt(world, index);
  const wal = `${host.wal}${timelineOf(host.wal) + 1}`;
  const hosts = world.hosts.map((other, at) => {
    if (at === index) return { ...other, wal, postgres: "primary" as const, standbySignal: false };
    const follows = other.power === "on" && other.postgres === "standby" && wal.startsWith(other.wal);
    return follows ? { ...other, wal } : other;
  });
  return { ...world, hosts, actedByHand: true };
}

/**
 * A careful person promotes the most advanced standby while nobody is writable, another one that can follow it beside it,
 * every other one switched off or stopped, and no member holding the ticket of a handover that is not ended.
 */
function mayBePromotedByHand(world: World, index: number): boolean {
  const host = hostAt(world, index);
  const others = world.hosts.filter((_, at) => at !== index);
  return (
    host.power === "on" &&
    host.postgres === "standby" &&
    !world.hosts.some(isWritable) &&
    world.hosts.every(({ power }) => power !== "frozen") &&
    others.some((other) => other.power === "on" && other.postgres === "standby") &&
    others.every(
      ({ power, postgres, wal }) =>
        power === "off" || postgres === "down" || (postgres === "standby" && host.wal.startsWith(wal)),
    ) &&
    world.hosts.every(({ units, ticket, journal }) => {
      const isHolder = journal?.epoch === ticket?.epoch && ["consumed", "promoted"].includes(ticket?.state ?? "");
      return units.length === 0 && !isHolder;
    })
  );
}
