import type { Group } from "./group.ts";
import { segmentBytes } from "./lsn.ts";
import { needsOldPrimary } from "./quorum.ts";

/** What the expected outage is made of, in milliseconds; every part was measured on idle clusters (bench/results). */
export interface Prediction {
  readonly parts: readonly { readonly what: string; readonly milliseconds: number }[];
  readonly totalMilliseconds: number;
}

const stopMilliseconds = 35;
const promoteMilliseconds = 30;
/** Promotion copies the WAL segment that the timeline changes in. */
const copyMillisecondsPerMegabyte = 3;
const acknowledgeMilliseconds = 25;
const restartMilliseconds = 350;
/** From host to host: the way of the ticket, the proof, and the record that it was used. */
const ticketMilliseconds = 7;

/** `streaming`: members that stream now; who is away acknowledges nothing after the switchover either. */
export function predictOutage(group: Group, from: string, to: string, streaming: ReadonlySet<string>): Prediction {
  const parts = [
    { what: "fast stop", milliseconds: stopMilliseconds },
    { what: "promotion", milliseconds: promoteMilliseconds },
    {
      what: `copy of a ${group.walSegmentSize} segment`,
      milliseconds: (segmentBytes(group.walSegmentSize) / 1024 ** 2) * copyMillisecondsPerMegabyte,
    },
    { what: "ticket and proof", milliseconds: ticketMilliseconds },
    { what: "first acknowledged commit", milliseconds: acknowledgeMilliseconds },
    ...(needsOldPrimary(group, from, to, streaming)
      ? [{ what: `${from} back as a standby (the synchronous rule needs it)`, milliseconds: restartMilliseconds }]
      : []),
  ];
  return { parts, totalMilliseconds: parts.reduce((sum, part) => sum + part.milliseconds, 0) };
}
