import { describe, expect, it } from "vitest";
import { lsnDifferenceBytes, lsnValue, segmentBytes } from "./lsn.ts";

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

it.each([
  ["1MB", 1_048_576],
  ["16MB", 16_777_216],
  ["1024MB", 1_073_741_824],
])("a segment of %s has %i bytes", (size, bytes) => {
  expect(segmentBytes(size)).toBe(bytes);
});
