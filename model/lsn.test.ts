import { describe, expect, it } from "vitest";
import { lsnDifferenceBytes, lsnText, lsnValue, recordEnd, segmentBytes } from "./lsn.ts";

describe("a position in the WAL", () => {
  it("is a number of 64 bits", () => {
    expect(lsnValue("0/0")).toBe(0n);
    expect(lsnValue("0/3000148")).toBe(0x3000148n);
    expect(lsnValue("FFFFFFFF/FFFFFFFF")).toBe(2n ** 64n - 1n);
    expect(lsnValue("a/b0")).toBe(lsnValue("A/B0"));
  });

  it("is compared as a number, not as text", () => {
    expect(lsnDifferenceBytes("10/0", "9/FFFFFFFF")).toBe(6 * 2 ** 32 + 1);
    expect(lsnDifferenceBytes("0/10000000", "0/9000000")).toBe(0x7000000);
  });

  it("differs by bytes, negative backwards, exactly 0 from itself", () => {
    expect(lsnDifferenceBytes("1/0", "0/FFFFFFF8")).toBe(8);
    expect(lsnDifferenceBytes("0/FFFFFFF8", "1/0")).toBe(-8);
    expect(lsnDifferenceBytes("5/5000000", "5/5000000")).toBe(0);
  });

  it.each(["", "0", "3000148", "0/", "/0", "0/3000148 ", "g/0", "0/123456789", "0x0/0"])("is not %j", (wrong) => {
    expect(() => lsnValue(wrong)).toThrow(`not an LSN: ${wrong}`);
  });
});

it("is written as PostgreSQL writes it", () => {
  expect(lsnText(0x3_0000_0148n)).toBe("3/148");
  expect(lsnText(0xabc_0000_0000n)).toBe("ABC/0");
});

describe("the end of a shutdown checkpoint, 114 bytes long", () => {
  // Seen with pg_controldata and pg_waldump: PostgreSQL 15.18 with 1 MB segments, 17.12 with 16 MB.
  const megabyte = 1024 * 1024;

  it.each([
    ["inside a page (15)", "0/1501530", "0/15015A8", 16 * megabyte],
    ["inside a page (17)", "0/15009B8", "0/1500A30", 16 * megabyte],
    ["8 bytes before the end of a page", "0/601FF8", "0/602088", megabyte],
    ["48 bytes before the end of a page", "0/603FD0", "0/604060", megabyte],
    ["104 bytes before the end of a page", "0/605F98", "0/606028", megabyte],
    ["2 bytes too long for its page", "0/607F90", "0/608020", megabyte],
    ["exactly to the end of a page", "0/609F88", "0/60A000", megabyte],
    ["across the end of a segment", "0/6FFFC0", "0/700060", megabyte],
    ["exactly to the end of a segment", "0/7FFF88", "0/800000", megabyte],
    ["across the end of a page, which is no end of a larger segment", "0/6FFFC0", "0/700050", 16 * megabyte],
    ["across the end of 32 bits", "3/FFFFFFC0", "4/60", 16 * megabyte],
  ])("%s", (_, start, end, segment) => {
    expect(lsnText(recordEnd(start, 114, segment))).toBe(end);
  });
});

it.each([
  ["1MB", 1_048_576],
  ["16MB", 16_777_216],
  ["1024MB", 1_073_741_824],
])("a segment of %s has %i bytes", (size, bytes) => {
  expect(segmentBytes(size)).toBe(bytes);
});
