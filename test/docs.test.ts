import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { checkSwitchover } from "../model/checks.ts";
import { limitsSchema } from "../model/declaration.ts";
import { defaultOperations } from "../model/pacemaker/operations.ts";
import { evidence } from "./support/switchover.ts";

const read = (path: string) => readFileSync(new URL(`../docs/${path}`, import.meta.url), "utf8");

it("every check before a switchover is explained, in the order in which preview shows it", () => {
  const [, text = ""] = read("operations/pre-flight.md").split("\n## All checks\n");
  const firstCells = [...text.matchAll(/^\| ([^|]+) \|/gm)].map((row) => row[1]);
  expect(firstCells.filter((cell) => cell !== "check")).toEqual(checkSwitchover(evidence()).map(({ name }) => name));
});

it("every limit of the checks stands in the reference, with its default", () => {
  const text = read("reference/stack-file.md");
  for (const [key, value] of Object.entries(limitsSchema.parse({}))) {
    expect(text).toMatch(new RegExp(`^\\| \`${key}\` \\| [^|]+ \\| ${value}\\b`, "m"));
  }
});

it("every operation of the agent stands in the reference, with its defaults", () => {
  const text = read("reference/stack-file.md");
  const pgsql = defaultOperations("pgsql");
  for (const [name, { timeout, interval = "" }] of Object.entries(defaultOperations("paf"))) {
    const times = timeout === pgsql[name as keyof typeof pgsql].timeout ? timeout : `${timeout}, \`pgsql\` 30s`;
    const row = `\\| \`${name.toLowerCase().replace(" ", ".")}\` \\| ${times} \\| [^|]+ \\| ${interval} ?\\| `;
    expect(text).toMatch(new RegExp(`^${row}`, "m"));
  }
});
