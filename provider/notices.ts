import { weakenedCommit } from "../model/durability.ts";
import { type DeclaredGroup, factsOf, type GroupState } from "../model/groupDiff.ts";
import { situationOf } from "../model/situation.ts";
import type { Notice } from "./resource.ts";

/** What follows from the declaration alone: told at creation too, where there is no diff yet. */
export function declarationNotices(declared: DeclaredGroup): Notice[] {
  const weak = weakenedCommit(declared);
  return weak === undefined ? [] : [weak];
}

/** What an operator must read beside the diff. */
export function noticesOf(news: DeclaredGroup, olds: DeclaredGroup | undefined, state: GroupState): Notice[] {
  const notices = declarationNotices(news);
  const situation = situationOf(factsOf(news, olds, state));
  if (situation.kind === "drift" || situation.kind === "unknown") notices.push({ level: "warn", text: situation.text });
  if (state.observed.kind === "stopped" && situation.kind !== "stop") {
    const { member } = state.observed;
    notices.push({
      level: "warn",
      text: `${member}, the primary, does not run, and nobody was promoted\n  \`pulumi up\` starts it as primary again.`,
    });
  }
  notices.push(...memberNotices(news, state));
  if (olds !== undefined && olds.onDestroy !== news.onDestroy) {
    notices.push({
      level: "info",
      text: `onDestroy counts from the last \`up\`\n  Until this one ran, \`pulumi destroy\` does "${olds.onDestroy}"; afterwards "${news.onDestroy}".`,
    });
  }
  return notices;
}

/** Members that are not well, and those of which nothing is known. `repair`: what becomes of the former. */
export function memberNotices(
  declared: DeclaredGroup,
  { unhealthy, slotsInUse, fullVolumes, relaxed, stoppedByOrder, unreachable }: GroupState,
  repair = "",
): Notice[] {
  const all = Object.keys(declared.members).length;
  const listed = (found: Readonly<Record<string, string>> = {}, heading: string): Notice[] => {
    const declaredOnes = Object.entries(found).filter(([member]) => member in declared.members);
    const lines = declaredOnes.map(([member, text]) => `  ${member}: ${text}`);
    return lines.length === 0
      ? []
      : [{ level: "warn", text: [`${lines.length} of ${all} ${heading}`, ...lines].join("\n") }];
  };
  return [
    ...listed(unhealthy, `members unhealthy${repair}`),
    ...listed(stoppedByOrder, "members stay stopped, as an operator ordered"),
    ...listed(slotsInUse, "members feed a standby that is no member"),
    ...listed(fullVolumes, "members have no room left"),
    ...listed(relaxed, "members go on without standbys (onLoss: relax)"),
    ...listed(unreachable, "members unreachable; nothing is changed there"),
  ];
}
