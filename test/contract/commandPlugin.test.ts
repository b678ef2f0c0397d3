import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createCommandType } from "../../tools/command-plugin/remoteCommand.ts";
import { failureOf, secret, startHarness, type WireProperties } from "./harness.ts";
import { createLocalHosts } from "./localHosts.ts";

/** As the SDK sends it: one secret, with its defaults filled in. */
const connection = secret({
  host: "198.51.100.11",
  port: 22,
  user: "root",
  hostKey: "ssh-ed25519 AAAA",
  dialErrorLimit: 10,
  perDialTimeout: 15,
});

async function prepare() {
  const directory = mkdtempSync(join(tmpdir(), "pgha-command-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const hosts = createLocalHosts();
  const engine = await startHarness([createCommandType(async (target) => hosts.host(target.host))]);
  return { engine, hosts, file: join(directory, "log") };
}

test("create runs, and its output is the resource's", async () => {
  const { engine } = await prepare();
  const inputs = { connection, create: "cat; echo there >&2", stdin: "hello\n" };
  const created = await engine.create("setup", inputs);
  expect(created.id).toMatch(/^command[0-9a-f]{16}$/);
  expect(created.properties).toEqual({ ...inputs, stdout: "hello", stderr: "there" });
  expect(created.refreshBeforeUpdate).toBe(false);
});

test("a preview runs nothing and leaves the output unknown", async () => {
  const { engine, hosts } = await prepare();
  const created = await engine.create("setup", { connection, create: "echo hi" }, true);
  expect(created.properties).toEqual({ connection, create: "echo hi" });
  expect(hosts.ran).toEqual([]);
});

test("any changed input is an update, changed triggers replace", async () => {
  const { engine } = await prepare();
  const oldInputs: WireProperties = { connection, create: "a", stdin: "x", triggers: [1, "a"] };
  const news: WireProperties = { connection, create: "b", update: "c", triggers: [1, "b"] };
  expect(await engine.diff("setup", { olds: { ...oldInputs, stdout: "" }, oldInputs, news })).toEqual({
    changes: "some",
    detailed: { create: "update input", stdin: "delete input", triggers: "update-replace input", update: "add input" },
    replaces: ["triggers"],
    diffs: ["create", "stdin", "triggers", "update"],
  });
  const sides = { olds: { ...oldInputs, stdout: "" }, oldInputs, news: oldInputs };
  expect((await engine.diff("setup", sides)).changes).toBe("none");
});

test("an update runs update, or create again where there is none, with the last output in its environment", async () => {
  const { engine } = await prepare();
  const olds = { connection, create: "true", stdout: 'it\'s\n"last" $HOME', stderr: "" };
  const create = 'printf %s "$PULUMI_COMMAND_STDOUT"; cat';
  const news = { connection, create, stdin: "!" };
  const again = await engine.update("setup", { olds, oldInputs: {}, news });
  expect(again.properties.stdout).toBe('it\'s\n"last" $HOME!');
  const update = { ...news, update: "echo updated" };
  expect((await engine.update("setup", { olds, oldInputs: {}, news: update })).properties.stdout).toBe("updated");
  const without = { ...news, addPreviousOutputInEnv: false };
  expect((await engine.update("setup", { olds, oldInputs: {}, news: without })).properties.stdout).toBe("!");
});

test("variables reach the command and never a command line", async () => {
  const { engine } = await prepare();
  const create = 'printf "%s|" "$TOKEN" "$EMPTY"; tr "\\0" " " </proc/$$/cmdline';
  const created = await engine.create("setup", { connection, create, environment: { TOKEN: "s3cret", EMPTY: "" } });
  expect(created.properties.stdout).toBe(`s3cret||sh -c ${create} `);
});

test("delete runs what the state says", async () => {
  const { engine, file } = await prepare();
  const inputs = { connection, create: "true", delete: `echo gone > ${file}` };
  await engine.delete("setup", inputs, { ...inputs, stdout: "", stderr: "" });
  expect(readFileSync(file, "utf8")).toBe("gone\n");
});

test("a command that fails tells its exit code and the end of its output, not its text", async () => {
  const { engine } = await prepare();
  const failure = await failureOf(engine.create("setup", { connection, create: "echo out; echo why >&2; exit 3" }));
  expect(failure.message).toBe(
    "198.51.100.11: found exit code 3 of the command, expected 0. Correct the command or what it needs there.\nout\nwhy",
  );
});

test("a connection without a host key is refused, and so is a key that would stand in the state", async () => {
  const { engine } = await prepare();
  const insecure = secret({ host: "198.51.100.11", privateKey: "-----BEGIN" });
  expect((await engine.check("setup", { connection: insecure, create: "true" })).failures).toEqual([
    "connection.hostKey: found nothing, expected a text. Add it.",
    "connection.privateKey: found a secret value, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
  ]);
});
