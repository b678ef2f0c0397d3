import { describe, expect, it } from "vitest";
import {
  forkOf,
  parseHistory,
  segmentOf,
  segmentStart,
  type WalHistory,
  waldumpRecordEnd,
  walFileName,
} from "./timeline.ts";

const history = (timeline: number, ...past: [number, string][]): WalHistory => ({
  timeline,
  past: past.map(([ended, endLsn]) => ({ timeline: ended, endLsn })),
});

describe("a timeline's history file", () => {
  it("names the timelines before it, with their ends", () => {
    expect(parseHistory("1\t0/A01EF0\tno recovery target specified\n\n2\t0/B000148\tby hand\n")).toEqual([
      { timeline: 1, endLsn: "0/A01EF0" },
      { timeline: 2, endLsn: "0/B000148" },
    ]);
  });

  it("may hold comments, and nothing that is neither", () => {
    expect(parseHistory("# made by hand\n\n")).toEqual([]);
    expect(parseHistory("1\tsomewhere\n")).toBeUndefined();
  });
});

describe("two histories", () => {
  it("do not part while both are on one timeline", () => {
    expect(forkOf(history(1), history(1))).toEqual({ timeline: 1, lsn: undefined });
    expect(forkOf(history(3, [1, "0/5"], [2, "0/7"]), history(3, [1, "0/5"], [2, "0/7"]))).toEqual({
      timeline: 3,
      lsn: undefined,
    });
  });

  it("part where the other one was promoted", () => {
    expect(forkOf(history(1), history(2, [1, "0/5000148"]))).toEqual({ timeline: 1, lsn: "0/5000148" });
    expect(forkOf(history(2, [1, "0/5"]), history(4, [1, "0/5"], [2, "0/7"], [3, "0/9"]))).toEqual({
      timeline: 2,
      lsn: "0/7",
    });
  });

  it("part at the earlier end where both were promoted to the same number", () => {
    expect(forkOf(history(2, [1, "0/A000000"]), history(2, [1, "0/9FFFF00"]))).toEqual({
      timeline: 1,
      lsn: "0/9FFFF00",
    });
  });

  it("part where the longer one goes on", () => {
    expect(forkOf(history(3, [1, "0/5"], [2, "0/7"]), history(2, [1, "0/5"]))).toEqual({ timeline: 2, lsn: "0/7" });
  });

  it("may have nothing in common", () => {
    expect(forkOf(history(1), history(7))).toBeUndefined();
  });
});

it("a WAL file's name says where it begins", () => {
  expect(segmentStart("00000001000000000000000F", 1024 ** 2)).toBe("0/F00000");
  expect(segmentStart("00000002000000A7000000FE", 16 * 1024 ** 2)).toBe("A7/FE000000");
  expect(walFileName(1, "0/F00001", 1024 ** 2)).toBe("00000001000000000000000F");
  expect(walFileName(2, "A7/FEFFFFFF", 16 * 1024 ** 2)).toBe("00000002000000A7000000FE");
  expect(segmentOf("A7/FE000001", 16 * 1024 ** 2)).toBe(0xa7fen);
});

describe("the end of a record, from pg_waldump's line", () => {
  const megabyte = 1024 ** 2;

  it("counts its whole length, page images included", () => {
    expect(
      waldumpRecordEnd(
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/00B3B688, prev 0/00B3B648, desc: COMMIT 2026-11-21 14:56:11.578607 UTC",
        megabyte,
      ),
    ).toBe("0/B3B6B0");
    expect(
      waldumpRecordEnd(
        "rmgr: Heap        len (rec/tot):     54/  8178, tx:          0, lsn: 0/00A01EF0, prev 0/00A01EB8, desc: INSERT+INIT off: 1, flags: 0x00, blkref #0: rel 1663/5/16384 blk 0 FPW",
        megabyte,
      ),
    ).toBe("0/A03F00");
  });

  it("is the end of the file after a switch of the file", () => {
    const line =
      "rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/00A01F30, prev 0/00A01EF0, desc: SWITCH ";
    expect(waldumpRecordEnd(line, megabyte)).toBe("0/B00000");
    expect(waldumpRecordEnd(line, 16 * megabyte)).toBe("0/1000000");
  });

  it("is unknown for a line that is no record", () => {
    expect(waldumpRecordEnd("", megabyte)).toBeUndefined();
    expect(
      waldumpRecordEnd("pg_waldump: error: could not find a valid record after 0/F00000", megabyte),
    ).toBeUndefined();
  });
});
