import {
  askForTicket,
  hasWord,
  isGuarded,
  isShutDown,
  isUnsettled,
  mayAsk,
  promotion,
  startPostgres,
  stopPostgres,
  withTicket,
} from "./postgres.ts";
import { isHeld, type Rules } from "./rules.ts";
import {
  type Back,
  type Give,
  type Handover,
  type Host,
  hostAt,
  type Message,
  type Move,
  nameOf,
  type Started,
  say,
  spend,
  type Take,
  timelineOf,
  type Unit,
  unsay,
  type World,
  withHost,
  withUnit,
} from "./world.ts";

/* agent/give.py, take.py, orders.py: the processes that hand over from host to host. */

/** One unit, where it is, and how it goes on. */
interface Scene<Kind extends Unit> {
  readonly world: World;
  readonly index: number;
  readonly host: Host;
  readonly unit: Kind;
  readonly rules: Rules;
}

export function unitMoves(world: World, host: Host, index: number, rules: Rules): Move[] {
  return host.units.flatMap((unit) => movesOf(unit, { world, index, host, rules }));
}

function movesOf(unit: Unit, scene: Omit<Scene<Unit>, "unit">): Move[] {
  switch (unit.kind) {
    case "give":
      return giveMoves({ ...scene, unit });
    case "back":
      return backMoves({ ...scene, unit });
    case "take":
      return takeMoves({ ...scene, unit });
    case "started":
      return complete({ ...scene, unit });
  }
}

/** `phase`: the next one, or the end of the unit. */
function step(scene: Scene<Unit>, label: string, phase: string | "end", changes: Partial<Host> = {}): Move {
  const { world, index, host, unit } = scene;
  const after = phase === "end" ? undefined : ({ ...unit, phase } as Unit);
  const kept = { ...host, ...changes };
  return {
    label: `${nameOf(index)} ${label}`,
    next: () => withHost(world, index, { ...changes, ...withUnit(kept, unit, after) }),
  };
}

function giveMoves(scene: Scene<Give>): Move[] {
  const { world, index, host, unit, rules } = scene;
  const { handover } = unit;
  const { epoch } = handover;
  const target = hostAt(world, handover.to);
  const targetListens = target.power !== "off" && target.units.some((one) => isTakeOf(one, epoch));
  switch (unit.phase) {
    case "armed": {
      const isLeft = world.orchestrators.some((one) => one.epoch === epoch && one.end !== "none");
      const isArmed = isHeld(host.lock, epoch) && host.journal?.epoch === epoch;
      return isArmed && targetListens && !isLeft ? [] : [step(scene, `disarms ${epoch}`, "end")];
    }
    case "marking": {
      const unsynced = rules.durable.standbySignal
        ? host.unsynced
        : { ...host.unsynced, standbySignal: host.standbySignal };
      return [step(scene, "makes itself a standby", "ordering", { standbySignal: true, unsynced })];
    }
    case "ordering":
      return [step(scene, "is told to stop", "waiting", stopPostgres(host, rules))];
    case "waiting": {
      const givesUp = step(scene, "gives the stop up", "restoring");
      if (isShutDown(host)) {
        const ticket: Message = { kind: "ticket", to: handover.to, handover, end: host.wal.length };
        const sent = step(scene, `sends the ticket ${epoch}`, "sent");
        return [{ ...sent, next: () => say(sent.next(), ticket) }];
      }
      if (host.postgres !== "stopping") return [givesUp]; // it crashed: pg_control never says it
      return impatiently(world, givesUp);
    }
    case "sent": {
      const asks = step(scene, "hears nothing", "asking");
      const deaf = { ...asks, next: () => withoutAnswers(asks.next(), index) };
      const isAnswered = world.messages.some((one) => one.kind === "answer" && one.handover.epoch === epoch);
      return targetListens || isAnswered ? impatiently(world, deaf) : [deaf];
    }
    case "resuming":
      if (isGuardedByOther(host, unit)) return [];
      if (!isUnsettled(host, epoch)) return [step(scene, "goes on", "asking")];
      return [step(scene, "is stopped once more", "asking", { ...stopPostgres(host, rules), standbySignal: true })];
    case "asking":
      return settle(scene);
    case "following":
      if (host.postgres === "stopping" || host.postgres === "ending" || isGuardedByOther(host, unit)) return [];
      if (host.postgres !== "down") return [step(scene, "does not stop, and is asked about again", "asking")];
      if (!isUnsettled(host, epoch)) return [step(scene, "has nothing to follow any more", "end")];
      return [step(scene, "gives its place up", "starting", { switch: { epoch, state: "followed", thisBoot: true } })];
    case "starting":
      return [step(scene, "is started", "end", host.journal?.epoch === epoch ? startPostgres(host) : {})];
    default:
      return restoreMoves(scene, handover, epoch);
  }
}

function impatiently(world: World, move: Move): Move[] {
  return world.left.impatience > 0 ? [{ ...move, next: () => spend(move.next(), "impatience") }] : [];
}

/** The channel that they would have come by is closed. */
export function withoutAnswers(world: World, to: number): World {
  return { ...world, messages: world.messages.filter((message) => message.kind !== "answer" || message.to !== to) };
}

function settle(scene: Scene<Give>): Move[] {
  const { world, index, host, unit, rules } = scene;
  const { handover } = unit;
  const name = nameOf(index);
  if (!isUnsettled(host, handover.epoch)) return [step(scene, "has nothing to settle any more", "end")];
  if (!rules.silenceKeepsDown) return [step(scene, "takes silence for a permission", "restoring")];
  if (!mayAsk(world, handover.to)) return [];
  const asked = askForTicket(world, handover, rules);
  const phase = asked.answer === "revoked" ? ("restoring" as const) : ("following" as const);
  const heard: Move = {
    label: `${name} takes the ticket ${handover.epoch} back: ${asked.answer}`,
    next: () => withHost(asked.world, index, withUnit(hostAt(asked.world, index), unit, { ...unit, phase })),
  };
  if (world.left.cuts <= 0) return [heard];
  const revocation: Message = { kind: "revocation", to: handover.to, handover };
  return [
    heard,
    { label: `${heard.label}, but does not hear it`, next: () => spend(asked.world, "cuts") },
    {
      label: `${name} asks for the ticket ${handover.epoch} in vain`,
      next: () => spend(say(world, revocation), "cuts"),
    },
  ];
}

/** agent/give.py, restore */
function restoreMoves(scene: Scene<Give> | Scene<Back>, handover: Handover, lockEpoch: number): Move[] {
  const { host, unit, rules } = scene;
  const { epoch } = handover;
  const permitted = rules.mayRestore(host, epoch, lockEpoch) && !isGuardedByOther(host, unit);
  switch (unit.phase) {
    case "restoring":
      if (!isUnsettled(host, epoch)) return [notRestored(scene)];
      return permitted ? [step(scene, "is stopped to come back", "stopped", stopPostgres(host, rules))] : [];
    case "stopped":
      if (host.postgres === "stopping" || host.postgres === "ending") return [];
      if (host.postgres !== "down") return [step(scene, "does not stop", unit.kind === "give" ? "asking" : "end")];
      if (!permitted) return [step(scene, "may not come back now", "restoring")];
      return [step(scene, "is no standby any more", "unmarked", { standbySignal: false })];
    case "unmarked":
      return [
        step(scene, "may come back", "restored", { switch: { epoch, state: "restored", thisBoot: true }, pass: true }),
      ];
    default:
      return [step(scene, "is started", "end", startPostgres(host))];
  }
}

/** The other side of `back`'s restore: done by somebody else, and perhaps not started. */
function notRestored(scene: Scene<Give> | Scene<Back>): Move {
  const { host, unit } = scene;
  const { epoch } = unit.handover;
  const isRestored = host.switch?.epoch === epoch && host.switch.state === "restored" && host.journal?.epoch === epoch;
  const starts = unit.kind === "back" && isRestored ? startPostgres(host) : {};
  return step(scene, "has nothing to bring back any more", "end", starts);
}

function isGuardedByOther(host: Host, unit: Unit): boolean {
  return isGuarded({ ...host, units: host.units.filter((other) => other !== unit) });
}

/** agent/orders.py, back and take_over */
function backMoves(scene: Scene<Back>): Move[] {
  const { host, unit } = scene;
  const { epoch } = unit.handover;
  if (unit.phase !== "taking over") return restoreMoves(scene, unit.handover, unit.epoch);
  const units = host.units.filter((one) => one.kind !== "give" || one.handover.epoch !== epoch);
  const found = host.switch?.epoch === epoch ? host.switch : undefined;
  if (isGuardedByOther(host, unit)) return [];
  if (found?.under === unit.epoch) return [step(scene, "goes on", "restoring")];
  if ((host.switch?.epoch ?? 0) > epoch || !isHeld(host.lock, unit.epoch)) return [notRestored(scene)];
  if (found?.state === "restored") return [step(scene, "finds it brought back", "restoring", { units })];
  const taken = { epoch, state: "stopping", thisBoot: true, under: unit.epoch } as const;
  return [step(scene, `takes over from the unit of ${epoch}`, "restoring", { units, switch: taken })];
}

/** What a unit goes on with that was killed: systemd starts it again, and it reads what is written. */
export function restarted(host: Host, unit: Unit): Unit | undefined {
  if (unit.kind === "back") return { ...unit, phase: "taking over" };
  if (unit.kind === "started") return undefined;
  if (unit.kind === "take") {
    const isConsumed = host.ticket?.epoch === unit.handover.epoch && host.ticket.state === "consumed";
    return isConsumed ? { ...unit, phase: "asking" } : undefined;
  }
  if (host.switch?.epoch !== unit.handover.epoch || host.switch.state === "armed") return undefined;
  if (host.switch.state === "stopping") return { ...unit, phase: "resuming" };
  return { ...unit, phase: "starting" };
}

function isTakeOf(unit: Unit, epoch: number): boolean {
  return unit.kind === "take" && unit.handover.epoch === epoch && unit.phase !== "asking";
}

function takeMoves(scene: Scene<Take>): Move[] {
  const { world, index, host, unit, rules } = scene;
  const { handover } = unit;
  const { epoch } = handover;
  switch (unit.phase) {
    case "armed": {
      const isArmed = isHeld(host.lock, epoch) && host.journal?.epoch === epoch && host.ticket?.state === "armed";
      if (isArmed || isGuarded(host)) return [];
      const ended = step(scene, `disarms ${epoch}`, "end");
      return [{ ...ended, next: () => askForTicket(ended.next(), handover, rules).world }];
    }
    case "proving": {
      const isComplete = host.wal.length >= unit.end || !rules.walIsProved;
      if (host.postgres === "standby" && isComplete) return [useTicket(scene)];
      const refuses = refuse(scene, `cannot prove its WAL, and refuses the ticket ${epoch}`);
      return host.postgres === "standby" ? impatiently(world, refuses) : [refuses];
    }
    case "consumed":
      // One block under the guard with the consuming; a kill, a power cut or a standstill may come between the two.
      if (unit.late && rules.clockAfterConsuming)
        return [saysConsumed(scene, step(scene, "consumed too late", "asking"))];
      return [saysConsumed(scene, step(scene, "promotes", "promoting", promotion(host)))];
    case "promoting":
      if (host.postgres === "primary") return [recorded(scene)];
      return host.postgres === "promoting" ? [] : [step(scene, "cannot see its promotion", "asking")];
    case "asking":
      return complete({ world, index, host, unit, rules });
  }
}

function useTicket(scene: Scene<Take>): Move {
  const { index, host, unit, rules } = scene;
  const { epoch, timeline } = unit.handover;
  if (!rules.mayConsume(host.ticket, host.lock, epoch, unit.late)) return refuse(scene, `refuses the ticket ${epoch}`);
  const consumed = step(scene, `consumes the ticket ${epoch}`, "consumed");
  return {
    ...consumed,
    next: () => withTicket(consumed.next(), index, { epoch, timeline, state: "consumed", thisBoot: true }, rules),
  };
}

function saysConsumed({ unit: { handover } }: Scene<Take>, move: Move): Move {
  return { ...move, next: () => say(move.next(), { kind: "answer", to: handover.from, handover, answer: "consumed" }) };
}

function refuse(scene: Scene<Take>, label: string): Move {
  const { handover } = scene.unit;
  const ended = step(scene, label, "end");
  return {
    ...ended,
    next: () => {
      const answer: Message = { kind: "answer", to: handover.from, handover, answer: "refused" };
      if (!scene.rules.refusalRevokes) return say(step(scene, label, "proving").next(), answer);
      const revoked = askForTicket(ended.next(), handover, scene.rules);
      return revoked.answer === "revoked" ? say(revoked.world, answer) : revoked.world;
    },
  };
}

/** agent/take.py, complete_promotion */
function complete(scene: Scene<Take | Started>): Move[] {
  const { world, host, rules } = scene;
  const { ticket, journal } = host;
  if (ticket?.state !== "consumed" || journal?.epoch !== ticket.epoch) return [step(scene, "has completed it", "end")];
  if (!host.standbySignal) return host.postgres === "primary" ? [recorded(scene)] : [];
  if (timelineOf(host.wal) > ticket.timeline) return [step(scene, "was left behind", "end")];
  if (host.postgres !== "standby") return [];
  const asks = ticket.thisBoot ? rules.targetAsksAgain : rules.targetAsksAfterBoot;
  if (!asks) return [step(scene, "promotes unasked", "asking", promotion(host))];
  if (!hasWord(world, journal, rules)) return [];
  // One step: a word that is not used at once is too old.
  return [step(scene, `promotes by ${nameOf(journal.from)}'s word`, "asking", { ...promotion(host), pass: true })];
}

function recorded(scene: Scene<Take | Started>): Move {
  const { ticket } = scene.host;
  const isConsumed = ticket?.state === "consumed";
  return step(scene, "records its promotion", "end", {
    pass: true,
    ...(isConsumed ? { ticket: { ...ticket, state: "promoted", thisBoot: true } } : {}),
  });
}

/** What was said arrives, or does not. */
export function arrivals(world: World, message: Message, rules: Rules): Move[] {
  if (message.kind === "order") return [];
  const heard = hear(world, message, rules);
  const text = message.kind === "answer" ? message.answer : `${message.kind} ${message.handover.epoch}`;
  const lost: Move[] =
    world.left.cuts <= 0
      ? []
      : [{ label: `${text} to ${nameOf(message.to)} is lost`, next: () => spend(unsay(world, message), "cuts") }];
  return heard === undefined ? lost : [{ label: `${nameOf(message.to)} hears ${text}`, next: heard }, ...lost];
}

function hear(world: World, message: Exclude<Message, { kind: "order" }>, rules: Rules): (() => World) | undefined {
  const { to, handover } = message;
  const host = hostAt(world, to);
  if (host.power !== "on") return undefined;
  const arrived = () => unsay(world, message);
  const unit = host.units.find((one) => one.handover.epoch === handover.epoch && one.kind !== "back");
  const goOn = (after: Unit) => () => withHost(arrived(), to, withUnit(host, unit as Unit, after));
  switch (message.kind) {
    case "ticket":
      if (unit?.kind !== "take" || unit.phase !== "armed") return arrived; // nobody listens: the channel is closed
      return goOn({ ...unit, phase: "proving", end: message.end });
    case "answer":
      if (unit?.kind !== "give" || unit.phase !== "sent") return arrived;
      return goOn({ ...unit, phase: message.answer === "consumed" ? "following" : "restoring" });
    case "revocation":
      return isGuarded(host) ? undefined : () => askForTicket(arrived(), handover, rules).world;
  }
}
