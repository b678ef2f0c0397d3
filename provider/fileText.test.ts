import { expect, test } from "vitest";
import { concealSecrets, extractBlock, placeBlock, removeBlock, revealSecrets } from "./fileText.ts";

const hosts = "127.0.0.1 localhost\n# BEGIN pgha db\n198.51.100.11 pg1\n# END pgha db\n::1 localhost\n";

test("a block is found between its own marks only", () => {
  expect(extractBlock(hosts, "db")).toBe("198.51.100.11 pg1\n");
  expect(extractBlock(hosts, "d")).toBeUndefined();
  expect(extractBlock("# BEGIN pgha db\n# END pgha db\n", "db")).toBe("");
});

test("a block is replaced in its place, and a new one goes to the end, after a whole line", () => {
  expect(placeBlock(hosts, "db", "a\nb\n")).toBe(
    "127.0.0.1 localhost\n# BEGIN pgha db\na\nb\n# END pgha db\n::1 localhost\n",
  );
  expect(placeBlock("no newline", "db", "a")).toBe("no newline\n# BEGIN pgha db\na\n# END pgha db\n");
  expect(placeBlock("", "db", "")).toBe("# BEGIN pgha db\n# END pgha db\n");
});

test("taking a block away leaves everything around it as it was", () => {
  expect(removeBlock(hosts, "db")).toBe("127.0.0.1 localhost\n::1 localhost\n");
  expect(removeBlock(placeBlock("a\n", "x", "b"), "x")).toBe("a\n");
  expect(removeBlock("a", "db")).toBe("a");
});

test("a block that begins and does not end is refused", () => {
  expect(() => placeBlock("# END pgha db\n# BEGIN pgha db\nx\n", "db", "y")).toThrowError(
    'found "# BEGIN pgha db" without "# END pgha db" after it, expected both. Restore the line, or remove the first.',
  );
});

test("secrets go in at their placeholders and come out as such, the longer one first", () => {
  const secrets = { SHORT: "pass", LONG: "password1" };
  const content = "a=@@LONG@@ b=@@SHORT@@ c=$& d=@@OTHER@@\n";
  expect(revealSecrets(content, secrets)).toBe("a=password1 b=pass c=$& d=@@OTHER@@\n");
  expect(concealSecrets("a=password1 b=pass\nmore\n", content, secrets)).toBe("a=@@LONG@@ b=@@SHORT@@\nmore\n");
});

test("a secret that would be misread as a pattern goes in as it is", () => {
  expect(revealSecrets("p=@@P@@", { P: "a$&b$1c" })).toBe("p=a$&b$1c");
});

test("a live text with another secret is not shown at all", () => {
  expect(concealSecrets("p=theirs\n", "p=@@P@@\n", { P: "ours" })).toBe(
    "(not shown: it differs, and the secret P in it is another one)\n",
  );
});
