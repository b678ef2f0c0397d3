import { type Lsn, lsnText, lsnValue, recordEnd } from "./lsn.ts";

/** A timeline that ended where the next one of the same history began. */
export interface TimelineEnd {
  readonly timeline: number;
  readonly endLsn: Lsn;
}

/** The timelines that somebody's WAL went through. */
export interface WalHistory {
  /** The one it is on. */
  readonly timeline: number;
  /** Those before, the oldest first. */
  readonly past: readonly TimelineEnd[];
}

/** Where two histories part: on this timeline both are the same, up to `lsn`. */
export interface Fork {
  readonly timeline: number;
  /** Undefined: they do not part, both are still on this timeline. */
  readonly lsn?: Lsn | undefined;
}

/** The past timelines of a file such as 00000003.history; undefined for one that is no such file. */
export function parseHistory(text: string): TimelineEnd[] | undefined {
  const past: TimelineEnd[] = [];
  for (const line of text.split("\n")) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(\s|$)/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return undefined;
    past.push({ timeline: Number(match[1]), endLsn: match[2] });
  }
  return past;
}

/**
 * The last timeline that both went through, and the earlier of its two ends. Two members that were promoted apart from
 * each other can both call their new timeline 2: the same number counts only with the same beginning. Undefined: the
 * histories have nothing in common.
 */
export function forkOf(one: WalHistory, other: WalHistory): Fork | undefined {
  const [mine, theirs] = [stretchesOf(one), stretchesOf(other)];
  let fork: Fork | undefined;
  for (const [index, stretch] of mine.entries()) {
    const counterpart = theirs[index];
    if (counterpart?.timeline !== stretch.timeline || counterpart.begin !== stretch.begin) break;
    fork = { timeline: stretch.timeline, lsn: earlier(stretch.end, counterpart.end) };
  }
  return fork;
}

interface Stretch {
  readonly timeline: number;
  readonly begin: bigint;
  readonly end: Lsn | undefined;
}

function stretchesOf({ timeline, past }: WalHistory): Stretch[] {
  const begins = [0n, ...past.map((ended) => lsnValue(ended.endLsn))];
  const all = [...past, { timeline, endLsn: undefined }];
  return all.map((one, index) => ({ timeline: one.timeline, begin: begins[index] ?? 0n, end: one.endLsn }));
}

function earlier(one: Lsn | undefined, other: Lsn | undefined): Lsn | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return lsnValue(one) <= lsnValue(other) ? one : other;
}

/** Number of the WAL segment that holds a position: the same on every timeline. */
export function segmentOf(lsn: Lsn, segmentBytes: number): bigint {
  return lsnValue(lsn) / BigInt(segmentBytes);
}

/** Where a WAL file begins, from its name: 24 hexadecimal digits. */
export function segmentStart(name: string, segmentBytes: number): Lsn {
  return lsnText((BigInt(`0x${name.slice(8, 16)}`) << 32n) + BigInt(`0x${name.slice(16)}`) * BigInt(segmentBytes));
}

/** Name of the WAL file of this timeline that holds a position. */
export function walFileName(timeline: number, lsn: Lsn, segmentBytes: number): string {
  const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, "0");
  const start = lsnValue(lsn);
  return hex(BigInt(timeline)) + hex(start >> 32n) + hex((start & 0xffffffffn) / BigInt(segmentBytes));
}

/** Where the record of one line of pg_waldump ends; undefined for a line that is none. */
export function waldumpRecordEnd(line: string, segmentBytes: number): Lsn | undefined {
  const match = /len \(rec\/tot\): +\d+\/ *(\d+),.* lsn: ([0-9A-F]+\/[0-9A-F]+), .*desc: (\S+)/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const end = recordEnd(match[2], Number(match[1]), segmentBytes);
  // A switch of the WAL file leaves the rest of it empty.
  const isSwitch = /^rmgr: XLOG /.test(line) && match[3] === "SWITCH";
  if (!isSwitch) return lsnText(end);
  const size = BigInt(segmentBytes);
  return lsnText(((end + size - 1n) / size) * size);
}
