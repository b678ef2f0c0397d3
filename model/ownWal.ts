import { type Lsn, lsnValue } from "./lsn.ts";
import type { SourceFacts, StrayFacts } from "./observation.ts";
import type { RejoinFacts } from "./rejoinFacts.ts";
import { type Fork, forkOf } from "./timeline.ts";

/** A piece of WAL on one timeline. */
export interface WalStretch {
  readonly timeline: number;
  readonly fromLsn: Lsn;
  readonly toLsn: Lsn;
}

/** What a diverged member wrote after it had parted from the primary, on this timeline. */
export interface OwnWal extends WalStretch {
  /** Undefined: its first WAL file is gone, so that they cannot be counted. */
  readonly transactions: number | undefined;
}

/** What a decision needs besides the facts, worked out once. */
export interface Reading {
  readonly fork: Fork | undefined;
  /** What it wrote that the primary's history does not have. */
  readonly own: OwnWal | undefined;
}

/** The WAL that a member wrote after it had parted from the primary, timeline by timeline; none when it did not part. */
export function ownStretches(stray: StrayFacts, source: SourceFacts): readonly WalStretch[] {
  const { timeline, past, endLsn } = stray;
  if (past === undefined || endLsn === undefined) return [];
  const fork = forkOf({ timeline, past }, source);
  if (fork === undefined) return [];
  const forkLsn = fork.lsn ?? source.lsn;
  const stretches: WalStretch[] = [];
  let begin: Lsn = "0/0";
  for (const one of [...past, { timeline, endLsn }]) {
    const fromLsn = lsnValue(begin) > lsnValue(forkLsn) ? begin : forkLsn;
    if (lsnValue(one.endLsn) > lsnValue(fromLsn)) {
      stretches.push({ timeline: one.timeline, fromLsn, toLsn: one.endLsn });
    }
    begin = one.endLsn;
  }
  return stretches;
}

export function readingOf({ source, state }: RejoinFacts, stray: StrayFacts): Reading {
  // What a rewind left half changed tells nothing; its own WAL was kept aside before the rewind began.
  if (state !== "ready" || stray.past === undefined || stray.endLsn === undefined) {
    return { fork: undefined, own: undefined };
  }
  const fork = forkOf({ timeline: stray.timeline, past: stray.past }, source);
  const stretches = ownStretches(stray, source);
  const [first] = stretches;
  if (fork === undefined || first === undefined) return { fork, own: undefined };
  const { fromLsn } = first;
  const own = { timeline: fork.timeline, fromLsn, toLsn: stray.endLsn, transactions: stray.ownTransactions };
  return { fork, own };
}

/**
 * What there is of a record that the member could not finish and nobody will: the primary left this timeline exactly where
 * it begins. So the primary has everything before it, and no commit is in it, for a commit is acknowledged once its whole
 * record is on a disk. Such a member asks the primary for the rest, and never comes to stream.
 */
export function partialRecord(
  { timeline, endLsn, partialToLsn }: StrayFacts,
  { fork, own }: Reading,
): WalStretch | undefined {
  if (own !== undefined || endLsn === undefined || partialToLsn === undefined) return undefined;
  if (fork?.lsn === undefined || fork.timeline !== timeline || lsnValue(fork.lsn) !== lsnValue(endLsn))
    return undefined;
  return { timeline, fromLsn: endLsn, toLsn: partialToLsn };
}
