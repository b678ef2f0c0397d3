import type { Journal, MemberObservation } from "../../model/observation.ts";
import { observePrimary } from "../../model/observedPrimary.ts";
import { openJournal, type Recovery } from "../../model/unfinished.ts";
import { endpoints, primary, standby, stopped, systemIdentifier, unreachable } from "../support/observations.ts";
import { askForTicket, isGuarded, promotion, startPostgres, stopPostgres } from "./postgres.ts";
import { isHeld, type Rules } from "./rules.ts";
import {
  type Handover,
  type Host,
  hostAt,
  type Move,
  nameOf,
  type Orchestrator,
  type Order,
  type OrderKind,
  type Seen,
  say,
  spend,
  timelineOf,
  unsay,
  type World,
  withHost,
  withOrchestrator,
} from "./world.ts";

/* A `pulumi up`: cluster/underLock.ts, switchOver.ts, handOver.ts and recover.ts as lists of orders. */

interface Outcome {
  readonly world: World;
  /** `wait`: nothing happened yet, ask again. `undone`: the old primary is back. */
  readonly answer: "done" | "refused" | "undone" | "wait";
}

/** What the host does with an order, whoever still waits for the answer. */
function execute(world: World, order: Order, epoch: number, rules: Rules): Outcome {
  const { on, handover } = order;
  const host = hostAt(world, on);
  const done = (changes: Partial<Host> = {}): Outcome => ({ world: withHost(world, on, changes), answer: "done" });
  const refused: Outcome = { world, answer: "refused" };
  const wait: Outcome = { world, answer: "wait" };
  switch (order.what) {
    case "look":
      return done();
    case "await writable":
      return host.postgres === "primary" ? done() : wait;
    case "await service":
      return ["primary", "standby", "promoting"].includes(host.postgres) ? done() : wait;
    case "await a majority": {
      const ahead = world.hosts.filter(({ wal }) => timelineOf(wal) >= timelineOf(host.wal));
      return ahead.length * 2 > world.hosts.length ? done() : wait;
    }
  }
  if (isGuarded(host)) return wait;
  const isStopping = host.postgres === "stopping" || host.postgres === "ending";
  switch (order.what) {
    case "lock":
      return rules.mayTakeLock(host.lock, epoch) ? done({ lock: { epoch, alive: true } }) : refused;
    case "release":
      return done(host.lock.epoch === epoch ? { lock: { epoch, alive: false } } : {});
    // Either order waits until systemd has finished a stop that is under way.
    case "start":
      return isStopping ? wait : done(startPostgres(host));
    case "stop":
      return isStopping ? wait : done(stopPostgres(host, rules));
    case "unmark":
      return isHeld(host.lock, epoch) && host.postgres === "primary" ? done({ standbySignal: false }) : refused;
    case "admit":
      return isHeld(host.lock, epoch) ? done({ pass: true }) : refused;
  }
  if (handover === undefined) throw new Error(`${order.what} without its handover`);
  return executeFor(handover, world, order, epoch, rules);
}

function executeFor(handover: Handover, world: World, { on, what }: Order, epoch: number, rules: Rules): Outcome {
  const host = hostAt(world, on);
  const done = (changes: Partial<Host> = {}): Outcome => ({ world: withHost(world, on, changes), answer: "done" });
  const refused: Outcome = { world, answer: "refused" };
  const wait: Outcome = { world, answer: "wait" };
  const unit = host.units.find((one) => one.handover.epoch === handover.epoch && one.kind !== "back");
  switch (what) {
    case "write the journal":
      return isHeld(host.lock, epoch) ? done({ journal: handover }) : refused;
    case "forget":
      if (!isHeld(host.lock, epoch)) return refused;
      return done(host.journal !== undefined && host.journal.epoch <= handover.epoch ? { journal: undefined } : {});
    case "arm the target":
      if (!rules.mayArm(host, host.ticket, epoch) || host.postgres !== "standby") return refused;
      return done({
        ticket: { epoch, state: "armed", thisBoot: true, timeline: handover.timeline },
        units: [...host.units, { kind: "take", handover, phase: "armed", end: 0, late: false }],
      });
    case "arm the old primary":
      if (!rules.mayArm(host, host.switch, epoch) || host.postgres !== "primary") return refused;
      return done({
        switch: { epoch, state: "armed", thisBoot: true },
        units: [...host.units, { kind: "give", handover, phase: "armed" }],
      });
    case "go":
      if (unit?.kind !== "give" || unit.phase !== "armed" || !rules.mayGo(host, epoch)) return refused;
      return done({
        switch: { epoch, state: "stopping", thisBoot: true },
        unsynced: rules.durable.stopping ? host.unsynced : { ...host.unsynced, switch: host.switch },
        units: host.units.map((one) => (one === unit ? { ...unit, phase: "marking" } : one)),
      });
    case "await the outcome": {
      if (unit?.kind === "give") return wait;
      const state = host.switch?.epoch === handover.epoch ? host.switch.state : undefined;
      if (state === "restored") return host.postgres === "primary" ? { world, answer: "undone" } : wait;
      return state === "followed" ? done() : refused;
    }
    case "await streaming":
      return host.wal.startsWith(hostAt(world, handover.to).wal.slice(0, -1)) && host.postgres === "standby"
        ? timelineOf(host.wal) > handover.timeline
          ? done()
          : wait
        : wait;
    case "revoke": {
      const asked = askForTicket(world, handover, rules);
      return asked.answer === "revoked" ? { world: asked.world, answer: "done" } : refused;
    }
    case "record as given up":
      return isHeld(host.lock, epoch) ? done({ givenUp: Math.max(host.givenUp, handover.epoch) }) : refused;
    case "bring back":
      if (!isHeld(host.lock, epoch)) return refused;
      return done({
        journal: handover,
        units: [...host.units, { kind: "back", epoch, handover, phase: "taking over" }],
      });
    case "await the return":
      if (host.units.some((one) => one.kind === "back" && one.epoch === epoch)) return wait;
      return host.switch?.epoch === handover.epoch && host.switch.state === "restored" ? done() : refused;
    case "give way": {
      if (!isHeld(host.lock, epoch)) return refused;
      const isOpen = host.switch?.epoch === handover.epoch;
      return done({
        units: host.units.filter((one) => one !== unit),
        standbySignal: true,
        switch: isOpen ? { epoch: handover.epoch, state: "followed", thisBoot: true } : host.switch,
      });
    }
    case "complete":
      if (!isHeld(host.lock, epoch)) return refused;
      return done(host.ticket?.state === "consumed" ? promotion(host) : {});
    default:
      throw new Error(`unknown order ${what}`);
  }
}

/** Locks whom it reaches, looks, and finishes what is unfinished; else switches over if that is its goal. */
export function begin(
  world: World,
  reach: readonly number[],
  goal: Orchestrator["goal"],
): { readonly world: World; readonly index: number } | undefined {
  const locks = reach.map((on) => hostAt(world, on).lock);
  if (reach.length === 0 || locks.some((lock) => lock.alive)) return undefined;
  const epoch = Math.max(...locks.map((lock) => lock.epoch)) + 1;
  const todo = [...all(reach, "lock"), ...all(reach, "look")];
  const orchestrator: Orchestrator = { epoch, reach, goal, todo, seen: world.hosts.map(() => undefined), end: "none" };
  return {
    world: { ...world, orchestrators: [...world.orchestrators, orchestrator] },
    index: world.orchestrators.length,
  };
}

function all(reach: readonly number[], what: OrderKind): Order[] {
  return reach.map((on) => ({ on, what }));
}

/** The next thing that it does; undefined when it ended or waits. */
export function orchestratorStep(world: World, index: number, rules: Rules): Move | undefined {
  const orchestrator = world.orchestrators[index];
  const order = orchestrator?.todo[0];
  if (orchestrator === undefined || order === undefined) return undefined;
  const { power } = hostAt(world, order.on);
  if (power === "off") return unreached(world, index, order);
  if (power === "frozen") return undefined;
  const outcome = execute(world, order, orchestrator.epoch, rules);
  if (outcome.answer === "wait") return undefined;
  const label = `up ${orchestrator.epoch}: ${textOf(order)}${outcome.answer === "refused" ? ": refused" : ""}`;
  return { label, next: () => afterOutcome(outcome, index, order, rules) };
}

/** Its connection broke. */
function unreached(world: World, index: number, order: Order): Move {
  const orchestrator = world.orchestrators[index] as Orchestrator;
  const todo = orchestrator.todo.slice(1);
  const ended = orchestrator.end === "none" ? "done" : orchestrator.end;
  const released: Partial<Orchestrator> = { todo, end: todo.length === 0 ? ended : orchestrator.end };
  const next = order.what === "release" ? released : stopAt(orchestrator, order);
  return {
    label: `up ${orchestrator.epoch}: ${textOf(order)}: not reached`,
    next: () => withOrchestrator(world, index, next),
  };
}

function textOf({ what, on }: Order): string {
  return `${what} (${nameOf(on)})`;
}

function afterOutcome({ world, answer }: Outcome, index: number, order: Order, rules: Rules): World {
  const orchestrator = world.orchestrators[index] as Orchestrator;
  const todo = orchestrator.todo.slice(1);
  if (answer === "refused") return withOrchestrator(world, index, stopAt(orchestrator, order));
  if (answer === "undone") {
    const forgets = todo.filter(({ what }) => what === "forget" || what === "release");
    return withOrchestrator(world, index, { todo: forgets });
  }
  if (order.what === "release" && todo.length === 0) {
    return withOrchestrator(world, index, { todo, end: orchestrator.end === "none" ? "done" : orchestrator.end });
  }
  if (order.what !== "look") return withOrchestrator(world, index, { todo });
  const seen = orchestrator.seen.slice();
  const { journal, ticket, switch: found, givenUp, standbySignal, wal, postgres } = hostAt(world, order.on);
  seen[order.on] = { journal, ticket, switch: found, givenUp, standbySignal, wal, postgres };
  if (todo.length > 0) return withOrchestrator(world, index, { todo, seen });
  return withOrchestrator(world, index, {
    seen: seen.map(() => undefined),
    ...plan({ ...orchestrator, seen }, world, rules),
  });
}

/** Before the order to stop nothing happened yet: what it wrote is taken away again. */
function stopAt(orchestrator: Orchestrator, order: Order): Partial<Orchestrator> {
  const before = ["write the journal", "arm the target", "arm the old primary"].includes(order.what);
  const forgets = before ? orchestrator.todo.filter(({ what }) => what === "forget") : [];
  return { todo: [...forgets, ...all(orchestrator.reach, "release")], end: "stopped" };
}

function plan(orchestrator: Orchestrator, world: World, rules: Rules): Partial<Orchestrator> {
  const members = world.hosts.map((_, index) => index).filter((index) => !world.fenced.includes(index));
  const observations = members.map((index) => observation(index, orchestrator.seen[index]));
  const releases = all(orchestrator.reach, "release");
  const found = openJournal(observations);
  if (found === undefined) return { todo: [...withoutJournal(orchestrator, observations), ...releases] };
  const recovery = rules.recoveryOf(found, observations);
  if (recovery.kind === "stop") return { todo: releases, end: "stopped" };
  const { epoch, timeline } = found;
  const handover = { epoch, from: memberOf(found.from), to: memberOf(found.to), timeline };
  return { todo: [...recoveryOrders(recovery, handover, orchestrator, world, rules), ...releases] };
}

function withoutJournal({ goal, epoch, seen }: Orchestrator, observations: readonly MemberObservation[]): Order[] {
  const observed = observePrimary(observations, endpoints("pg1", "pg2", "pg3"));
  if (observed.kind === "stopped") {
    const on = memberOf(observed.member);
    return [
      { on, what: "admit" },
      { on, what: "start" },
      { on, what: "await service" },
    ];
  }
  if (goal === undefined || observed.kind !== "known" || observed.member !== nameOf(goal.from)) return [];
  const { from, to } = goal;
  const target = seen[to];
  if (target?.postgres !== "standby" || timelineOf(target.wal) !== observed.timeline) return [];
  const handover: Handover = { epoch, from, to, timeline: observed.timeline };
  return [
    { on: from, what: "write the journal", handover },
    { on: to, what: "write the journal", handover },
    { on: to, what: "arm the target", handover },
    { on: from, what: "arm the old primary", handover },
    { on: from, what: "go", handover },
    { on: from, what: "await the outcome", handover },
    { on: to, what: "await writable", handover },
    { on: from, what: "await streaming", handover },
    { on: from, what: "forget", handover },
    { on: to, what: "forget", handover },
  ];
}

function recoveryOrders(
  recovery: Exclude<Recovery, { kind: "stop" }>,
  handover: Handover,
  { reach, seen }: Orchestrator,
  world: World,
  rules: Rules,
): Order[] {
  const { from, to } = handover;
  const orders = (on: number, ...whats: OrderKind[]) =>
    reach.includes(on) && !world.fenced.includes(on) ? whats.map((what): Order => ({ on, what, handover })) : [];
  const forget = reach.flatMap((on) => orders(on, "forget"));
  const revoke = world.fenced.includes(to)
    ? reach.flatMap((on) => orders(on, "record as given up"))
    : rules.upRevokesFirst
      ? orders(to, "revoke")
      : [];
  switch (recovery.kind) {
    case "clear":
      return [...revoke, ...orders(from, "unmark"), ...forget];
    case "restore":
      return [...revoke, ...orders(from, "bring back", "await the return", "await service"), ...forget];
    case "overtaken":
      return forget;
    case "forward": {
      const start: OrderKind[] = recovery.startTarget ? ["admit", "start", "await service"] : [];
      const isRunning = ["primary", "standby", "promoting"].includes(seen[from]?.postgres ?? "down");
      const follow: OrderKind[] = isRunning ? [] : ["give way", "stop", "start", "await service"];
      const known: Order[] = reach.includes(from) || world.fenced.includes(from) ? [] : orders(to, "await a majority");
      return [...orders(to, ...start, "complete", "await writable"), ...orders(from, ...follow), ...known, ...forget];
    }
  }
}

function memberOf(name: string): number {
  return Number(name.slice(2)) - 1;
}

/** What the real observation of this host would be. */
function observation(index: number, seen: Seen | undefined): MemberObservation {
  const member = nameOf(index);
  if (seen === undefined) return unreachable(member);
  const { journal, ticket, switch: found, givenUp, standbySignal, wal } = seen;
  const timeline = timelineOf(wal);
  const units = { gate: "waiting", down: "inactive", stopping: "deactivating", ending: "deactivating" } as const;
  const local = {
    standbySignal,
    journal: journal === undefined ? undefined : journalText(journal),
    ticket,
    switch: found,
    givenUp,
  };
  switch (seen.postgres) {
    case "primary":
      return primary(member, { local, postgres: { timeline } });
    case "standby":
    case "promoting":
      return standby(member, member === "pg1" ? "pg2" : "pg1", { local, postgres: { timeline } });
    default:
      return stopped(member, {
        local: { ...local, unit: units[seen.postgres] },
        control: { timeline, state: wal.endsWith("X") ? "shut down" : "in production" },
      });
  }
}

function journalText({ from, to, ...journal }: Handover): Journal {
  const people = { operation: "switchover", systemIdentifier, startedAt: "", holder: "" } as const;
  return { ...journal, ...people, from: nameOf(from), to: nameOf(to) };
}

/** What may happen to orchestrators, and what they do. `goals`: of the first `up`, the second, and so on. */
export function orchestratorMoves(world: World, goals: readonly Orchestrator["goal"][], rules: Rules): Move[] {
  return [
    ...world.orchestrators.flatMap((_, index) => orchestratorStep(world, index, rules) ?? []),
    ...deaths(world),
    ...lapses(world),
    ...lateOrders(world, rules),
    ...beginnings(world, goals),
  ];
}

function deaths(world: World): Move[] {
  if (world.left.deaths <= 0) return [];
  return world.orchestrators.flatMap((orchestrator, index) => {
    const order = orchestrator.todo[0];
    if (order === undefined) return [];
    const label = `up ${orchestrator.epoch} dies`;
    const gone = () => spend(withOrchestrator(world, index, { todo: [], seen: [], end: "gone" }), "deaths");
    const dies = { label, next: gone };
    if (/^(look|release|await .*)$/.test(order.what)) return [dies];
    const late = () => say(gone(), { kind: "order", to: order.on, order, epoch: orchestrator.epoch });
    return [dies, { label: `${label}, and its order is under way: ${textOf(order)}`, next: late }];
  });
}

function lapses(world: World): Move[] {
  return world.hosts.flatMap((host, index) => {
    if (host.power !== "on" || !host.lock.alive) return [];
    const { epoch } = host.lock;
    const lives = world.orchestrators.some((one) => one.epoch === epoch && one.end === "none" && one.todo.length > 0);
    if (lives && world.left.lapses <= 0) return [];
    const dead = () => withHost(world, index, { lock: { epoch, alive: false } });
    const label = `the lock ${epoch} runs out on ${nameOf(index)}`;
    return [{ label, next: () => (lives ? spend(dead(), "lapses") : dead()) }];
  });
}

function lateOrders(world: World, rules: Rules): Move[] {
  return world.messages.flatMap((message) => {
    if (message.kind !== "order" || hostAt(world, message.to).power !== "on") return [];
    const outcome = execute(unsay(world, message), message.order, message.epoch, rules);
    if (outcome.answer === "wait") return [];
    const refused = outcome.answer === "refused" ? ": refused" : "";
    return [{ label: `late, of up ${message.epoch}: ${textOf(message.order)}${refused}`, next: () => outcome.world }];
  });
}

function beginnings(world: World, goals: readonly Orchestrator["goal"][]): Move[] {
  if (world.left.ups <= 0) return [];
  const members = world.hosts.map((_, index) => index).filter((index) => !world.fenced.includes(index));
  const answering = members.filter((index) => hostAt(world, index).power === "on");
  const reaches = [answering, ...(world.left.cuts > 0 ? answering.map((away) => without(answering, away)) : [])];
  return reaches.flatMap((reach) => {
    const begun = begin(world, reach, goals[world.orchestrators.length]);
    if (begun === undefined) return [];
    const { epoch } = begun.world.orchestrators[begun.index] as Orchestrator;
    const started = () => spend(begun.world, "ups");
    const next = reach === answering ? started : () => spend(started(), "cuts");
    return [{ label: `up ${epoch} begins, reaching ${reach.map(nameOf).join(", ")}`, next }];
  });
}

function without(members: readonly number[], away: number): number[] {
  return members.filter((index) => index !== away);
}

/** A person would be told that it is so, and acts on it. */
export function upIsRunning(world: World): boolean {
  return world.orchestrators.some(({ end, todo }) => end === "none" && todo.length > 0);
}
