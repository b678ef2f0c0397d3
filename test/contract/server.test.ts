import { expect, test } from "vitest";
import { UserError } from "../../model/fault.ts";
import type { Settings } from "../../provider/settings.ts";
import { takeEnvironmentSettings } from "../../provider/settings.ts";
import { Unreachable } from "../../remote/errors.ts";
import { fakeType } from "./fakeType.ts";
import { failureOf, secret, startHarness } from "./harness.ts";
import { createLocalHosts } from "./localHosts.ts";

test("diff has every kind of change by its property path", async () => {
  const type = fakeType({
    diff: () => ({
      primary: { kind: "update" },
      'parameters["pg_stat_statements.max"]': { kind: "add" },
      "members[1]": { kind: "delete" },
      unfinished: { kind: "delete" },
      "host.name": { kind: "replace" },
      applied: { kind: "update", inputDiff: true },
    }),
  });
  const engine = await startHarness([type]);
  expect(await engine.diff("orders", { olds: {}, oldInputs: {}, news: {} })).toEqual({
    changes: "some",
    detailed: {
      primary: "update",
      'parameters["pg_stat_statements.max"]': "add",
      "members[1]": "delete",
      unfinished: "delete",
      "host.name": "update-replace",
      applied: "update input",
    },
    replaces: ["host"],
    diffs: ["primary", "parameters", "members", "unfinished", "host", "applied"],
  });
});

test("diff gives the type what was seen, what was declared and what is declared now, and nothing else happens", async () => {
  const asked: unknown[] = [];
  const type = fakeType({
    diff: (resource) => {
      asked.push(resource);
      return {};
    },
  });
  const engine = await startHarness([type]);
  const sides = { olds: { primary: "pg2" }, oldInputs: { primary: "pg1" }, news: { primary: "pg3" } };
  expect(await engine.diff("orders", sides)).toEqual({ changes: "none", detailed: {}, replaces: [], diffs: [] });
  expect(asked).toEqual([
    { id: "id", outputs: { primary: "pg2" }, oldInputs: { primary: "pg1" }, news: { primary: "pg3" } },
  ]);
});

test("the provider learns which stack it works for, with the settings of now, before any resource", async () => {
  const told: unknown[] = [];
  const engine = await startHarness([], {
    environmentSettings: { ssh: "new" },
    prepareStack: async (settings, stack) => void told.push({ settings, stack }),
  });
  await engine.configure({ ssh: "old" }, "urn:pulumi:prod::pgha::pulumi:providers:pgha::default");
  expect(told).toEqual([{ settings: { ssh: "new" }, stack: { project: "pgha", stack: "prod" } }]);
});

test("what fails in preparing for the stack is told, and blocks neither refresh nor destroy", async () => {
  const engine = await startHarness([fakeType({})], {
    prepareStack: () => Promise.reject(new UserError("~/.ssh/id: found ENOENT, expected a private key.")),
  });
  await engine.configure({}, "urn:pulumi:prod::pgha::pulumi:providers:pgha::default");
  expect(engine.lines).toEqual([
    { severity: "warn", text: "~/.ssh/id: found ENOENT, expected a private key.", ephemeral: false },
  ]);
});

test("what the program ignores is no change, wherever the difference comes from", async () => {
  const type = fakeType({
    diff: () => ({ primary: { kind: "update" }, "tags.a": { kind: "add" }, port: { kind: "update" } }),
  });
  const engine = await startHarness([type]);
  const sides = { olds: {}, oldInputs: {}, news: {}, ignoreChanges: ["primary", "tags"] };
  expect((await engine.diff("orders", sides)).detailed).toEqual({ port: "update" });
});

test("notices are told at the diff that follows a check, never at the one that belongs to the refresh", async () => {
  const type = fakeType({ notices: ({ news }) => [{ level: "warn", text: `declared is ${news.primary}` }] });
  const engine = await startHarness([type]);
  const sides = { olds: { primary: "pg2" }, oldInputs: { primary: "pg1" }, news: { primary: "pg1" } };
  await engine.diff("orders", sides);
  expect(engine.lines).toEqual([]);
  await engine.check("orders", { primary: "pg3" });
  await engine.diff("billing", sides);
  expect(engine.lines).toEqual([]);
  await engine.diff("orders", { ...sides, news: { primary: "pg3" } });
  await engine.diff("orders", sides);
  expect(engine.lines).toEqual([{ severity: "warn", text: "declared is pg3", ephemeral: false }]);
});

test("a resource that is saved although it is not as declared keeps its outputs, its secrets and the refresh flag", async () => {
  const saved = {
    outputs: { primary: "pg2", password: "p", unfinished: "pg3 does not stream yet" },
    incomplete: ["pg3 does not stream yet", "the proxy disagrees"],
  };
  const type = fakeType({ create: async () => ({ id: "orders", ...saved }), update: async () => saved });
  const engine = await startHarness([type]);
  const expected = {
    message: "pg3 does not stream yet",
    saved: {
      id: "orders",
      properties: { primary: "pg2", password: secret("p"), unfinished: "pg3 does not stream yet" },
      refreshBeforeUpdate: true,
      reasons: ["pg3 does not stream yet", "the proxy disagrees"],
    },
  };
  expect(await failureOf(engine.create("orders", { primary: "pg2" }))).toEqual(expected);
  const sides = { olds: {}, oldInputs: {}, news: { primary: "pg2" } };
  expect(await failureOf(engine.update("orders", sides))).toEqual({
    ...expected,
    saved: { ...expected.saved, id: "id" },
  });
});

test("a resource that is saved incomplete may be larger than a usual header", async () => {
  const content = "x".repeat(40_000);
  const type = fakeType({ create: async () => ({ id: "orders", outputs: { content }, incomplete: ["not yet"] }) });
  const engine = await startHarness([type]);
  expect((await failureOf(engine.create("orders", {}))).saved?.properties).toEqual({ content });
});

test("a type that need not be read before an update says so in every answer", async () => {
  const type = fakeType({
    refreshBeforeUpdate: false,
    delete: async () => {
      throw new UserError("still in use");
    },
  });
  const engine = await startHarness([type]);
  const sides = { olds: {}, oldInputs: {}, news: {} };
  expect((await engine.create("orders", {})).refreshBeforeUpdate).toBe(false);
  expect((await engine.read("orders", "id", { a: 1 }, { a: 1 })).refreshBeforeUpdate).toBe(false);
  expect((await engine.update("orders", sides)).refreshBeforeUpdate).toBe(false);
  expect(await failureOf(engine.delete("orders", {}, {}))).toEqual({ message: "still in use" });
});

test("read never fails: what is in the state stays, and a warning says why, once", async () => {
  const unreachable = new Unreachable("pg1", "pg1: found no answer, expected sshd. Start it.");
  const errors = [unreachable, unreachable, new TypeError("oops")];
  const type = fakeType({
    read: async () => {
      throw errors.shift();
    },
  });
  const engine = await startHarness([type]);
  const inputs = { primary: "pg1", password: secret("p") };
  const outputs = { primary: "pg2", password: secret("p") };
  const expected = { id: "id", properties: outputs, inputs, refreshBeforeUpdate: true };
  for (const name of ["orders", "billing", "orders"]) {
    expect(await engine.read(name, "id", inputs, outputs)).toEqual(expected);
  }
  expect(engine.lines.map(({ severity }) => severity)).toEqual(["warn", "warn"]);
  expect(engine.lines[0]?.text).toBe(
    "could not be read, taken as last seen\npg1: found no answer, expected sshd. Start it.",
  );
  expect(engine.lines[1]?.text).toMatch(
    /^could not be read, taken as last seen\nThis is a bug in pgha: TypeError: oops\n/,
  );
});

test("an import reads without a state, and its failure is one", async () => {
  const type = fakeType({
    read: async (_, { id, imported }) => {
      if (id === "nothing") throw new UserError("nothing: found no cluster, expected one. Correct the id.");
      return { id, outputs: { primary: "pg2", imported }, inputs: { onDrift: "adopt", password: "p" } };
    },
  });
  const engine = await startHarness([type]);
  expect(await engine.read("orders", "orders", {}, {})).toEqual({
    id: "orders",
    properties: { primary: "pg2", imported: true },
    inputs: { onDrift: "adopt", password: secret("p") },
    refreshBeforeUpdate: true,
  });
  expect((await failureOf(engine.read("orders", "nothing", {}, {}))).message).toBe(
    "nothing: found no cluster, expected one. Correct the id.",
  );
});

test("a resource that is gone is read as nothing", async () => {
  const engine = await startHarness([fakeType({ read: async () => "gone" })]);
  expect(await engine.read("orders", "id", { a: 1 }, { a: 1 })).toMatchObject({ id: "", properties: {}, inputs: {} });
});

test("create gets the resource's own name, and a preview no id", async () => {
  const names: string[] = [];
  const type = fakeType({
    create: async (_, { name, inputs }) => {
      names.push(name);
      return { id: name, outputs: inputs };
    },
  });
  const engine = await startHarness([type]);
  expect((await engine.create("pgha:index:Parent$pgha:index:Toy::a::b", {}, true)).id).toBe("");
  expect((await engine.create("pgha:index:Toy::orders", {})).id).toBe("orders");
  expect(names).toEqual(["a::b", "orders"]);
});

test("progress is shown at most once a second, only when it changes, and the latest wins", async () => {
  const type = fakeType({
    create: async (context) => {
      for (const text of ["step 1", "step 1", "step 2", "step 3"]) context.progress(text);
      await new Promise((resolve) => setTimeout(resolve, 1300));
      context.progress("over before it could be shown");
      return { id: "toy", outputs: {} };
    },
  });
  const engine = await startHarness([type]);
  await engine.create("orders", {});
  expect(engine.lines).toEqual([
    { severity: "info", text: "step 1", ephemeral: true },
    { severity: "info", text: "step 3", ephemeral: true },
  ]);
});

test("what is said just before the end still arrives", async () => {
  const type = fakeType({
    create: async (context) => {
      context.warn("lag is 3 MB");
      context.info("done \u001b[1mnow\u001b[0m <{%reset%}>");
      return { id: "toy", outputs: {} };
    },
  });
  const engine = await startHarness([type]);
  await engine.create("orders", {});
  expect(engine.lines).toEqual([
    { severity: "warn", text: "lag is 3 MB", ephemeral: false },
    { severity: "info", text: "done [1mnow[0m < {%reset%}>", ephemeral: false },
  ]);
});

test("cancel stops what runs at its safe point, and what starts later is not touched by it", async () => {
  let started: () => void = () => undefined;
  const isRunning = new Promise<void>((resolve) => {
    started = resolve;
  });
  const type = fakeType({
    update: async ({ cancelled }) => {
      started();
      await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
      throw new UserError("stopped before the demotion; nothing was changed. Run pulumi up again.");
    },
    create: async ({ cancelled }) => ({ id: "toy", outputs: { cancelled: cancelled.aborted } }),
  });
  const engine = await startHarness([type]);
  await engine.cancel();
  const failure = failureOf(engine.update("orders", { olds: {}, oldInputs: {}, news: {} }));
  await isRunning;
  await engine.cancel();
  expect((await failure).message).toBe("stopped before the demotion; nothing was changed. Run pulumi up again.");
  expect((await engine.create("orders", {})).properties).toEqual({ cancelled: false });
});

const newHosts = { hosts: '{"pg1":{"address":"198.51.100.21"}}' };
const oldHosts = { hosts: '{"pg1":{"address":"198.51.100.11"}}' };

async function settingsAtFirstCommand(environmentSettings: Settings | undefined): Promise<readonly Settings[]> {
  const opened: Settings[] = [];
  const hosts = createLocalHosts();
  const type = fakeType({
    create: async (context) => {
      await context.hosts.host("pg1").run({ argv: ["true"], limitSeconds: 5, purpose: "do nothing" });
      return { id: "toy", outputs: {} };
    },
  });
  const engine = await startHarness([type], {
    ...(environmentSettings === undefined ? {} : { environmentSettings }),
    openHosts: async (settings) => {
      opened.push(settings);
      return hosts;
    },
  });
  await engine.configure(oldHosts);
  await engine.check("orders", {});
  await engine.diff("orders", { olds: {}, oldInputs: {}, news: {} });
  expect(opened).toEqual([]);
  await engine.create("orders", {});
  await engine.create("billing", {});
  return opened;
}

test("hosts are opened once, at the first command, with the settings of now rather than those of the state", async () => {
  expect(await settingsAtFirstCommand(newHosts)).toEqual([newHosts]);
  expect(await settingsAtFirstCommand(undefined)).toEqual([oldHosts]);
});

test("the configuration in the environment is read once and taken away, with only the provider's own keys", () => {
  const environment: NodeJS.ProcessEnv = {
    PATH: "/bin",
    PULUMI_CONFIG: JSON.stringify({ ...newHosts, clusters: "{}", superuserPassword: "hunter2" }),
    PULUMI_CONFIG_SECRET_KEYS: '["superuserPassword"]',
  };
  expect(takeEnvironmentSettings(environment, "pgha")).toEqual(newHosts);
  expect(environment).toEqual({ PATH: "/bin" });
  expect(takeEnvironmentSettings(environment, "pgha")).toBeUndefined();
  expect(takeEnvironmentSettings({ PULUMI_CONFIG: '{"pgha:ssh":{"user":"root"}}' }, "pgha")).toEqual({
    ssh: '{"user":"root"}',
  });
  expect(takeEnvironmentSettings({ PULUMI_CONFIG: '{"clusters":"{}"}' }, "pgha")).toBeUndefined();
});

test("a secret in a broken configuration is not repeated in the error", () => {
  expect(() => takeEnvironmentSettings({ PULUMI_CONFIG: "hunter2" }, "pgha")).toThrowError(
    "PULUMI_CONFIG: found text that is not JSON, expected what the Pulumi CLI sets. Unset it.",
  );
});

test("only hosts and SSH are kept as the provider's inputs: no secret, and no cluster whose edit would change the provider", async () => {
  const engine = await startHarness([fakeType()]);
  const news = { version: "0.1.0", ...newHosts, clusters: "{}", superuserPassword: secret("hunter2") };
  expect(await engine.checkConfig(news)).toEqual({ inputs: { version: "0.1.0", ...newHosts }, failures: [] });
});

test("the resource types are loaded at the first resource, once, and not for a question about the settings", async () => {
  let loads = 0;
  const engine = await startHarness([], {
    loadTypes: async () => {
      loads += 1;
      return [fakeType()];
    },
  });
  await engine.checkConfig(newHosts);
  await engine.configure(newHosts);
  expect(loads).toBe(0);
  await Promise.all([engine.check("pgha:index:Toy::a", {}), engine.check("pgha:index:Toy::b", {})]);
  expect(loads).toBe(1);
});
