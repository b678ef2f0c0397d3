import { expect, test } from "vitest";
import { formatPropertyPath, isAtOrUnderText, locatePath } from "./propertyPath.ts";

test("a path is written as Pulumi writes it", () => {
  expect(formatPropertyPath(["primary"])).toBe("primary");
  expect(formatPropertyPath(["parameters", "work_mem"])).toBe("parameters.work_mem");
  expect(formatPropertyPath(["parameters", "pg_stat_statements.max"])).toBe('parameters["pg_stat_statements.max"]');
  expect(formatPropertyPath(["configuration", "pg-1", "pg_hba.conf"])).toBe('configuration.pg-1["pg_hba.conf"]');
  expect(formatPropertyPath(["hosts", 1, "address"])).toBe("hosts[1].address");
});

test("a number in a fault's path is an index in a list and a key in an object", () => {
  expect(locatePath(["hosts", "1", "0"], { hosts: [{}, { "0": "a" }] })).toEqual(["hosts", 1, "0"]);
});

test("only a whole part of a path counts as above another", () => {
  expect(isAtOrUnderText("primary.name", "primary")).toBe(true);
  expect(isAtOrUnderText("primaryPort", "primary")).toBe(false);
  expect(isAtOrUnderText("hosts[1].address", "hosts[*]")).toBe(true);
  expect(isAtOrUnderText("hosts", "hosts[1]")).toBe(false);
});
