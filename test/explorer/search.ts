import { faultMoves, humanMoves } from "./faults.ts";
import { brokenEnd, brokenNow, type Violation } from "./invariants.ts";
import { orchestratorMoves } from "./orchestrator.ts";
import { postgresMoves } from "./postgres.ts";
import { type Rules, realRules } from "./rules.ts";
import { arrivals, unitMoves } from "./units.ts";
import { type Budget, keyOf, type Move, noBudget, type Orchestrator, steadyWorld, type World } from "./world.ts";

/** What is looked at: how much may go wrong, and what every `up` wants. */
export interface Scope {
  readonly budget: Partial<Budget>;
  readonly goals: readonly Orchestrator["goal"][];
  /** States after which the search ends, `complete` false. */
  readonly limit: number;
  /** Moves that come first, by the beginning of their labels: the search is of what may follow. */
  readonly after?: readonly string[];
  /** Also look, from every state, whether the hosts alone and one more `up` come to a good end. */
  readonly ends: boolean;
}

export interface Result {
  readonly states: number;
  readonly depth: number;
  /** Everything within the budget was seen. */
  readonly complete: boolean;
  readonly violation: Violation | undefined;
  /** Moves that were made at least once, without members and epochs: a search that never promotes proves nothing. */
  readonly seen: ReadonlySet<string>;
}

function hostMoves(world: World, rules: Rules): Move[] {
  const onHosts = world.hosts.flatMap((host, index) =>
    host.power === "on" ? [...postgresMoves(world, host, index, rules), ...unitMoves(world, host, index, rules)] : [],
  );
  return [...onHosts, ...world.messages.flatMap((message) => arrivals(world, message, rules))];
}

function allMoves(world: World, goals: Scope["goals"], rules: Rules): Move[] {
  return [
    ...hostMoves(world, rules),
    ...orchestratorMoves(world, goals, rules),
    ...faultMoves(world),
    ...humanMoves(world, rules),
  ];
}

interface Node {
  readonly world: World;
  readonly from: Node | undefined;
  readonly label: string;
}

function traceOf(node: Node): string[] {
  const labels: string[] = [];
  for (let at: Node | undefined = node; at?.from !== undefined; at = at.from) labels.unshift(at.label);
  return labels;
}

function begun({ budget, goals, after = [] }: Scope, rules: Rules): Node {
  let node: Node = { world: steadyWorld({ ...noBudget, ...budget }), from: undefined, label: "" };
  for (const beginning of after) {
    const moves = allMoves(node.world, goals, rules);
    const move = moves.find(({ label }) => label.startsWith(beginning));
    if (move === undefined) {
      const found = moves.map(({ label }) => label).join(", ");
      throw new Error(`after ${traceOf(node).length} moves: found ${found}, expected ${beginning}`);
    }
    node = { world: move.next(), from: node, label: move.label };
  }
  return node;
}

/** Every state that can be reached within the scope, nearest first: a violation comes with a shortest trace. */
export function exploreAll(scope: Scope, rules: Rules = realRules): Result {
  const first = begun(scope, rules);
  const known = new Set<string>([keyOf(first.world)]);
  const endsWell = new Set<string>();
  const seen = new Set<string>();
  let level: Node[] = [first];
  let depth = 0;
  const result = (complete: boolean, violation?: Violation): Result => {
    return { states: known.size, depth, complete, violation, seen };
  };
  for (; level.length > 0; depth++) {
    const next: Node[] = [];
    for (const node of level) {
      const violation =
        brokenNow(node.world) ?? (scope.ends ? brokenEnd(node.world, hostMoves, rules, endsWell) : undefined);
      if (violation !== undefined) {
        return result(false, { ...violation, trace: [...traceOf(node), ...violation.trace] });
      }
      for (const { label, next: move } of allMoves(node.world, scope.goals, rules)) {
        const world = move();
        const key = keyOf(world);
        if (known.has(key)) continue;
        known.add(key);
        seen.add(label.replace(/pg\d('s)? ?|up \d+:? ?|\d+/g, "").trim());
        next.push({ world, from: node, label });
      }
      if (known.size > scope.limit) return result(false);
    }
    level = next;
  }
  return result(true);
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** One walk from the steady cluster, the same for the same seed; its ends are looked at now and then. */
export function walk(
  scope: Omit<Scope, "limit">,
  seed: number,
  steps: number,
  rules = realRules,
): Violation | undefined {
  const random = randomFrom(seed);
  let world = steadyWorld({ ...noBudget, ...scope.budget });
  const trace: string[] = [];
  for (let count = 0; count < steps; count++) {
    const moves = allMoves(world, scope.goals, rules);
    const move = moves[Math.floor(random() * moves.length)];
    if (move === undefined) break;
    trace.push(move.label);
    world = move.next();
    const isLooked = scope.ends && (random() < 0.1 || count === steps - 1);
    const violation = brokenNow(world) ?? (isLooked ? brokenEnd(world, hostMoves, rules, new Set()) : undefined);
    if (violation !== undefined) return { ...violation, trace: [...trace, ...violation.trace] };
  }
  return undefined;
}

/** As people read it. */
export function violationText({ what, trace }: Violation): string {
  return [`${what}:`, ...trace.map((label, index) => `  ${String(index + 1).padStart(2)}. ${label}`)].join("\n");
}
