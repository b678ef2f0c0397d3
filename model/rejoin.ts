import { formatBytes } from "./bytes.ts";
import type { Group } from "./group.ts";
import { type Lsn, lsnDifferenceBytes, lsnValue } from "./lsn.ts";
import type { MemberObservation, ReachedMember, SourceFacts, StrayFacts } from "./observation.ts";
import { type OwnWal, partialRecord, type Reading, readingOf, type WalStretch } from "./ownWal.ts";
import { orderOn } from "./pacemaker/operatorOrders.ts";
import { type RejoinFacts, rejoinFacts, strayMembers } from "./rejoinFacts.ts";
import { segmentOf } from "./timeline.ts";

/** How a member that does not follow the primary comes back. `text` says it to people, without the member's name. */
export type Rejoin =
  /** It starts as a standby and needs nothing else. `formerPrimary`: its data still says primary. */
  | { readonly kind: "follow"; readonly formerPrimary: boolean; readonly text: string }
  /** What there is of an unfinished record at the end of its WAL is cut off; then it follows. */
  | { readonly kind: "cut"; readonly partial: WalStretch; readonly text: string }
  | { readonly kind: "rewind"; readonly own: OwnWal; readonly text: string }
  | {
      readonly kind: "clone";
      /** Beside the old data, which goes once the clone streams; in place where there is no room and others have copies. */
      readonly place: "beside" | "in place";
      readonly own?: OwnWal | undefined;
      readonly text: string;
    }
  /** A clone is complete, and only its directory has not taken the old one's place. */
  | { readonly kind: "swap"; readonly text: string }
  /** Nothing is done to it. */
  | { readonly kind: "refuse"; readonly text: string };

/** What is to be done about every stray member, by name. What an operator keeps stopped is left alone. */
export function planRejoins(
  group: Group,
  primaryName: string,
  observations: readonly MemberObservation[],
): Readonly<Record<string, Rejoin>> {
  const plans = strayMembers(primaryName, observations).flatMap((seen): [string, Rejoin][] => {
    const plan = planByData(group, primaryName, seen, observations);
    if (plan === undefined) return [];
    const order = plan.kind === "refuse" ? undefined : orderOn(group, seen, observations);
    return [[seen.member, order === undefined ? plan : refuse(order.found, `${order.wayOut}.`)]];
  });
  return Object.fromEntries(plans);
}

/** How one member that is brought back already goes on: by its data alone. Undefined where it follows. */
export function planUnderWay(
  group: Group,
  primaryName: string,
  member: string,
  observations: readonly MemberObservation[],
): Rejoin | undefined {
  const seen = strayMembers(primaryName, observations).find((stray) => stray.member === member);
  return seen === undefined ? undefined : planByData(group, primaryName, seen, observations);
}

function planByData(
  group: Group,
  primaryName: string,
  seen: ReachedMember,
  observations: readonly MemberObservation[],
): Rejoin | undefined {
  const facts = rejoinFacts(group, primaryName, seen, observations);
  return facts === undefined ? undefined : decideRejoin(facts);
}

interface Row {
  readonly when: (facts: RejoinFacts, stray: StrayFacts, reading: Reading) => boolean;
  readonly decide: (facts: RejoinFacts, stray: StrayFacts, reading: Reading) => Rejoin;
}

/** The first row that matches wins. */
const table: readonly Row[] = [
  {
    when: (_, stray) => stray.busy,
    decide: () =>
      refuse("an earlier `pulumi up` still rewinds or clones it", "Wait for that to end, then run `pulumi up` again."),
  },
  {
    when: ({ state }) => state === "swapping",
    decide: () => ({ kind: "swap", text: "its clone is complete and takes the place of its old data" }),
  },
  {
    when: ({ state }) => state === "rewinding",
    decide: (facts) => planClone(facts, "its rewind broke off"),
  },
  {
    when: (_, stray) => stray.past === undefined || stray.endLsn === undefined,
    decide: () => unreadable,
  },
  {
    when: (_, __, { fork }) => fork === undefined,
    decide: ({ primary }) =>
      refuse(`its timelines have nothing in common with those of ${primary}`, "Look where its data comes from."),
  },
  {
    // Both are on one timeline, and yet it has more: the primary lost what it had written. Whose rows count is for people.
    when: (_, __, { fork, own }) => own !== undefined && fork?.lsn === undefined,
    decide: ({ primary, source }, stray) =>
      refuse(
        `it has WAL up to ${stray.endLsn} of timeline ${stray.timeline}, on which ${primary} has written only up to ${source.lsn}`,
        `Compare the two: ${primary} has lost what it wrote (a disk that does not keep what it confirms?).`,
      ),
  },
  {
    when: (facts, stray, reading) => partialRecord(stray, reading) !== undefined && isServed(facts, stray),
    decide: planCut,
  },
  {
    when: (facts, stray, { own }) => own === undefined && !facts.streamsApart && isServed(facts, stray),
    decide: ({ primary, standbySignal, rule }, { endLsn }) => {
      if (standbySignal) return { kind: "follow", formerPrimary: false, text: `it follows ${primary} again` };
      const text = `former primary whose WAL ends at ${endLsn}, all of which ${primary} has`;
      if (rule === "manual") return refuse(`${text}; rejoin is manual`, wayOutOf.manual);
      return { kind: "follow", formerPrimary: true, text: `${text}: it follows without a rewind` };
    },
  },
  {
    when: ({ streamsApart }) => streamsApart,
    decide: (facts) =>
      planClone(
        facts,
        `what it received from ${facts.primary} lies over its own WAL, where a rewind would miss changes`,
      ),
  },
  {
    when: (_, __, { own }) => own === undefined,
    decide: (facts, stray) => planClone(facts, missingWal(facts, stray.endLsn ?? "0/0")),
  },
  {
    when: ({ rule }) => rule === "manual",
    decide: ({ primary }, _, { own }) => refuse(`${divergedText(primary, own)}; rejoin is manual`, wayOutOf.manual),
  },
  {
    when: (facts, stray, { own }) => obstacle(facts, stray, own) !== undefined,
    decide: (facts, stray, { own }) => planClone(facts, obstacle(facts, stray, own) ?? ""),
  },
  {
    when: (facts, stray, { own }) => !hasRoomToKeep(facts, stray, own),
    decide: noRoomToKeep,
  },
  {
    when: (facts, stray, { own }) =>
      facts.rule === "auto" && isLonger(facts, stray, own) && clonePlace(facts, stray) === "beside",
    decide: (facts) => planClone(facts, "a clone is shorter than a rewind"),
  },
  {
    when: () => true,
    decide: ({ primary }, _, { own }) => {
      if (own === undefined) throw new Error("a member that did not diverge is not rewound");
      return { kind: "rewind", own, text: `${divergedText(primary, own)} will be kept aside and rewound` };
    },
  },
];

/** Pure: how the member comes back. */
export function decideRejoin(facts: RejoinFacts): Rejoin {
  const { stray } = facts;
  if (stray === undefined) return unreadable;
  const reading = readingOf(facts, stray);
  const row = table.find((candidate) => candidate.when(facts, stray, reading));
  if (row === undefined) throw new Error("the table has a last row that always matches");
  return row.decide(facts, stray, reading);
}

/** What is wrong with a stray member, for its health: nothing in it changes from one look to the next. */
export function strayProblem(facts: RejoinFacts): string | undefined {
  const { stray, primary } = facts;
  if (facts.state !== "ready" || stray?.past === undefined || stray.endLsn === undefined) return undefined;
  const reading = readingOf(facts, stray);
  const { own } = reading;
  if (own !== undefined) return `diverged from ${primary} at ${own.fromLsn} (timeline ${own.timeline})`;
  const partial = partialRecord(stray, reading);
  if (partial !== undefined) {
    return `its WAL ends within a record, begun at ${partial.fromLsn}, whose rest ${primary} does not have`;
  }
  return isServed(facts, stray) ? undefined : `${primary} no longer has the WAL that it needs`;
}

/**
 * A clone, beside the old data or in its place; refused where the rule forbids it, or where it would cost the last other
 * copy. `reason`: why nothing shorter will do.
 */
export function planClone(facts: RejoinFacts, reason: string): Rejoin {
  const { rule, primary, source, stray } = facts;
  if (stray === undefined) return unreadable;
  const { own } = readingOf(facts, stray);
  const why = own === undefined ? reason : `${divergedText(primary, own)} will be kept aside; ${reason}`;
  if (rule === "manual") return refuse(`${reason}; rejoin is manual`, wayOutOf.manual);
  if (rule === "rewind-only") {
    const found = own === undefined ? reason : `${divergedText(primary, own)}, and ${reason}`;
    return refuse(`${found}; only a clone brings it back, and rejoin is rewind-only`, wayOutOf["rewind-only"]);
  }
  if (source.tablespaces.length > 0) {
    return refuse(
      `${reason}, and ${primary} has tablespaces (${source.tablespaces.join(", ")}), which a clone beside the old data would overwrite`,
      "Empty its data directory and those of its tablespaces by hand, and remove its marker: then `pulumi up` clones it.",
    );
  }
  if (own !== undefined && !hasRoomToKeep(facts, stray, own))
    return noRoomToKeep(facts, stray, { fork: undefined, own });
  const place = clonePlace(facts, stray);
  if (place === "beside") {
    return { kind: "clone", place, own, text: `${why}: it will be cloned anew, beside its old data` };
  }
  const needed = formatBytes(cloneBytes(source));
  const lack =
    stray.besideBytes === undefined
      ? "its data directory is a mount point, so that no clone can take its place"
      : `a clone beside its old data needs ${needed}, and ${formatBytes(stray.besideBytes)} are free`;
  if (place === "none") {
    const wayOut = `Make room there, or first bring back another standby, whose copy allows to clone in place.`;
    return refuse(
      `${reason}; ${lack}, and nobody but ${primary} would have the data while it is cloned in place`,
      wayOut,
    );
  }
  return { kind: "clone", place, own, text: `${why}: it will be cloned anew, in place of its old data (${lack})` };
}

function planCut(facts: RejoinFacts, stray: StrayFacts, reading: Reading): Rejoin {
  const partial = partialRecord(stray, reading);
  if (partial === undefined) throw new Error("a member whose last record is whole is not cut");
  const found = `its WAL ends within a record that begins at ${partial.fromLsn}, where ${facts.primary} left timeline ${partial.timeline}`;
  if (facts.rule === "manual") return refuse(`${found}; rejoin is manual`, wayOutOf.manual);
  if (stray.keptBytes <= facts.segmentBytes) {
    return refuse(
      `${found}, and there is no room to keep aside what it has of it: ${formatBytes(facts.segmentBytes)} are needed, ${formatBytes(stray.keptBytes)} are free in /var/lib/pgha`,
      "Make room there.",
    );
  }
  const text = `${found}. What it has of that record, which was never acknowledged, will be kept aside and cut off; then it follows without a rewind`;
  return { kind: "cut", partial, text };
}

const wayOutOf = {
  manual: "Bring it back by hand, or write rejoin: auto.",
  "rewind-only": "Write rejoin: auto.",
} as const;

const unreadable = refuse(
  "its data or WAL cannot be read, so that nobody knows what it holds",
  "Look at it on its host. If nothing of it is needed, empty its data directory and remove its marker: then `pulumi up` clones it.",
);

function refuse(found: string, wayOut: string): Rejoin {
  return { kind: "refuse", text: `${found}. Nothing is done to it. ${wayOut}` };
}

function divergedText(primary: string, own: OwnWal | undefined): string {
  if (own === undefined) return "";
  const count = own.transactions === 1 ? "1 transaction" : `${own.transactions ?? "some"} transactions`;
  return `diverged from ${primary} at ${own.fromLsn} (timeline ${own.timeline}): ${count} of its own (WAL up to ${own.toLsn})`;
}

/** Has the primary, or may an archive have, all WAL from where the member's ends? */
function isServed({ hasRestoreCommand, source, segmentBytes }: RejoinFacts, stray: StrayFacts): boolean {
  return hasRestoreCommand || hasFrom(source, stray.endLsn ?? "0/0", segmentBytes);
}

function hasFrom(source: SourceFacts, lsn: Lsn, bytes: number): boolean {
  return segmentOf(source.oldestLsn, bytes) <= segmentOf(lsn, bytes);
}

function missingWal({ primary, source }: RejoinFacts, from: Lsn): string {
  return `it needs WAL from ${from} on, and ${primary} has none before ${source.oldestLsn}`;
}

/** Why a rewind cannot be done; undefined when it can, as far as can be told without stopping the member. */
function obstacle(facts: RejoinFacts, stray: StrayFacts, own: OwnWal | undefined): string | undefined {
  if (own === undefined) return undefined;
  if (stray.neverStarted)
    return "it has not been started since it was cloned or rewound, and must not be rewound again";
  if (!stray.canBeRewound) return "neither data checksums nor wal_log_hints are on, which a rewind needs";
  const { source, segmentBytes } = facts;
  const oldest = stray.oldestLsn;
  if (oldest === undefined || segmentOf(oldest, segmentBytes) > segmentOf(own.fromLsn, segmentBytes)) {
    return `its own WAL at ${own.fromLsn} is gone, which a rewind needs`;
  }
  const from = neededFrom(facts, stray, own);
  return hasFrom(source, from, segmentBytes) ? undefined : missingWal(facts, from);
}

/**
 * A rewound member starts from the last checkpoint that both have. Up to version 16 pg_rewind removes the member's own
 * WAL files that the primary does not have, so that the primary must have them from that checkpoint on.
 */
function neededFrom({ postgresVersion }: RejoinFacts, stray: StrayFacts, own: OwnWal): Lsn {
  const isCommon = lsnValue(stray.redoLsn) <= lsnValue(own.fromLsn);
  return postgresVersion < 17 && isCommon ? stray.redoLsn : own.fromLsn;
}

function hasRoomToKeep(facts: RejoinFacts, stray: StrayFacts, own: OwnWal | undefined): boolean {
  return own === undefined || stray.keptBytes > keptBytes(own, facts.segmentBytes);
}

function keptBytes(own: OwnWal, bytes: number): number {
  return Number(segmentOf(own.toLsn, bytes) - segmentOf(own.fromLsn, bytes) + 1n) * bytes;
}

function noRoomToKeep(facts: RejoinFacts, stray: StrayFacts, { own }: Reading): Rejoin {
  const needed = own === undefined ? "" : formatBytes(keptBytes(own, facts.segmentBytes));
  return refuse(
    `${divergedText(facts.primary, own)}, and there is no room to keep them aside: ${needed} are needed, ${formatBytes(stray.keptBytes)} are free in /var/lib/pgha`,
    "Make room there.",
  );
}

/** Below this a rewind takes seconds, whatever the size of the database. */
const quickRewindBytes = 1024 ** 3;

/** A rewind reads all WAL of the member since the last common checkpoint, and copies what that touched. */
function isLonger({ source }: RejoinFacts, stray: StrayFacts, own: OwnWal | undefined): boolean {
  if (own === undefined) return false;
  const from = lsnValue(stray.redoLsn) <= lsnValue(own.fromLsn) ? stray.redoLsn : own.fromLsn;
  const read = lsnDifferenceBytes(own.toLsn, from);
  return read > quickRewindBytes && read > source.databaseBytes;
}

/** What a clone takes, with a tenth to spare for what is written meanwhile. */
function cloneBytes(source: SourceFacts): number {
  return Math.round(source.databaseBytes * 1.1);
}

function clonePlace(facts: RejoinFacts, stray: StrayFacts): "beside" | "in place" | "none" {
  const needed = cloneBytes(facts.source);
  if (stray.besideBytes !== undefined && stray.besideBytes >= needed) return "beside";
  // Data that a rewind left half changed is nobody's copy any more.
  const isExpendable = facts.otherCopies > 0 || facts.state === "rewinding";
  return isExpendable && facts.freeBytes + stray.dataBytes >= needed ? "in place" : "none";
}
