import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { packages } from "../../provider/packages.ts";
import { failureOf, type Harness, startHarness } from "./harness.ts";
import { createLocalHosts, type LocalHosts } from "./localHosts.ts";

/** Programs named as dpkg's and apt's that keep their database in a directory: `available` and `installed`, one package a file. */
const fakePrograms = {
  "dpkg-query": `while [ "$1" != -- ]; do shift; done; shift
rc=0
for name; do
  if [ -e "$DB/installed/$name" ]; then printf '%s\\tinstalled\\t%s\\n' "$name" "$(cat "$DB/installed/$name")"; else rc=1; fi
done
exit $rc`,
  "apt-cache": `[ -e "$DB/available/$3" ] && printf '%s:\\n  Candidate: 1.0\\n' "$3"; exit 0`,
  "apt-get": `echo "apt-get $*" >> "$DB/calls"
case $1 in
update) cp "$DB"/upstream/* "$DB/available/" 2>/dev/null; exit 0;;
esac
while [ "$1" != -- ]; do shift; done; shift
for name; do
  if [ "$name" = broken ]; then echo 'E: Unable to fetch some archives' >&2; exit 100; fi
  echo "Unpacking $name (1.0) ..." >&2
  echo 1.0 > "$DB/installed/$name"
done`,
  find: `echo /var/lib/apt/lists`,
};

async function prepare(): Promise<{ engine: Harness; hosts: LocalHosts; database: string }> {
  const database = mkdtempSync(join(tmpdir(), "pgha-apt-"));
  onTestFinished(() => rmSync(database, { recursive: true }));
  for (const [name, body] of Object.entries(fakePrograms)) {
    writeFileSync(join(database, name), `#!/bin/sh\nDB=${database}\n${body}\n`);
    chmodSync(join(database, name), 0o755);
  }
  for (const state of ["available", "installed", "upstream"]) {
    mkdirSync(join(database, state));
  }
  for (const name of ["postgresql-17", "jq", "broken"]) writeFileSync(join(database, "available", name), "");
  writeFileSync(join(database, "upstream", "pgpool2"), "");
  const hosts = createLocalHosts({ path: database });
  return { engine: await startHarness([packages], { openHosts: async () => hosts }), hosts, database };
}

function callsOf(database: string): string[] {
  try {
    return readFileSync(join(database, "calls"), "utf8").trim().split("\n");
  } catch {
    return [];
  }
}

const options =
  "-y -q --no-install-recommends -o Acquire::Languages=none -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold";

test("what is missing is installed in one call, and the installed versions are an output", async () => {
  const { engine, database } = await prepare();
  writeFileSync(join(database, "installed", "jq"), "0.9");
  const { inputs } = await engine.check("base", { host: "pg1", names: ["postgresql-17", "jq", "jq"] });
  expect(inputs).toEqual({ host: "pg1", names: ["jq", "postgresql-17"], limitSeconds: 600 });
  const created = await engine.create("base", inputs);
  expect(created).toEqual({
    id: "pg1:packages",
    properties: { ...inputs, installed: { jq: "0.9", "postgresql-17": "1.0" } },
    refreshBeforeUpdate: true,
  });
  expect(callsOf(database)).toEqual([`apt-get install ${options} -- postgresql-17`]);
  expect(engine.lines[0]).toEqual({ severity: "info", text: "pg1: installing postgresql-17", ephemeral: true });
});

test("nothing is asked of apt when everything is there", async () => {
  const { engine, database } = await prepare();
  writeFileSync(join(database, "installed", "jq"), "0.9");
  await engine.create("base", { host: "pg1", names: ["jq"] });
  expect(callsOf(database)).toEqual([]);
});

test("the lists are fetched for a package that they do not know", async () => {
  const { engine, database } = await prepare();
  await engine.create("base", { host: "pg1", names: ["pgpool2"] });
  expect(callsOf(database)).toEqual([
    "apt-get update -q -o Acquire::Languages=none -o DPkg::Lock::Timeout=120",
    `apt-get install ${options} -- pgpool2`,
  ]);
});

test("a package that no source has is named, with the way out", async () => {
  const { engine } = await prepare();
  const failure = await failureOf(engine.create("base", { host: "pg1", names: ["jq", "postgresql-99"] }));
  expect(failure.message).toBe(
    "pg1: found no package postgresql-99, expected its apt sources to have it. Correct the name, or add the source that has it.",
  );
});

test("apt's own reason stands in the error", async () => {
  const { engine } = await prepare();
  const failure = await failureOf(engine.create("base", { host: "pg1", names: ["broken"] }));
  expect(failure.message).toBe(
    "pg1: found that apt failed, expected it to install broken. Repair apt there, then run pulumi up again.\n  E: Unable to fetch some archives",
  );
});

test("a preview says what is to be installed and installs nothing", async () => {
  const { engine, database } = await prepare();
  writeFileSync(join(database, "installed", "jq"), "0.9");
  const created = await engine.create("base", { host: "pg1", names: ["jq", "postgresql-17"] }, true);
  expect(created.properties).toEqual({ host: "pg1", names: ["jq", "postgresql-17"], limitSeconds: 600 });
  expect(engine.lines).toEqual([{ severity: "info", text: "pg1: to install: postgresql-17", ephemeral: false }]);
  expect(callsOf(database)).toEqual([]);
});

test("a package that somebody removed is shown as to be added, and the update installs it again", async () => {
  const { engine, database } = await prepare();
  const { inputs } = await engine.check("base", { host: "pg1", names: ["jq", "postgresql-17"] });
  const created = await engine.create("base", inputs);
  rmSync(join(database, "installed", "postgresql-17"));
  const seen = await engine.read("base", created.id, inputs, created.properties);
  expect(seen.properties.installed).toEqual({ jq: "1.0" });
  const sides = { olds: seen.properties, oldInputs: inputs, news: inputs };
  expect((await engine.diff("base", sides)).detailed).toEqual({ "names[1]": "add" });
  expect((await engine.update("base", sides)).properties).toEqual(created.properties);
});

test("a name that is taken off the list is shown, and its package stays", async () => {
  const { engine, database } = await prepare();
  const { inputs } = await engine.check("base", { host: "pg1", names: ["jq", "postgresql-17"] });
  const created = await engine.create("base", inputs);
  const news = { ...inputs, names: ["postgresql-17"] };
  const sides = { olds: created.properties, oldInputs: inputs, news };
  expect((await engine.diff("base", sides)).detailed).toEqual({ "names[0]": "delete" });
  await engine.update("base", sides);
  await engine.delete("base", news, created.properties);
  expect(readFileSync(join(database, "installed", "jq"), "utf8")).toBe("1.0\n");
});

test("a name is taken off the list of a dead host too: packages stay, so nothing is asked there", async () => {
  const { engine, hosts } = await prepare();
  const { inputs } = await engine.check("base", { host: "pg1", names: ["jq", "postgresql-17"] });
  const created = await engine.create("base", inputs);
  hosts.cut("pg1");
  const seen = await engine.read("base", created.id, inputs, created.properties);
  const fewer = { ...inputs, names: ["jq"] };
  const sides = { olds: seen.properties, oldInputs: inputs, news: fewer };
  const expected = { ...fewer, installed: { jq: "1.0" } };
  expect((await engine.update("base", { ...sides, preview: true })).properties).toEqual(expected);
  expect((await engine.update("base", sides)).properties).toEqual(expected);
  const more = { ...inputs, names: ["jq", "pgpool2"] };
  expect((await failureOf(engine.update("base", { ...sides, news: more }))).message).toContain("found no answer");
});

test("an unreachable host is no change, and is told until it answers again", async () => {
  const { engine, hosts } = await prepare();
  const { inputs } = await engine.check("base", { host: "pg1", names: ["jq"] });
  const created = await engine.create("base", inputs);
  hosts.cut("pg1");
  const seen = await engine.read("base", created.id, inputs, created.properties);
  expect(seen.properties).toEqual({
    ...created.properties,
    unreachable: "pg1: found no answer, expected sshd. Start the host.",
  });
  await engine.check("base", inputs);
  expect((await engine.diff("base", { olds: seen.properties, oldInputs: inputs, news: inputs })).changes).toBe("none");
  expect(engine.lines.at(-1)).toEqual({
    severity: "warn",
    text: "pg1 could not be looked at, taken as last seen\npg1: found no answer, expected sshd. Start the host.",
    ephemeral: false,
  });
  hosts.restore("pg1");
  expect((await engine.read("base", created.id, inputs, seen.properties)).properties).toEqual(created.properties);
});

test("two resources for one host install one after the other", async () => {
  const { engine, hosts } = await prepare();
  await Promise.all([
    engine.create("base", { host: "pg1", names: ["jq"] }),
    engine.create("more", { host: "pg1", names: ["postgresql-17"] }),
  ]);
  expect(hosts.ran).toEqual([
    "pg1 read the installed packages of pg1",
    "pg1 install jq on pg1",
    "pg1 read the installed packages of pg1",
    "pg1 read the installed packages of pg1",
    "pg1 install postgresql-17 on pg1",
    "pg1 read the installed packages of pg1",
  ]);
});
