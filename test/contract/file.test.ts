import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { file } from "../../provider/file.ts";
import { failureOf, type Harness, secret, startHarness, type WireProperties } from "./harness.ts";
import { createLocalHosts, type LocalHosts } from "./localHosts.ts";

const owner = userInfo().username;
const group = execFileSync("id", ["-gn"]).toString().trim();

interface Bench {
  readonly engine: Harness;
  readonly hosts: LocalHosts;
  readonly path: string;
  /** What the program declares, completed by check. */
  declare(changes?: WireProperties): Promise<WireProperties>;
}

async function prepare(): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), "pgha-file-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const hosts = createLocalHosts();
  const engine = await startHarness([file], { openHosts: async () => hosts });
  const path = join(directory, "etc", "app.conf");
  async function declare(changes: WireProperties = {}): Promise<WireProperties> {
    const declared = { host: "pg1", path, content: "a = 1\nb = 2\n", owner, group, mode: "640", ...changes };
    const { inputs, failures } = await engine.check("app", declared);
    expect(failures).toEqual([]);
    return inputs;
  }
  return { engine, hosts, path, declare };
}

test("a file is laid with content, owner and mode, in directories that did not exist", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  expect(readFileSync(path, "utf8")).toBe("a = 1\nb = 2\n");
  expect((statSync(path).mode & 0o777).toString(8)).toBe("640");
  expect(created.id).toBe(`pg1:${path}`);
  expect(created.refreshBeforeUpdate).toBe(true);
  const seen = await engine.read("app", created.id, inputs, created.properties);
  expect(seen.properties).toEqual(created.properties);
  const sides = { olds: seen.properties, oldInputs: inputs, news: inputs };
  expect((await engine.diff("app", sides)).changes).toBe("none");
});

test("a preview of a new file touches nothing and needs no host", async () => {
  const { engine, hosts, path, declare } = await prepare();
  hosts.cut("pg1");
  await engine.create("app", await declare(), true);
  expect(existsSync(path)).toBe(false);
});

test("a hand edit is shown as live content and mode, and the next update puts it right", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  writeFileSync(path, "a = 1\nb = 3\n");
  chmodSync(path, 0o600);
  const seen = await engine.read("app", created.id, inputs, created.properties);
  expect(seen.properties).toMatchObject({ content: "a = 1\nb = 3\n", mode: "0600" });
  expect(seen.inputs).toEqual(inputs);
  const sides = { olds: seen.properties, oldInputs: inputs, news: inputs };
  expect((await engine.diff("app", sides)).detailed).toEqual({ content: "update", mode: "update" });
  const updated = await engine.update("app", sides);
  expect(readFileSync(path, "utf8")).toBe("a = 1\nb = 2\n");
  expect((statSync(path).mode & 0o777).toString(8)).toBe("640");
  expect(updated.properties).toEqual(created.properties);
});

test("a removed file is to be added again, not a deleted resource", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  rmSync(path);
  const seen = await engine.read("app", created.id, inputs, created.properties);
  expect(seen.id).toBe(created.id);
  expect((await engine.diff("app", { olds: seen.properties, oldInputs: inputs, news: inputs })).detailed).toEqual({
    content: "add",
    owner: "add",
    group: "add",
    mode: "add",
  });
});

test("an unreachable host leaves everything as last seen, says so, and is no change", async () => {
  const { engine, hosts, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  hosts.cut("pg1");
  const seen = await engine.read("app", created.id, inputs, created.properties);
  const unreachable = "pg1: found no answer, expected sshd. Start the host.";
  expect(seen.properties).toEqual({ ...created.properties, unreachable });
  const sides = { olds: seen.properties, oldInputs: inputs, news: inputs };
  expect((await engine.diff("app", sides)).changes).toBe("none");
  hosts.restore("pg1");
  expect((await engine.read("app", created.id, inputs, seen.properties)).properties).toEqual(created.properties);
});

test("another path or host replaces", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  const news = await declare({ host: "pg2", path: `${path}.d` });
  const answer = await engine.diff("app", { olds: created.properties, oldInputs: inputs, news });
  expect(answer.replaces).toEqual(["host", "path"]);
  expect(answer.detailed).toEqual({ host: "update-replace", path: "update-replace" });
});

test("a block keeps to its marks in a file that belongs to somebody else", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare({ placement: "block", content: "198.51.100.11 pg1", blockName: "hosts" });
  execFileSync("mkdir", ["-p", join(path, "..")]);
  writeFileSync(path, "127.0.0.1 localhost\n", { mode: 0o644 });
  const created = await engine.create("app", inputs);
  expect(created.id).toBe(`pg1:${path}#hosts`);
  expect(readFileSync(path, "utf8")).toBe(
    "127.0.0.1 localhost\n# BEGIN pgha hosts\n198.51.100.11 pg1\n# END pgha hosts\n",
  );
  expect((statSync(path).mode & 0o777).toString(8)).toBe("644");

  writeFileSync(path, readFileSync(path, "utf8").replace("100.11", "100.99").replace("localhost", "localhost me"));
  const seen = await engine.read("app", created.id, inputs, created.properties);
  const sides = { olds: seen.properties, oldInputs: inputs, news: inputs };
  expect(seen.properties).toMatchObject({ content: "198.51.100.99 pg1\n" });
  expect((await engine.diff("app", sides)).detailed).toEqual({ content: "update" });
  await engine.update("app", sides);
  expect(readFileSync(path, "utf8")).toBe(
    "127.0.0.1 localhost me\n# BEGIN pgha hosts\n198.51.100.11 pg1\n# END pgha hosts\n",
  );

  await engine.delete("app", inputs, created.properties);
  expect(readFileSync(path, "utf8")).toBe("127.0.0.1 localhost me\n");
});

test("two blocks that are written at the same time both arrive", async () => {
  const { engine, path, declare } = await prepare();
  const names = ["a", "b", "c", "d"];
  await Promise.all(
    names.map(async (blockName) => {
      const inputs = await declare({ placement: "block", content: `line ${blockName}`, blockName });
      await engine.create(`app-${blockName}`, inputs);
    }),
  );
  for (const name of names) {
    expect(readFileSync(path, "utf8")).toContain(`# BEGIN pgha ${name}\nline ${name}\n# END pgha ${name}\n`);
  }
});

test("a mark without its end is an error that names the file and the mark", async () => {
  const { engine, path, declare } = await prepare();
  execFileSync("mkdir", ["-p", join(path, "..")]);
  writeFileSync(path, "# BEGIN pgha pgha\nx\n");
  const failure = await failureOf(engine.create("app", await declare({ placement: "block" })));
  expect(failure.message).toBe(
    `pg1:${path}: found "# BEGIN pgha pgha" without "# END pgha pgha" after it, expected both. Restore the line, or remove the first.`,
  );
});

test("deletion removes a file that is still ours, and leaves one that somebody changed", async () => {
  const { engine, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  writeFileSync(path, "mine now\n");
  await engine.delete("app", inputs, created.properties);
  expect(readFileSync(path, "utf8")).toBe("mine now\n");
  expect(engine.lines).toEqual([
    {
      severity: "warn",
      text: `${path} on pg1 is left: its content is not the one that was laid`,
      ephemeral: false,
    },
  ]);
  await engine.update("app", { olds: created.properties, oldInputs: inputs, news: inputs });
  await engine.delete("app", inputs, created.properties);
  expect(existsSync(path)).toBe(false);
});

test("a file on a dead host can be taken out of the stack", async () => {
  const { engine, hosts, path, declare } = await prepare();
  const inputs = await declare();
  const created = await engine.create("app", inputs);
  hosts.cut("pg1");
  await engine.delete("app", inputs, created.properties);
  expect(engine.lines.map(({ text }) => text)).toEqual([
    `${path} is left on pg1 as it is\n  pg1: found no answer, expected sshd. Start the host.`,
  ]);
});

test("secrets lie on the host, and nowhere else in clear", async () => {
  const { engine, path, declare } = await prepare();
  const content = "user = app\npassword = @@APP@@\n";
  const inputs = await declare({ content, secrets: { APP: secret("hunter22") } });
  expect(inputs.secrets).toEqual(secret({ APP: "hunter22" }));
  const created = await engine.create("app", inputs);
  expect(readFileSync(path, "utf8")).toBe("user = app\npassword = hunter22\n");
  const seen = await engine.read("app", created.id, inputs, created.properties);
  expect(seen.properties).toEqual(created.properties);
  expect(seen.properties).toMatchObject({ content, secrets: secret({ APP: "hunter22" }) });

  writeFileSync(path, "user = other\npassword = hunter22\n");
  const edited = await engine.read("app", created.id, inputs, created.properties);
  expect(edited.properties.content).toBe("user = other\npassword = @@APP@@\n");
  writeFileSync(path, "user = app\npassword = foreign33\n");
  const foreign = await engine.read("app", created.id, inputs, created.properties);
  expect(foreign.properties.content).toBe("(not shown: it differs, and the secret APP in it is another one)\n");

  const news = await declare({ content, secrets: { APP: secret("changed44") } });
  const answer = await engine.diff("app", { olds: created.properties, oldInputs: inputs, news });
  expect(answer.detailed).toEqual({ secrets: "update" });
});

test("faults of a file name the property and the way out", async () => {
  const { engine } = await prepare();
  const wrong = { host: "pg1", path: "etc/x", content: "a", mode: "rw", secrets: { APP: "x" }, colour: "red" };
  expect((await engine.check("app", wrong)).failures).toEqual([
    "path: found etc/x, expected an absolute path of letters, digits, dots, hyphens and underscores, without a slash at its end. Correct the path.",
    'mode: found rw, expected an octal mode such as "0640". Correct the mode.',
    "colour: found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
    "content: found a, expected content with @@APP@@ in it. Put it where the secret belongs.",
  ]);
});

test("a fault of a secret does not tell its value", async () => {
  const { engine } = await prepare();
  const wrong = { host: "pg1", path: "/etc/x", content: "@@APP@@", secrets: { APP: 12345 } };
  expect((await engine.check("app", wrong)).failures).toEqual([
    "secrets.APP: found a secret value, expected a text. Correct it (docs/reference/stack-file.md).",
  ]);
});
