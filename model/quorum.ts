import { commitRule, type RuledShape } from "./commitRule.ts";
import { type Group, othersOf } from "./group.ts";

/** How many standbys a commit waits for. */
export function neededStandbys(group: RuledShape): number {
  return commitRule(group).k;
}

/** Does the outage include the old primary's return, because the rule cannot hold without it? */
export function needsOldPrimary(group: Group, from: string, to: string, streaming: ReadonlySet<string>): boolean {
  return neededStandbys(group) > acknowledgingStandbys(group, from, to, streaming);
}

/** How many standbys can acknowledge to the target while the old primary is not back. */
export function acknowledgingStandbys(group: Group, from: string, to: string, streaming: ReadonlySet<string>): number {
  return othersOf(group, to).filter((member) => member.candidate && member.name !== from && streaming.has(member.name))
    .length;
}
