import { expect, it } from "vitest";
import { formatBytes } from "./bytes.ts";

const megabyte = 1024 * 1024;

it.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 kB"],
  [1536, "2 kB"],
  [megabyte, "1.0 MB"],
  [9.5 * megabyte, "9.5 MB"],
  [16 * megabyte, "16 MB"],
  [1024 * megabyte, "1.0 GB"],
  [1536 * megabyte, "1.5 GB"],
])("%i bytes are written %s", (bytes, written) => {
  expect(formatBytes(bytes)).toBe(written);
});
