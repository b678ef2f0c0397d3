import { UserError } from "../model/fault.ts";
import { endpointsOf, type Group, groupOf } from "../model/group.ts";
import { type DeclaredGroup, factsOf, type GroupState } from "../model/groupDiff.ts";
import { movedSince } from "../model/moved.ts";
import { describeMember, type MemberObservation } from "../model/observation.ts";
import type { RecordedGroup } from "../model/recordedGroup.ts";
import { type Situation, situationOf } from "../model/situation.ts";
import { stateOf } from "./groupState.ts";

/** What a cluster is to become, and what the state knows of it. */
export interface Goal {
  readonly declared: DeclaredGroup;
  /** Declared last time; undefined at creation and after an import. */
  readonly olds: DeclaredGroup | undefined;
  /** Undefined at creation, and when the state was lost. */
  readonly recorded: RecordedGroup | undefined;
}

/** What one look at the members leads to. */
export interface Decision {
  readonly observations: readonly MemberObservation[];
  readonly state: GroupState;
  readonly situation: Situation;
}

/** Lets the table decide by what was seen. */
export function decide(goal: Goal, observations: readonly MemberObservation[]): Decision {
  const { declared, olds, recorded } = goal;
  const state = asShown(lookedAt(goal, observations), recorded);
  const { superuserPassword, replicationPassword } = recorded ?? {};
  const facts = factsOf(declared, olds, { superuserPassword, replicationPassword, ...state });
  return { observations, state, situation: situationOf(facts) };
}

/** What the observations say, beside what is recorded. */
export function lookedAt({ declared, recorded }: Goal, observations: readonly MemberObservation[]): GroupState {
  const before = { primary: recorded?.primary ?? declared.primary, applied: recorded?.applied };
  return stateOf(groupOf(declared), observations, before);
}

/** Nobody is switched back without having been shown: what became due after the diff is for the next `up`. */
function asShown(state: GroupState, recorded: RecordedGroup | undefined): GroupState {
  const shown = recorded?.switchBackDue === true && recorded.primary === state.primary;
  if (state.switchBackDue !== true || shown) return state;
  return { ...state, switchBackDue: false, switchBackWaitsFor: "the next `pulumi up`: it became due just now" };
}

/**
 * Decides again by what is seen under the lock. Errors: `UserError` when that is not what was decided before it, or who is
 * primary or who is reached changed in between. What is unfinished is judged anew by whoever finishes it: there the hosts
 * may still be moving, and only its being unfinished must be so still.
 */
export function decideAgain(goal: Goal, before: Decision, observations: readonly MemberObservation[]): Decision {
  const now = decide(goal, observations);
  const moved =
    before.situation.kind === "finish"
      ? []
      : movedSince(before.observations, observations, endpointsOf(groupOf(goal.declared)));
  if (moved.length === 0 && now.situation.kind === before.situation.kind) return now;
  const found = moved.length > 0 ? moved : [`${now.situation.text.split("\n")[0]}`];
  throw new UserError(
    [
      `${goal.declared.cluster}: it changed while this was being prepared: ${found.join("; ")}.`,
      "  Nothing was touched. Run `pulumi up` again.",
      ...memberLines(observations),
    ].join("\n"),
  );
}

/** Whoever answers under another key than the declared one may be anybody: nothing is done beside that. */
export function refuseWrongHostKeys({ declared }: Goal, { state }: Decision): void {
  const wrong = Object.values(state.wrongHostKeys ?? {});
  if (wrong.length === 0) return;
  const all = Object.keys(declared.members).length;
  throw new UserError(
    [
      `${declared.cluster}: ${wrong.length} of ${all} members cannot be asked, because their hosts have other keys than declared. Nothing was touched.`,
      // What is wrong with the jump host is wrong for every host behind it, and said once.
      ...[...new Set(wrong)].map((text) => `  ${text}`),
    ].join("\n"),
  );
}

/** The error that stops, with the exact state of every member. `text`: the situation's own words, unless others say it better. */
export function stopped(
  group: Pick<Group, "cluster">,
  { situation, observations }: Decision,
  text: string = situation.text,
): UserError {
  return new UserError([`${group.cluster}: ${text}`, ...memberLines(observations)].join("\n"));
}

function memberLines(observations: readonly MemberObservation[]): string[] {
  return observations.map((seen) => `  ${describeMember(seen)}`);
}
