import { describe, expect, it } from "vitest";
import { duration, durationSeconds } from "./duration.ts";

describe("a duration", () => {
  it.each([
    ["0s", 0],
    ["45s", 45],
    ["10min", 600],
    ["2h", 7200],
    ["1d", 86_400],
  ])("%s is %i seconds", (text, seconds) => {
    expect(duration.parse(text)).toBe(text);
    expect(durationSeconds(text)).toBe(seconds);
  });

  it.each(["", "10", "10 min", "-1s", "1.5h", "10m", "010s", "9999999d", 600])("%j is refused", (value) => {
    expect(duration.safeParse(value).success).toBe(false);
  });
});
