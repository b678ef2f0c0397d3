import type { MemberDeclaration, Synchronous } from "./declaration.ts";

/**
 * A rule of synchronous commit. On a primary it says what commits wait for (synchronous_standby_names); in a member's own
 * description it says of how many candidates the positions must be known before that member is promoted, which is right
 * only where it fits what commits waited for.
 */
export interface CommitRule {
  /** "quorum": any k of the candidates, "priority": the first k that are there. What is promised is the same. */
  readonly mode: "off" | "quorum" | "priority";
  /** For how many standbys a commit waits; 0: for none, and nothing is promised. */
  readonly k: number;
  /** The members that count, the primary itself among them. */
  readonly candidates: readonly string[];
}

/** The rules that hold at one moment of a change. */
export interface RulesInEffect {
  /** What commits wait for, on whoever is primary. */
  readonly commits: CommitRule;
  /** By which promotions are decided, on every member. */
  readonly elections: CommitRule;
}

/** What a cluster's files say about synchronous commit. */
export interface RuledShape {
  readonly members: readonly Pick<MemberDeclaration, "name" | "candidate">[];
  readonly synchronous: Synchronous;
  /** While a change is not complete. Default: as declared. */
  readonly rules?: RulesInEffect | undefined;
}

/** What commits wait for now. */
export function commitRule(shape: RuledShape): CommitRule {
  return shape.rules?.commits ?? declaredRule(shape);
}

/** By which rule promotions are decided now. */
export function electionRule(shape: RuledShape): CommitRule {
  return shape.rules?.elections ?? declaredRule(shape);
}

/** As the stack file says, whatever holds until then. */
export function declaredRule({ members, synchronous }: RuledShape): CommitRule {
  const candidates = members.filter(({ candidate }) => candidate).map(({ name }) => name);
  if (synchronous === "off") return { mode: "off", k: 0, candidates };
  return "quorum" in synchronous
    ? { mode: "quorum", k: synchronous.quorum, candidates }
    : { mode: "priority", k: synchronous.priority, candidates };
}

/** Value of synchronous_standby_names: all candidates, the member itself included, so that it is the same everywhere. */
export function standbyNames({ mode, k, candidates }: CommitRule): string {
  if (k === 0) return "";
  return `${mode === "priority" ? "FIRST" : "ANY"} ${k} (${candidates.map((name) => `"${name}"`).join(", ")})`;
}

/** Reads what `standbyNames` wrote. Undefined: it is nobody's of ours. */
export function parseStandbyNames(text: string): CommitRule | undefined {
  if (text === "") return { mode: "off", k: 0, candidates: [] };
  const [, word, k, names] = /^(ANY|FIRST) (\d+) \((.*)\)$/.exec(text) ?? [];
  const candidates = [...(names ?? "").matchAll(/"([^"]+)"/g)].map(([, name]) => name ?? "");
  if (word === undefined || Number(k) < 1 || candidates.length === 0) return undefined;
  return { mode: word === "ANY" ? "quorum" : "priority", k: Number(k), candidates };
}

/** What is seen of one member. */
export interface MemberRules {
  readonly member: string;
  readonly reached: boolean;
  /** What commits wait for, or will once it is primary: by its role file first, then by what it runs with. */
  readonly commits: readonly CommitRule[];
  /** By which its own promotion is decided; undefined: its host has no such rule yet. */
  readonly elections?: CommitRule | undefined;
}

/** How rules are changed so that at every moment each promotion is decided by a rule that fits what commits waited for. */
export interface RulePlan {
  /** First `elections` on every member, and only then `commits`. */
  readonly now: RulesInEffect;
  /** Once standbys have everything by the new rule: what promotions are decided by then. Undefined: it stays. */
  readonly afterwards?: CommitRule | undefined;
  /** Who keeps the change from being made, or from being completed; the next `up` goes on. */
  readonly waitsFor: readonly string[];
}

/**
 * An acknowledged row is on the primary and on k of the other candidates. An election that knows all candidates but k' finds
 * it, as long as it counts every candidate of the commits and its k' is no greater than their k. Such a rule for what was
 * promised before and what will be is laid first; the stricter it is, the fewer promotions it allows, and never a wrong one.
 */
export function planRules(declared: CommitRule, primary: string, seen: readonly MemberRules[]): RulePlan {
  const observed = seen.flatMap(({ commits, elections }) => [
    ...commits,
    ...(elections === undefined ? [] : [elections]),
  ]);
  const both = fitting([...observed, declared], declared, primary);
  const promotable = new Set([...observed, declared].flatMap(({ candidates }) => candidates));
  const away = seen.filter(({ member, reached }) => !reached && promotable.has(member));
  if (away.length > 0 && observed.some((rule) => !isSame(rule, declared))) {
    // One that is not reached may be promoted by the old rule, and with it: both have to go on being right.
    const before = seen.find(({ member }) => member === primary)?.commits[0] ?? declared;
    const commits = declared.k === 0 || isSame(before, declared) ? declared : before;
    const elections = fitting([...observed, commits], declared, primary);
    const isComplete = isSame(commits, declared) && isSame(elections, declared);
    return { now: { commits, elections }, waitsFor: isComplete ? [] : away.map(({ member }) => member) };
  }
  const now = { commits: declared, elections: both };
  if (isSame(both, declared)) return { now, waitsFor: [] };
  // Of a primary that does not count itself among the candidates, the others alone would not do.
  return declared.k === 0 || declared.candidates.includes(primary)
    ? { now, afterwards: declared, waitsFor: [] }
    : { now, waitsFor: [primary] };
}

/** The rule for promotions that is right whichever of these rules commits waited by. */
function fitting(rules: readonly CommitRule[], declared: CommitRule, primary: string): CommitRule {
  const promising = rules.filter(({ k }) => k > 0);
  const [least] = [...promising].sort((a, b) => a.k - b.k);
  if (least === undefined) return declared;
  const rule = { ...least, candidates: [...new Set([...promising.flatMap(({ candidates }) => candidates), primary])] };
  return isSame(rule, declared) ? declared : { ...rule, candidates: rule.candidates.sort() };
}

function isSame(one: CommitRule, other: CommitRule): boolean {
  if (one.k === 0 || other.k === 0) return one.k === other.k;
  const names = (rule: CommitRule) => [...rule.candidates].sort().join();
  return one.k === other.k && names(one) === names(other);
}

/** "ANY 1 (pg1, pg2)", for people. */
export function ruleText(rule: CommitRule): string {
  return rule.k === 0 ? "off" : standbyNames(rule).replaceAll('"', "");
}
