import { boot, thaw } from "./faults.ts";
import { begin, orchestratorStep } from "./orchestrator.ts";
import type { Rules } from "./rules.ts";
import {
  hashOf,
  hostAt,
  isWritable,
  keyOf,
  type Move,
  nameOf,
  noBudget,
  type Orchestrator,
  timelineOf,
  type World,
  withHost,
} from "./world.ts";

export interface Violation {
  readonly what: string;
  /** Every step from the steady cluster to it. */
  readonly trace: readonly string[];
}

type Moves = (world: World, rules: Rules) => Move[];

/** What must hold in every state: never two writable, and no acknowledged row missing from the one. */
export function brokenNow(world: World): Violation | undefined {
  const writable = world.hosts.flatMap((host, index) => (isWritable(host) ? [index] : []));
  const [only, other] = writable;
  if (only === undefined) return undefined;
  if (other !== undefined) return { what: `${writable.map(nameOf).join(" and ")} are writable`, trace: [] };
  const lost = [...world.acknowledged].filter((row) => !hostAt(world, only).wal.includes(row));
  if (lost.length === 0) return undefined;
  return { what: `${nameOf(only)} is writable without the acknowledged row ${lost.join(", ")}`, trace: [] };
}

/**
 * What must become true from every state, once every host and link is up and stays so: the hosts alone go forward or come
 * back, and one more `up` leaves nothing unfinished. One that comes before the hosts have settled may stop and say so.
 */
export function brokenEnd(world: World, hostMoves: Moves, rules: Rules, endsWell: Set<string>): Violation | undefined {
  const paths = new Paths(hostMoves, rules, endsWell);
  const calm = calmed(world);
  const alone = paths.alone(calm);
  if (alone === undefined) return undefined;
  const calmTrace = ["from now on every host and link is up", ...alone.trace];
  const broken = brokenNow(alone.end) ?? brokenAlone(alone.end);
  if (broken !== undefined) return { ...broken, trace: calmTrace };
  const later = paths.up(alone.end, false);
  if (later !== undefined) return { ...later, trace: [...calmTrace, ...later.trace] };
  const early = paths.up(calm, true);
  if (early !== undefined) return { ...early, trace: ["from now on every host and link is up", ...early.trace] };
  paths.remember();
  return undefined;
}

/** Locks have run out, and every orchestrator is gone. */
function calmed(world: World): World {
  const messages = world.messages.filter(({ kind }) => kind !== "order");
  let calm: World = { ...world, left: noBudget, messages, orchestrators: [] };
  world.hosts.forEach(({ power }, index) => {
    if (power === "frozen") calm = thaw(calm, index);
    if (power === "off" && !world.fenced.includes(index)) calm = boot(calm, index);
    calm = withHost(calm, index, { lock: { ...hostAt(calm, index).lock, alive: false } });
  });
  return calm;
}

/** People decide once they changed who is primary, or took away a member that may have been the only one. */
function isForPeople(world: World): boolean {
  const highest = Math.max(...world.hosts.map(({ wal }) => timelineOf(wal)));
  const wasPrimary = world.fenced.some((index) => {
    const host = hostAt(world, index);
    return timelineOf(host.wal) === highest && (!host.standbySignal || host.switch !== undefined);
  });
  return world.actedByHand || wasPrimary;
}

function brokenAlone(world: World): Violation | undefined {
  const writable = world.hosts.filter(isWritable).length;
  if (writable === 1 || world.fenced.length > 0 || world.actedByHand) return undefined;
  return { what: `the hosts alone end with ${writable} writable members`, trace: [] };
}

interface Run {
  readonly end: World;
  readonly trace: readonly string[];
}

const stepLimit = 400;

/** Ways on from one state. Any order must do; which one is taken depends on the state only, so that it can be repeated. */
class Paths {
  readonly #hostMoves: Moves;
  readonly #rules: Rules;
  readonly #endsWell: Set<string>;
  readonly #path: string[] = [];

  constructor(hostMoves: Moves, rules: Rules, endsWell: Set<string>) {
    this.#hostMoves = hostMoves;
    this.#rules = rules;
    this.#endsWell = endsWell;
  }

  remember(): void {
    for (const key of this.#path) this.#endsWell.add(key);
  }

  /** Undefined: this way was gone before, and ended well. */
  alone(start: World): Run | undefined {
    return this.#run(start, "alone", (now) => this.#hostStep(now));
  }

  up(start: World, isEarly: boolean): Violation | undefined {
    const reach = start.hosts.map((_, index) => index).filter((index) => !start.fenced.includes(index));
    const begun = begin(start, reach, undefined);
    if (begun === undefined) return { what: "a repeated up finds a lock", trace: [] };
    const run = this.#run(begun.world, isEarly ? "early" : "up", (now) => {
      const up = orchestratorStep(now, begun.index, this.#rules);
      return (up !== undefined && !(isEarly && hashOf(now) % 2 === 0) ? up : this.#hostStep(now)) ?? up;
    });
    if (run === undefined) return undefined;
    const trace = ["one more up, everybody reached", ...run.trace];
    const { end } = run.end.orchestrators[begun.index] as Orchestrator;
    if (isEarly && end === "stopped" && brokenNow(run.end) === undefined) {
      const again = this.up({ ...run.end, orchestrators: [] }, false);
      return again && { ...again, trace: [...trace, ...again.trace] };
    }
    const broken = brokenNow(run.end) ?? brokenAfterUp(run.end, end);
    return broken && { ...broken, trace };
  }

  #run(start: World, tag: string, next: (world: World) => Move | undefined): Run | undefined {
    const trace: string[] = [];
    let end = start;
    while (trace.length < stepLimit) {
      const key = tag + keyOf(end);
      if (this.#endsWell.has(key)) return undefined;
      this.#path.push(key);
      const move = next(end);
      if (move === undefined) break;
      trace.push(move.label);
      end = move.next();
      if (brokenNow(end) !== undefined) break;
    }
    return { end, trace };
  }

  /** Waits end when nothing else goes on. */
  #hostStep(world: World): Move | undefined {
    const moves = this.#hostMoves(world, this.#rules);
    if (moves.length > 0) return moves[hashOf(world) % moves.length];
    const [move] = this.#hostMoves({ ...world, left: { ...noBudget, impatience: 1 } }, this.#rules);
    return move && { label: move.label, next: () => ({ ...move.next(), left: noBudget }) };
  }
}

function brokenAfterUp(world: World, end: Orchestrator["end"]): Violation | undefined {
  const violation = (what: string): Violation => ({ what: `a repeated up ${what}`, trace: [] });
  const forPeople = isForPeople(world);
  if (end === "stopped") return forPeople ? undefined : violation("stops");
  if (end !== "done") return violation("does not end");
  const members = world.hosts.filter((_, index) => !world.fenced.includes(index));
  const writable = members.filter(isWritable).length;
  if (writable !== 1 && !forPeople) return violation(`ends with ${writable} writable members`);
  if (members.some(({ journal }) => journal !== undefined)) return violation("leaves a journal");
  if (members.some(({ units }) => units.some(({ kind }) => kind !== "take"))) return violation("leaves a unit");
  return undefined;
}
