import { lsnValue } from "./lsn.ts";
import type { ReachedMember } from "./observation.ts";
import type { TimelineEnd } from "./timeline.ts";

/**
 * Two members that were promoted apart from each other may both call their new timeline 2: the same number counts only
 * with the same beginning. False where one of the two beginnings is not known.
 */
export function arePromotedApart(one: ReachedMember, other: ReachedMember): boolean {
  const [mine, theirs] = [beginningOf(one), beginningOf(other)];
  if (mine === undefined || theirs === undefined || mine.number !== theirs.number) return false;
  return mine.after.timeline !== theirs.after.timeline || lsnValue(mine.after.endLsn) !== lsnValue(theirs.after.endLsn);
}

/** "timeline 2 of pg2 began at 0/5000100 (timeline 1), that of pg1 at 0/5000148 (timeline 1): they were promoted apart" */
export function promotedApartText(one: ReachedMember, other: ReachedMember): string {
  const at = (seen: ReachedMember) => {
    const after = beginningOf(seen)?.after;
    return `${after?.endLsn} (timeline ${after?.timeline})`;
  };
  const number = beginningOf(one)?.number;
  return `timeline ${number} of ${one.member} began at ${at(one)}, that of ${other.member} at ${at(other)}: they were promoted apart`;
}

function beginningOf({ local, postgres }: ReachedMember): { number: number; after: TimelineEnd } | undefined {
  const { controlData } = local;
  if (controlData?.began === undefined) return undefined;
  // What is on the disk may be of another timeline than what runs.
  if (postgres !== undefined && postgres.timeline !== controlData.timeline) return undefined;
  return { number: controlData.timeline, after: controlData.began };
}
