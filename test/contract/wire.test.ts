import { expect, test } from "vitest";
import { UserError } from "../../model/fault.ts";
import { RemoteError } from "../../remote/errors.ts";
import { fakeType, recorder } from "./fakeType.ts";
import { failureOf, secret, startHarness, unknown } from "./harness.ts";

test("values of every kind reach the handler and come back as they were", async () => {
  const handler = recorder();
  const type = fakeType({ create: async (_, { inputs }) => ({ id: "toy", outputs: handler.keep(inputs) }) });
  const engine = await startHarness([type]);
  const properties = {
    text: "pg1",
    empty: "",
    count: 0,
    ratio: 0.5,
    big: 9007199254740991,
    on: true,
    off: false,
    nothing: null,
    list: [1, null, ["a", []], { port: 5432 }],
    object: { "pg_stat_statements.max": "1000", deep: { deeper: {} } },
  };
  const created = await engine.create("orders", properties);
  expect(handler.seen).toEqual([properties]);
  expect(created).toEqual({ id: "toy", properties, refreshBeforeUpdate: true });
});

test("a handler sees a secret in clear, and the engine gets the whole top-level property back as a secret", async () => {
  const handler = recorder();
  const type = fakeType({ create: async (_, { inputs }) => ({ id: "toy", outputs: handler.keep(inputs) }) });
  const engine = await startHarness([type]);
  const created = await engine.create("orders", {
    primary: "pg1",
    auth: { user: "app", nested: [{ token: secret("s3cret") }] },
    whole: secret({ key: "hidden" }),
  });
  expect(handler.seen).toEqual([
    { primary: "pg1", auth: { user: "app", nested: [{ token: "s3cret" }] }, whole: { key: "hidden" } },
  ]);
  expect(created.properties).toEqual({
    primary: "pg1",
    auth: secret({ user: "app", nested: [{ token: "s3cret" }] }),
    whole: secret({ key: "hidden" }),
  });
});

test("a property that the type calls secret is one, though the program did not mark it", async () => {
  const engine = await startHarness([fakeType()]);
  expect((await engine.check("orders", { password: "p", primary: "pg1" })).inputs).toEqual({
    password: secret("p"),
    primary: "pg1",
  });
  expect((await engine.create("orders", { password: "p" })).properties).toEqual({ password: secret("p") });
  const sides = { olds: { password: secret("o") }, oldInputs: { password: secret("o") }, news: { password: "p" } };
  expect((await engine.update("orders", sides)).properties).toEqual({ password: secret("p") });
});

test("read keeps as a secret what was one in the inputs or the outputs", async () => {
  const type = fakeType({ read: async () => ({ id: "id", outputs: { a: "1", b: "2", c: "3", password: "4" } }) });
  const engine = await startHarness([type]);
  const seen = await engine.read("orders", "id", { a: secret("1") }, { b: secret("2") });
  expect(seen.properties).toEqual({ a: secret("1"), b: secret("2"), c: "3", password: secret("4") });
  expect(seen.inputs).toEqual({ a: secret("1") });
});

test("an asset is refused with its path and the way out", async () => {
  const engine = await startHarness([fakeType()]);
  const asset = { "4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", text: "hello" };
  const failure = await failureOf(engine.check("orders", { files: [{ content: asset }] }));
  expect(failure.message).toBe("files[0].content: found an asset, expected plain data. Pass the text itself.");
});

test("at preview a resource with an unknown input is not given to its type: its inputs are its outputs", async () => {
  const handler = recorder();
  const type = fakeType({
    create: async (_, { inputs }) => ({ id: "toy", outputs: handler.keep(inputs) }),
    update: async (_, { inputs }) => ({ outputs: handler.keep(inputs) }),
  });
  const engine = await startHarness([type]);
  const news = { primary: "pg1", hosts: ["a", unknown], password: secret(unknown) };
  const expected = { primary: "pg1", hosts: ["a", unknown], password: secret(unknown) };
  expect(await engine.create("orders", news, true)).toEqual({
    id: "",
    properties: expected,
    refreshBeforeUpdate: true,
  });
  const updated = await engine.update("orders", { olds: { primary: "pg1" }, oldInputs: {}, news, preview: true });
  expect(updated.properties).toEqual(expected);
  expect(handler.seen).toEqual([]);
});

test("a check that fails at an unknown value or inside it is no failure, and the value stays unknown", async () => {
  const type = fakeType({
    check: (news) => ({
      inputs: { ...news, port: 5432 },
      faults: [
        { path: ["hosts", "1", "address"], found: "nothing", expected: "an address", remedy: "Set it." },
        { path: ["hosts", "0", "address"], found: "x", expected: "an address", remedy: "Set it." },
        { path: ["primary"], found: "nothing", expected: "a member", remedy: "Set it." },
        { path: ["parameters", "pg_stat_statements.max"], found: "-1", expected: "a number", remedy: "Set it." },
      ],
    }),
  });
  const engine = await startHarness([type]);
  const checked = await engine.check("orders", {
    primary: unknown,
    hosts: [{ address: "x" }, unknown],
    parameters: { "pg_stat_statements.max": "-1" },
  });
  expect(checked).toEqual({
    inputs: {
      primary: unknown,
      hosts: [{ address: "x" }, unknown],
      parameters: { "pg_stat_statements.max": "-1" },
      port: 5432,
    },
    failures: [
      "hosts[0].address: found x, expected an address. Set it.",
      'parameters["pg_stat_statements.max"]: found -1, expected a number. Set it.',
    ],
  });
});

test("diff shows an unknown value as an update and compares everything else as if it had not changed", async () => {
  const handler = recorder();
  const type = fakeType({
    diff: ({ news }) => {
      handler.keep(news);
      return { "hosts[0].address": { kind: "replace" }, port: { kind: "update" } };
    },
  });
  const engine = await startHarness([type]);
  const answer = await engine.diff("orders", {
    olds: { hosts: [{ address: "a" }], port: 1 },
    oldInputs: { hosts: [{ address: "a" }], port: 1 },
    news: { hosts: [{ address: unknown }], port: 2 },
  });
  expect(handler.seen).toEqual([{ hosts: [{ address: "a" }], port: 2 }]);
  expect(answer.detailed).toEqual({ "hosts[0].address": "update", port: "update" });
  expect(answer.replaces).toEqual([]);
});

test("a user's mistake and a host's failure are told without a stack, our own bug with one", async () => {
  const errors = [
    new UserError("orders.primary: found pg9, expected a member (pg1, pg2). Set it."),
    new RemoteError("pg1", "pg1: found \u001b[31mred\u001b[0m <{%fg 1%}>, expected silence. Look there."),
    new TypeError("x is not a function"),
  ];
  const type = fakeType({
    create: async () => {
      throw errors.shift();
    },
  });
  const engine = await startHarness([type]);
  expect(await failureOf(engine.create("orders", {}))).toEqual({
    message: "orders.primary: found pg9, expected a member (pg1, pg2). Set it.",
  });
  expect(await failureOf(engine.create("orders", {}))).toEqual({
    message: "pg1: found [31mred[0m < {%fg 1%}>, expected silence. Look there.",
  });
  const bug = await failureOf(engine.create("orders", {}));
  expect(bug.message).toMatch(/^This is a bug in pgha: TypeError: x is not a function\n {4}at .*wire\.test\.ts/);
});

test("a type that the provider does not have is named beside those it has", async () => {
  const engine = await startHarness([fakeType()]);
  const failure = await failureOf(engine.create("pgha:index:Cluster::orders", {}));
  expect(failure.message).toBe(
    "urn:pulumi:dev::test::pgha:index:Cluster::orders: found type pgha:index:Cluster, expected one of pgha:index:Toy. Correct the type.",
  );
});
