import type { Group } from "./group.ts";
import { planSwitchover } from "./handover.ts";
import { segmentBytes } from "./lsn.ts";
import type { Measurements } from "./measurement.ts";
import { needsOldPrimary } from "./quorum.ts";

/** How long writes will wait, as a client sees it, and what that is made of, in milliseconds. */
export interface Prediction {
  readonly parts: readonly { readonly what: string; readonly milliseconds: number }[];
  readonly totalMilliseconds: number;
}

/** What is going on at the primary that makes the outage longer. */
export interface Activity {
  /** Clients in the middle of a transaction. */
  readonly transactions: number;
  readonly archiving: boolean;
}

/* Medians of the outage's steps on two cores (bench/results); of the stop only what clients do not still write in. */
const stopMilliseconds = 35;
/** Each has to be rolled back, and its process to end, before the shutdown checkpoint. */
const endTransactionMilliseconds = 3;
const promoteMilliseconds = 20;
/** To write a segment and flush it: 16 MB segments against 1 MB ones. */
const writeMillisecondsPerMegabyte = 1.7;
const ticketMilliseconds = 5;
const acknowledgeMilliseconds = 9;
/** The first commit waits for a standby that makes its first segment of the new timeline, in part while it is promoted. */
const standbySegmentMillisecondsPerMegabyte = 0.7;
const restartMilliseconds = 350;
/** Nobody knows the network before it is used: what an ordinary host has. */
const networkMegabitsPerSecond = 1000;

/** What was measured of the primary before a switchover; without an answer, a primary on which nothing happens. */
export function activityOf(measured: Measurements | { readonly failed: string }): Activity {
  if ("failed" in measured) return { transactions: 0, archiving: false };
  const { transactions, settings } = measured.primary;
  return { transactions, archiving: (settings.archive_mode?.setting ?? "off") !== "off" };
}

/** `streaming`: members that stream now; who is away acknowledges nothing after the switchover either. */
export function predictOutage(
  group: Group,
  from: string,
  to: string,
  streaming: ReadonlySet<string>,
  { transactions, archiving }: Activity,
): Prediction {
  const segment = group.walSegmentSize;
  const megabytes = segmentBytes(segment) / 1024 ** 2;
  const written = megabytes * writeMillisecondsPerMegabyte;
  const { rePointed } = planSwitchover(group, from, to, streaming);
  const receivers = Math.max(1, [...streaming].filter((name) => name !== from && !rePointed.includes(name)).length);
  const sent = (receivers * segmentBytes(segment) * 8) / (networkMegabitsPerSecond * 1000);
  const all = [
    { what: "fast stop", milliseconds: stopMilliseconds },
    { what: `end of ${transactions} transactions`, milliseconds: transactions * endTransactionMilliseconds },
    // A primary that archives ends its segment when it stops, so that all of it can be archived, and begins another one.
    { what: `a full and a new ${segment} segment (archiving)`, milliseconds: archiving ? 2 * written : 0 },
    {
      what: `${segment} to ${receivers === 1 ? to : `${receivers} standbys`} at 1 Gbit/s`,
      milliseconds: archiving ? sent : 0,
    },
    { what: "ticket and proof", milliseconds: ticketMilliseconds },
    { what: "promotion", milliseconds: promoteMilliseconds },
    { what: `copy of a ${segment} segment`, milliseconds: written },
    {
      what: "first acknowledged commit",
      milliseconds: acknowledgeMilliseconds + megabytes * standbySegmentMillisecondsPerMegabyte,
    },
    {
      what: `${from} back as a standby (the synchronous rule needs it)`,
      milliseconds: needsOldPrimary(group, from, to, streaming) ? restartMilliseconds : 0,
    },
  ];
  const parts = all
    .map((part) => ({ ...part, milliseconds: Math.round(part.milliseconds) }))
    .filter((part) => part.milliseconds > 0);
  return { parts, totalMilliseconds: parts.reduce((sum, part) => sum + part.milliseconds, 0) };
}
