import type { Rules } from "./rules.ts";
import {
  type GateAnswer,
  type Handover,
  type Host,
  hostAt,
  type Move,
  nameOf,
  nothingHeard,
  type Revocation,
  spend,
  type Ticket,
  timelineOf,
  type World,
  withHost,
} from "./world.ts";

/* PostgreSQL on a host, its boot gate (agent/gate.py), and what a neighbour may ask (agent/channel.py). */

/** Somebody is in the middle of a block under the member's guard: nobody else changes what the guard protects. */
export function isGuarded({ units }: Host): boolean {
  return units.some(({ phase }) => ["marking", "ordering", "unmarked", "restored", "consumed"].includes(phase));
}

/** `systemctl stop`: a fast stop; at the gate it ends the waiting. */
export function stopPostgres(host: Host, rules: Rules): Partial<Host> {
  const after = { primary: "stopping", standby: "down", promoting: "down", gate: "down" } as const;
  if (host.postgres === "down" || host.postgres === "stopping" || host.postgres === "ending") return {};
  const units = host.units.filter(({ kind }) => kind !== "started");
  const pass = host.postgres === "gate" || !rules.stopRemovesPass ? host.pass : false;
  return { postgres: after[host.postgres], gate: nothingHeard, units, pass };
}

/** `systemctl start` */
export function startPostgres(host: Host): Partial<Host> {
  return host.postgres === "down" ? { postgres: "gate", gate: nothingHeard } : {};
}

/** pg_control says so; it may still send to its standbys. */
export function isShutDown({ postgres, wal }: Host): boolean {
  return postgres === "ending" || (postgres === "down" && wal.endsWith("X"));
}

/** The promote file and the signal: done by a standby that runs, and by nobody else. */
export function promotion(host: Host): Partial<Host> {
  return host.postgres === "standby" ? { postgres: "promoting", standbySignal: false } : {};
}

export function postgresMoves(world: World, host: Host, index: number, rules: Rules): Move[] {
  const name = nameOf(index);
  const move = (label: string, changes: Partial<Host>): Move => ({
    label: `${name} ${label}`,
    next: () => withHost(world, index, changes),
  });
  switch (host.postgres) {
    case "gate":
      return gateMoves(world, host, index, rules);
    case "primary":
      return world.left.rows > 0 ? [write(world, host, index)] : [];
    case "stopping":
      return [move("writes its shutdown checkpoint", { postgres: "ending", wal: `${host.wal}X` })];
    case "ending":
      return [move("ends its postmaster", { postgres: "down" })];
    case "promoting":
      return [move("is writable", { postgres: "primary", wal: `${host.wal}${timelineOf(host.wal) + 1}` })];
    case "standby":
      return world.hosts.flatMap((source, from) => receive(world, index, source, from) ?? []);
    case "down":
      return [];
  }
}

function write(world: World, host: Host, index: number): Move {
  const row = "abcdefgh"[(host.wal.match(/[a-h]/g) ?? []).length] ?? "h";
  return {
    label: `a client writes ${row} on ${nameOf(index)}`,
    next: () => spend(withHost(world, index, { wal: host.wal + row }), "rows"),
  };
}

/** With it the rows that are new are acknowledged: the rule is a quorum of one. */
function receive(world: World, index: number, source: Host, from: number): Move | undefined {
  const host = hostAt(world, index);
  if (source.power !== "on" || !["primary", "stopping", "ending", "standby"].includes(source.postgres))
    return undefined;
  if (source.wal.length <= host.wal.length || !source.wal.startsWith(host.wal)) return undefined;
  return {
    label: `${nameOf(index)} receives ${source.wal.slice(host.wal.length)} from ${nameOf(from)}`,
    next: () => {
      const received = withHost(world, index, { wal: source.wal });
      if (source.postgres !== "primary" && source.postgres !== "stopping") return received;
      const rows = new Set(world.acknowledged + source.wal.replace(/[^a-h]/g, ""));
      return { ...received, acknowledged: [...rows].sort().join("") };
    },
  };
}

/** ExecStartPre of the instance: agent/gate.py, reason_to_wait, in its order. */
function gateMoves(world: World, host: Host, index: number, rules: Rules): Move[] {
  const name = nameOf(index);
  const { journal } = host;
  const start = (): Move => ({
    label: `${name} starts as ${host.standbySignal ? "standby" : "primary"}`,
    next: started,
  });
  const started = () => {
    const wasCutOff = host.standbySignal && host.ticket?.state === "consumed" && journal?.epoch === host.ticket.epoch;
    const completing = wasCutOff ? [{ kind: "started", handover: journal, phase: "asking" } as const] : [];
    return withHost(world, index, {
      postgres: host.standbySignal ? "standby" : "primary",
      gate: nothingHeard,
      units: [...host.units, ...completing],
    });
  };
  if (rules.gateSettles && host.switch?.state === "stopping") {
    if (host.switch.thisBoot && journal?.epoch === host.switch.epoch) return []; // its unit settles it
    return settleAtStart(world, host, index, rules);
  }
  if (host.standbySignal) return [start()];
  if (rules.targetAsksAfterBoot && journal?.to === index && !host.pass) {
    if (!hasWord(world, journal, rules)) return [];
    return [
      { label: `${name} has ${nameOf(journal.from)}'s word`, next: () => withHost(world, index, { pass: true }) },
    ];
  }
  if (host.pass || !rules.gateAsksMajority) return [start()];
  if (rules.verdict(timelineOf(host.wal), host.gate.answers, world.hosts.length) && !isGuarded(host)) {
    return [{ label: `${name} may start: a majority says so`, next: () => withHost(world, index, { pass: true }) }];
  }
  return world.hosts.flatMap((other, from) => {
    if (from === index || other.power !== "on") return [];
    const answer = stateOf(other, from);
    const before = host.gate.answers.find(({ member }) => member === from);
    if (JSON.stringify(before) === JSON.stringify(answer)) return [];
    const answers = [...host.gate.answers.filter((one) => one !== before), answer];
    answers.sort((one, two) => one.member - two.member);
    return [
      { label: `${name} asks ${nameOf(from)} at its gate`, next: () => withHost(world, index, { gate: { answers } }) },
    ];
  });
}

/** agent/channel.py, member_state */
function stateOf(host: Host, member: number): GateAnswer {
  return {
    member,
    timeline: timelineOf(host.wal),
    inProduction: ["primary", "stopping"].includes(host.postgres),
    consumed: host.ticket?.state === "consumed",
  };
}

/** agent/gate.py, settle_at_start */
function settleAtStart(world: World, host: Host, index: number, rules: Rules): Move[] {
  const name = nameOf(index);
  const { journal, switch: before } = host;
  if (before === undefined || isGuarded(host)) return [];
  const move = (label: string, changes: Partial<Host>): Move => ({
    label: `${name} ${label}`,
    next: () => withHost(world, index, { gate: nothingHeard, ...changes }),
  });
  const followed = { epoch: before.epoch, state: "followed", thisBoot: true } as const;
  if (journal?.epoch !== before.epoch) return [move("finds its handover ended", { switch: followed })];
  const { told } = host.gate;
  if (told === undefined) {
    if (!mayAsk(world, journal.to)) return [];
    const asked = askForTicket(world, journal, rules);
    return [
      {
        label: `${name} takes the ticket ${journal.epoch} back at its start: ${asked.answer}`,
        next: () => withHost(asked.world, index, { gate: { answers: [], told: asked.answer } }),
      },
    ];
  }
  if (told !== "revoked") return [move("gives its place up at its start", { switch: followed, standbySignal: true })];
  if (host.lock.alive) return []; // its holder decides
  const restored = { epoch: before.epoch, state: "restored", thisBoot: true } as const;
  return [move("comes back at its start", { standbySignal: false, switch: restored, pass: true })];
}

/** agent/handover.py, is_unsettled */
export function isUnsettled({ journal, switch: found }: Host, epoch: number): boolean {
  return journal?.epoch === epoch && found?.epoch === epoch && found.state === "stopping";
}

/** The other host answers, and nobody there holds its guard. */
export function mayAsk(world: World, other: number): boolean {
  const host = hostAt(world, other);
  return host.power === "on" && !isGuarded(host);
}

/** agent/ticket.py, revoke: in one piece on the target's host. */
export function askForTicket(world: World, handover: Handover, rules: Rules): { world: World; answer: Revocation } {
  const target = hostAt(world, handover.to);
  const isStandby = target.standbySignal;
  const answer = rules.afterRevocation(target.ticket, handover, { timeline: timelineOf(target.wal), isStandby });
  if (answer !== "revoked") return { world, answer };
  const { epoch, timeline } = handover;
  return {
    world: withTicket(world, handover.to, { epoch, timeline, state: "revoked", thisBoot: true }, rules),
    answer,
  };
}

export function withTicket(world: World, index: number, ticket: Ticket, rules: Rules): World {
  const host = hostAt(world, index);
  const { consumed, revoked } = rules.durable;
  const isDurable = ticket.state === "consumed" ? consumed : ticket.state === "revoked" ? revoked : true;
  return withHost(world, index, {
    ticket,
    unsynced: isDurable ? host.unsynced : { ...host.unsynced, ticket: host.ticket },
  });
}

/** agent/gate.py, old_primarys_word: a look, no promise. */
export function hasWord(world: World, journal: Handover, rules: Rules): boolean {
  const old = hostAt(world, journal.from);
  return old.power === "on" && rules.givesItsWord(old.switch, old.lock, journal.epoch);
}
