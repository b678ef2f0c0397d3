import { expect, it } from "vitest";
import { agentProgram } from "../agent/program.ts";

/* Its files are one program: a second definition takes the place of the first everywhere, also in the file that has the first. */
it("no two files of the host helper define the same name", () => {
  const defined = agentProgram.split("\n").flatMap((line) => {
    const name = /^(?:def|class) (\w+)|^([A-Z][A-Z0-9_]*) *=[^=]/.exec(line);
    return name === null ? [] : [name[1] ?? name[2]];
  });
  expect(defined.length).toBeGreaterThan(100);
  expect(defined.filter((name, index) => defined.indexOf(name) !== index)).toEqual([]);
});
