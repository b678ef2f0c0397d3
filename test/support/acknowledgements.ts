/** One row that a server said it has committed. Times are milliseconds since 1970, with fractions. */
export interface Acknowledgement {
  /** Its number within the run; never used again. */
  readonly number: number;
  /** The member that took it. */
  readonly server: string;
  /** Timeline on which the server wrote it. */
  readonly timeline: number;
  readonly sentAt: number;
  readonly acknowledgedAt: number;
}

/** A stretch of time in which nothing was acknowledged. */
export interface Gap {
  readonly milliseconds: number;
  /** When the last row before it was acknowledged, in milliseconds since 1970. */
  readonly startedAt: number;
  /** Server of the last row before, and of the first row after; undefined while there was none after. */
  readonly from: string;
  readonly to: string | undefined;
}

/** A row that one server took although another one had been writing before on the same or a later timeline. */
export interface TwoWriters {
  readonly server: string;
  readonly timeline: number;
  readonly sentAt: number;
  readonly otherServer: string;
  readonly otherTimeline: number;
}

/**
 * The stretches of at least `leastMilliseconds` between one acknowledgement and the next, and from the last one to `until`.
 * `acknowledgements` are in the order of their arrival, of one writer.
 */
export function findGaps(
  acknowledgements: readonly Acknowledgement[],
  until: number,
  leastMilliseconds: number,
  since = 0,
): Gap[] {
  const gaps: Gap[] = [];
  for (let index = acknowledgements.length - 1; index >= 0; index--) {
    const before = acknowledgements[index] as Acknowledgement;
    const after = acknowledgements[index + 1];
    const end = after?.acknowledgedAt ?? until;
    if (end < since) break;
    const milliseconds = end - before.acknowledgedAt;
    if (milliseconds < leastMilliseconds) continue;
    gaps.push({ milliseconds, startedAt: before.acknowledgedAt, from: before.server, to: after?.server });
  }
  return gaps.reverse();
}

/**
 * Proof of two servers at once: a row was sent to one server, and taken, after another server had acknowledged one on the
 * same or a later timeline. A planned switchover there and back raises the timeline each time and is none.
 */
export function findTwoWriters(acknowledgements: readonly Acknowledgement[]): TwoWriters[] {
  const byAnswer = [...acknowledgements].sort((one, other) => one.acknowledgedAt - other.acknowledgedAt);
  const bySending = [...acknowledgements].sort((one, other) => one.sentAt - other.sentAt);
  const highest = new Map<string, number>();
  const found: TwoWriters[] = [];
  let answered = 0;
  for (const row of bySending) {
    for (; (byAnswer[answered]?.acknowledgedAt ?? Number.POSITIVE_INFINITY) < row.sentAt; answered++) {
      const { server, timeline } = byAnswer[answered] as Acknowledgement;
      highest.set(server, Math.max(timeline, highest.get(server) ?? 0));
    }
    for (const [otherServer, otherTimeline] of highest) {
      if (otherServer === row.server || otherTimeline < row.timeline) continue;
      const { server, timeline, sentAt } = row;
      found.push({ server, timeline, sentAt, otherServer, otherTimeline });
    }
  }
  return found;
}

/** Numbers that were acknowledged and are not in the table, ascending. */
export function findLost(acknowledgements: readonly Acknowledgement[], present: Iterable<number>): number[] {
  const there = new Set(present);
  return acknowledgements
    .map((row) => row.number)
    .filter((number) => !there.has(number))
    .sort((one, other) => one - other);
}
