import { expect, it } from "vitest";
import { empty, primary, standby, unreachable } from "../test/support/observations.ts";
import { refusalToInitialise } from "./ownership.ts";

const begun = (member: string, state: "creating" | "cloning") =>
  empty(member, { marker: { cluster: "orders", member, state, dataDirectory: "/data" } });

it("a database is made where every member is empty, and where a creation did not end", () => {
  expect(refusalToInitialise("pg1", [empty("pg1"), empty("pg2")])).toBeUndefined();
  expect(refusalToInitialise("pg1", [begun("pg1", "creating"), begun("pg2", "cloning")])).toBeUndefined();
});

it("no database is made beside one that is, was, or may be", () => {
  expect(refusalToInitialise("pg1", [empty("pg1"), unreachable("pg2")])).toContain("pg2 cannot be reached");
  expect(refusalToInitialise("pg2", [primary("pg1"), begun("pg2", "cloning")])).toBe(
    "pg1 is marked ready: there is, or was, a database",
  );
  expect(refusalToInitialise("pg1", [begun("pg1", "creating"), standby("pg2", "pg1")])).toBe(
    "pg2 is marked ready: there is, or was, a database",
  );
  expect(refusalToInitialise("pg1", [empty("pg1", { dataDirectory: "foreign" }), empty("pg2")])).toBe(
    "pg1 holds something, marked by nobody",
  );
});
