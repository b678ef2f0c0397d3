import { expect, it } from "vitest";
import { instance } from "../../provider/instance.ts";

/* The units of the host helper are a part of their instance. */
const plain = {
  cluster: "orders",
  member: "pg1",
  host: "pg1",
  dataDirectory: "/var/lib/postgresql/17/orders-pg1",
  unit: "[Unit]\n",
};

it("an instance shows the unit by which commits go on without standbys in the same way", () => {
  const { inputs } = instance.check({ ...plain, relaxUnit: "[Service]\n" }, undefined);
  const seen = (relaxUnit: string) => ({ ...inputs, relaxUnit });
  const diff = (outputs: typeof inputs) => instance.diff({ id: "x", outputs, oldInputs: inputs, news: inputs });
  expect(diff(seen("[Service]\n"))).toEqual({});
  expect(diff(seen(""))).toEqual({ relaxUnit: { kind: "update" } });
});

it("an instance shows the unit for a boot where it is new, changed by hand, disabled, or no longer declared", () => {
  const inputsOf = (more: object) => instance.check({ ...plain, ...more }, undefined).inputs;
  const [without, declared] = [inputsOf({}), inputsOf({ rejoinUnit: "[Service]\n" })];
  const diff = (outputs: typeof without, news: typeof without) =>
    instance.diff({ id: "x", outputs, oldInputs: news, news });
  const update = { rejoinUnit: { kind: "update" } };
  expect(Object.keys(without)).not.toContain("rejoinUnit");
  expect(diff(without, without)).toEqual({});
  expect(diff(declared, declared)).toEqual({});
  expect(diff(without, declared)).toEqual(update);
  expect(diff({ ...declared, rejoinUnit: "" }, declared)).toEqual(update);
  expect(diff(declared, without)).toEqual(update);
});
