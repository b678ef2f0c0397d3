/** The state of everything: plain data, never changed once it was reached. A host and its member are one thing here. */
export interface World {
  readonly hosts: readonly Host[];
  readonly orchestrators: readonly Orchestrator[];
  /** Said and not heard yet, in no order: a late one arrives whenever it does the most harm. */
  readonly messages: readonly Message[];
  /** What may still go wrong, and what may still be done: every fault takes one away. */
  readonly left: Budget;
  /** Rows that a client was told are safe; a row is one letter in a member's WAL. */
  readonly acknowledged: string;
  /** Members that people took out of `members:`. */
  readonly fenced: readonly number[];
  /** A person changed who is primary: what the hosts do alone is not judged then. */
  readonly actedByHand: boolean;
}

export interface Handover {
  readonly epoch: number;
  readonly from: number;
  readonly to: number;
  /** The one that is to be left. */
  readonly timeline: number;
}

export interface Lock {
  readonly epoch: number;
  readonly alive: boolean;
}

export interface Ticket {
  readonly epoch: number;
  readonly state: "armed" | "consumed" | "promoted" | "revoked";
  /** Written in this boot of its host. */
  readonly thisBoot: boolean;
  readonly timeline: number;
}

export interface Switch {
  readonly epoch: number;
  readonly state: "armed" | "stopping" | "restored" | "followed";
  readonly thisBoot: boolean;
  /** Epoch of the `up` that brings the old primary back. */
  readonly under?: number;
}

export interface Host {
  readonly power: "on" | "off" | "frozen";
  readonly lock: Lock;
  readonly journal: Handover | undefined;
  readonly ticket: Ticket | undefined;
  readonly switch: Switch | undefined;
  /** Epoch of the newest handover whose target was given up; 0 without one. */
  readonly givenUp: number;
  /** Of this boot; a reboot makes it worthless. */
  readonly pass: boolean;
  readonly standbySignal: boolean;
  /** Everything flushed: digits are timelines, lower case letters rows, X a shutdown checkpoint. */
  readonly wal: string;
  readonly postgres: Postgres;
  /** The processes of handovers on this host. */
  readonly units: readonly Unit[];
  /** What the start at the boot gate has heard so far. */
  readonly gate: Gate;
  /** What a power cut now would take back: only when a rule of durability is taken out. */
  readonly unsynced: Partial<Pick<Host, "ticket" | "switch" | "standbySignal">>;
}

/**
 * down: the unit is stopped. gate: waits in ExecStartPre. ending: pg_control says `shut down`, and walsenders still send.
 * promoting: standby.signal is gone, the timeline is not new yet.
 */
export type Postgres = "down" | "gate" | "standby" | "promoting" | "primary" | "stopping" | "ending";

export type Unit = Give | Back | Take | Started;

/** On the old primary's host, for one handover. What it only remembers is lost when it is killed. */
export interface Give {
  readonly kind: "give";
  readonly handover: Handover;
  readonly phase:
    | "armed"
    | "marking"
    | "ordering"
    | "waiting"
    | "sent"
    | "resuming"
    | "asking"
    | "following"
    | "starting"
    | Restoring;
}

/** On the old primary's host, ordered by the `up` of this epoch: brings it back. */
export interface Back {
  readonly kind: "back";
  readonly epoch: number;
  readonly handover: Handover;
  readonly phase: "taking over" | Restoring;
}

export type Restoring = "restoring" | "stopped" | "unmarked" | "restored";

/** On the target's host. */
export interface Take {
  readonly kind: "take";
  readonly handover: Handover;
  readonly phase: "armed" | "proving" | "consumed" | "promoting" | "asking";
  /** Length of the WAL that must be here. */
  readonly end: number;
  /** The ticket is older than its life. */
  readonly late: boolean;
}

/** After the start of PostgreSQL on a target whose promotion was cut off. */
export interface Started {
  readonly kind: "started";
  readonly handover: Handover;
  readonly phase: "asking";
}

export interface Gate {
  readonly answers: readonly GateAnswer[];
  /** What the target said of its ticket. */
  readonly told?: Revocation | undefined;
}

export interface GateAnswer {
  readonly member: number;
  readonly timeline: number;
  readonly inProduction: boolean;
  readonly consumed: boolean;
}

export type Revocation = "revoked" | "consumed" | "promoted" | "overtaken";

export type Message =
  | { readonly kind: "ticket"; readonly to: number; readonly handover: Handover; readonly end: number }
  | {
      readonly kind: "answer";
      readonly to: number;
      readonly handover: Handover;
      readonly answer: "consumed" | "refused";
    }
  | { readonly kind: "revocation"; readonly to: number; readonly handover: Handover }
  | { readonly kind: "order"; readonly to: number; readonly order: Order; readonly epoch: number };

/** One thing that an orchestrator has done on one host: carried out there in one piece, refused, or waited for. */
export interface Order {
  readonly on: number;
  readonly what: OrderKind;
  readonly handover?: Handover;
}

export type OrderKind =
  | "lock"
  | "look"
  | "write the journal"
  | "arm the target"
  | "arm the old primary"
  | "go"
  | "await the outcome"
  | "await streaming"
  | "revoke"
  | "record as given up"
  | "unmark"
  | "bring back"
  | "await the return"
  | "admit"
  | "start"
  | "await service"
  | "complete"
  | "await writable"
  | "stop"
  | "give way"
  | "await a majority"
  | "forget"
  | "release";

export interface Orchestrator {
  readonly epoch: number;
  readonly reach: readonly number[];
  readonly goal: { readonly from: number; readonly to: number } | undefined;
  readonly todo: readonly Order[];
  readonly seen: readonly (Seen | undefined)[];
  /** `stopped`: it ended and said that it cannot tell what is right, or could not. */
  readonly end: "none" | "done" | "stopped" | "gone";
}

/** What one look at a host brought back. */
export type Seen = Pick<Host, "journal" | "ticket" | "switch" | "givenUp" | "standbySignal" | "wal" | "postgres">;

export interface Budget {
  /** Writes of clients. */
  readonly rows: number;
  readonly powerCuts: number;
  /** A host stands still for longer than a lock and a ticket live, and goes on. */
  readonly freezes: number;
  /** kill -9 of one of our processes on a host, or of a postmaster. */
  readonly kills: number;
  /** An orchestrator ends in the middle, its last order perhaps still under way. */
  readonly deaths: number;
  /** A lock that runs out under a living orchestrator. */
  readonly lapses: number;
  /** A message that is lost, an answer that is not heard, an `up` that does not reach a member. */
  readonly cuts: number;
  /** `pulumi up` runs: the first one switches over, the others find what is left. */
  readonly ups: number;
  /** Acts of people: fencing, promoting by hand, stopping and starting a unit. */
  readonly humans: number;
  /** Waits that end too early: 8 s without a word, a stop that takes too long, a proof that does not come. */
  readonly impatience: number;
}

export const noBudget: Budget = {
  ...{ rows: 0, powerCuts: 0, freezes: 0, kills: 0, deaths: 0, lapses: 0 },
  ...{ cuts: 0, ups: 0, humans: 0, impatience: 0 },
};

/** One atomic step of somebody. `next` is computed only when somebody wants to go there. */
export interface Move {
  readonly label: string;
  readonly next: () => World;
}

/** pg1 is primary, pg2 and pg3 follow; nothing was ever handed over. */
export function steadyWorld(left: Budget): World {
  const host = (isPrimary: boolean): Host => ({
    power: "on",
    lock: { epoch: 0, alive: false },
    journal: undefined,
    ticket: undefined,
    switch: undefined,
    givenUp: 0,
    pass: isPrimary,
    standbySignal: !isPrimary,
    wal: "1",
    postgres: isPrimary ? "primary" : "standby",
    units: [],
    gate: nothingHeard,
    unsynced: {},
  });
  const hosts = [host(true), host(false), host(false)];
  return { hosts, orchestrators: [], messages: [], left, acknowledged: "", fenced: [], actedByHand: false };
}

export const nothingHeard: Gate = { answers: [] };

export function timelineOf(wal: string): number {
  return Number(/(\d)\D*$/.exec(wal)?.[1] ?? 0);
}

export function isWritable(host: Host): boolean {
  return host.power !== "off" && (host.postgres === "primary" || host.postgres === "stopping");
}

export function nameOf(member: number): string {
  return `pg${member + 1}`;
}

export function hostAt(world: World, index: number): Host {
  const host = world.hosts[index];
  if (host === undefined) throw new Error(`no host ${index}`);
  return host;
}

export function withHost(world: World, index: number, changes: Partial<Host>): World {
  const hosts = world.hosts.slice();
  hosts[index] = { ...hostAt(world, index), ...changes };
  return { ...world, hosts };
}

/** The unit in its next phase, or gone. */
export function withUnit(host: Host, before: Unit, after: Unit | undefined): Pick<Host, "units"> {
  return { units: host.units.flatMap((unit) => (unit !== before ? [unit] : after === undefined ? [] : [after])) };
}

export function withOrchestrator(world: World, index: number, changes: Partial<Orchestrator>): World {
  const orchestrators = world.orchestrators.slice();
  const before = orchestrators[index];
  if (before === undefined) throw new Error(`no orchestrator ${index}`);
  orchestrators[index] = { ...before, ...changes };
  return { ...world, orchestrators };
}

export function spend(world: World, kind: keyof Budget): World {
  return { ...world, left: { ...world.left, [kind]: world.left[kind] - 1 } };
}

export function say(world: World, message: Message): World {
  if (world.messages.some((other) => partOf(other) === partOf(message))) return world;
  return { ...world, messages: [...world.messages, message] };
}

export function unsay(world: World, message: Message): World {
  return { ...world, messages: world.messages.filter((other) => other !== message) };
}

/** Two worlds with one key behave alike from here on. */
export function keyOf(world: World): string {
  const known = keys.get(world);
  if (known !== undefined) return known;
  const messages = world.messages.map((message) => partOf(message).id).sort();
  const parts = [...world.hosts, ...world.orchestrators, world.left].map((part) => partOf(part).id);
  const key = `${parts.join()};${messages.join()};${world.acknowledged};${world.fenced.join()};${world.actedByHand}`;
  keys.set(world, key);
  return key;
}

/** A number that depends on what is in the world, and not on what was seen before. */
export function hashOf({ hosts, orchestrators, messages }: World): number {
  let value = 0;
  for (const part of [...hosts, ...orchestrators]) value = (Math.imul(value, 31) + partOf(part).hash) >>> 0;
  for (const message of messages) value = (value + partOf(message).hash) >>> 0;
  return value;
}

interface Part {
  readonly id: number;
  readonly hash: number;
}

/** Most of a world is in many worlds: told apart by a number, found once. */
const partsByText = new Map<string, Part>();
const partsByObject = new WeakMap<object, Part>();
const keys = new WeakMap<World, string>();

function partOf(object: object): Part {
  const known = partsByObject.get(object);
  if (known !== undefined) return known;
  const text = JSON.stringify(object);
  let part = partsByText.get(text);
  if (part === undefined) {
    let hash = 7;
    for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) >>> 0;
    part = { id: partsByText.size, hash };
    partsByText.set(text, part);
  }
  partsByObject.set(object, part);
  return part;
}
