import { expect, it } from "vitest";
import { primary, standby } from "../test/support/observations.ts";
import { group } from "../test/support/shapes.ts";
import { stateOf } from "./groupState.ts";

it("what ALTER SYSTEM set enters the state by its name only, whatever its value is", () => {
  const observations = [
    primary("pg1", { postgres: { alterSystem: ["primary_conninfo", "work_mem"] } }),
    standby("pg2", "pg1"),
    standby("pg3", "pg1", { postgres: { alterSystem: ["archive_command"] } }),
  ];
  expect(stateOf(group(), observations, { primary: "pg1" }).alterSystem).toEqual({
    pg1: { primary_conninfo: "set", work_mem: "set" },
    pg3: { archive_command: "set" },
  });
});

it("nothing is said of ALTER SYSTEM where it set nothing", () => {
  const observations = [primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1")];
  expect("alterSystem" in stateOf(group(), observations, { primary: "pg1" })).toBe(false);
});
