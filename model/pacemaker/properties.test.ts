import { expect, it } from "vitest";
import { faultText } from "../fault.ts";
import { propertyFaults } from "./properties.ts";

function faults(properties: Readonly<Record<string, unknown>>): string[] {
  return propertyFaults(properties, (...keys) => ["pgha:pacemaker.main", ...keys]).map(faultText);
}

it("those that Pacemaker knows are taken as they are", () => {
  expect(faults({ "priority-fencing-delay": "5s", "no-quorum-policy": "freeze", "stonith-timeout": 90 })).toEqual([]);
});

it("one that is misspelt is refused: Pacemaker would take it and do nothing", () => {
  expect(faults({ "priorty-fencing-delay": "5s" })).toEqual([
    "pgha:pacemaker.main.properties.priorty-fencing-delay: found a property that is not known here, expected one of Pacemaker's. Correct its spelling or remove it: man 7 pacemaker-schedulerd and pacemaker-controld list them.",
  ]);
});

it.each([
  ["stonith-enabled", false, "it to follow from fencing:"],
  ["maintenance-mode", true, "it is for an hour, not for a declaration"],
  ["startup-fencing", false, "a host that was never seen may have a primary"],
  ["stop-all-resources", true, "it stops every cluster"],
  ["no-quorum-policy", "ignore", "each half of a divided cluster would promote a primary of its own"],
])("%s: %s is refused, with the reason", (name, value, reason) => {
  expect(faults({ [name]: value })[0]).toContain(reason);
});
