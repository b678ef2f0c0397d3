import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type StandIns, standInsOf, standInTexts } from "../../model/pacemaker/standIns.ts";
import { instance } from "../../provider/instance.ts";
import { layStandIns, readStandIns, removeStandIns } from "../../provider/standIns.ts";
import { createLocalHosts } from "./localHosts.ts";

/* What Pacemaker's agent works with on a host, laid in a directory of this machine. */
let directory: string;
let standIns: StandIns;
const driven = {
  cluster: "orders",
  member: "pg1",
  dataDirectory: "/var/lib/postgresql/17/orders-pg1",
  programs: "/usr/lib/postgresql/17/bin",
};

/** Pacemaker on this host: it runs and has these resources, runs and does not answer, or does not run. */
function pacemaker(resources: string | undefined, active = true): void {
  program("systemctl", active ? "exit 0" : "exit 3");
  program("cibadmin", resources === undefined ? "exit 102" : `cat <<'X'\n${resources}\nX`);
}

function program(name: string, script: string): void {
  writeFileSync(join(directory, "bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(directory, "bin", name), 0o755);
}

const host = () => createLocalHosts({ path: join(directory, "bin") }).host("pg1");

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pgha-stand-ins-"));
  mkdirSync(join(directory, "bin"));
  mkdirSync(join(directory, "etc"));
  const { files, target } = standInsOf(driven);
  const programs = join(directory, "etc", "pacemaker");
  standIns = {
    directory: programs,
    files: files.map(({ path, ...file }) => ({ ...file, path: join(programs, path.split("/").at(-1) ?? "") })),
    configuration: join(directory, "pgsql.conf"),
    link: join(directory, "data"),
    target,
  };
  pacemaker(undefined, false);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("what Pacemaker's agent works with", () => {
  it("is laid whole, may be run, and is found as it was laid; a second time changes nothing", async () => {
    expect(await readStandIns(host(), standIns)).toBeUndefined();
    await layStandIns(host(), standIns);
    await layStandIns(host(), standIns);
    expect(await readStandIns(host(), standIns)).toEqual(standInTexts(standIns));
    for (const { path, mode } of standIns.files) expect(statSync(path).mode & 0o777).toBe(Number.parseInt(mode, 8));
    expect(statSync(standIns.configuration).size).toBe(0);
    expect(lstatSync(standIns.link).isSymbolicLink()).toBe(true);
  });

  it("is laid anew where somebody changed a program or led the link elsewhere", async () => {
    await layStandIns(host(), standIns);
    const [first] = standIns.files;
    writeFileSync(first?.path ?? "", "#!/bin/sh\n");
    rmSync(standIns.link);
    expect(await readStandIns(host(), standIns)).not.toEqual(standInTexts(standIns));
    await layStandIns(host(), standIns);
    expect(await readStandIns(host(), standIns)).toEqual(standInTexts(standIns));
  });

  it("never takes the place of a directory", async () => {
    mkdirSync(standIns.link);
    await expect(layStandIns(host(), standIns)).rejects.toThrow(
      `pg1: found something that is no link at ${standIns.link}, expected nothing, or the link to ${standIns.target}.`,
    );
    expect(lstatSync(standIns.link).isDirectory()).toBe(true);
  });

  it.each<[string, () => void, boolean]>([
    ["does not run", () => pacemaker(undefined, false), true],
    ["does not know this cluster", () => pacemaker('<resources><primitive id="web"/></resources>'), true],
    [
      "works with it",
      () => pacemaker(`<resources><nvpair name="bindir" value="${standIns.directory}"/></resources>`),
      false,
    ],
    ["runs and does not answer", () => pacemaker(undefined), false],
  ])("is removed, but not while it may be in use: Pacemaker %s", async (_, set, removed) => {
    await layStandIns(host(), standIns);
    set();
    expect(await removeStandIns(host(), standIns)).toBe(removed);
    expect(existsSync(standIns.directory)).toBe(!removed);
    expect(await readStandIns(host(), standIns)).toEqual(removed ? undefined : standInTexts(standIns));
  });

  it("leaves what is not ours in its directory", async () => {
    await layStandIns(host(), standIns);
    writeFileSync(join(standIns.directory, "notes"), "mine\n");
    expect(await removeStandIns(host(), standIns)).toBe(true);
    expect(readFileSync(join(standIns.directory, "notes"), "utf8")).toBe("mine\n");
  });
});

describe("an instance", () => {
  const unit = "[Unit]\n";
  const { cluster, member, dataDirectory, programs } = driven;
  const plain = { cluster, member, host: "pg1", dataDirectory, unit };
  const checked = (news: object) => instance.check({ ...news }, undefined);

  it("without a manager is what it was, and nothing of one is its business", () => {
    const { inputs, faults } = checked(plain);
    expect(faults).toEqual([]);
    expect(inputs).toEqual({ ...plain, helper: expect.any(String) });
    expect(instance.diff({ id: "x", outputs: inputs, oldInputs: inputs, news: inputs })).toEqual({});
  });

  it("under Pacemaker has what its agent works with, and shows where that was changed or is left over", () => {
    const { inputs: before } = checked(plain);
    const { inputs } = checked({ ...plain, manager: "pacemaker", programs });
    const diff = (outputs: typeof inputs, news: typeof inputs) =>
      instance.diff({ id: "x", outputs, oldInputs: news, news });
    const update = { standIns: { kind: "update" } };
    expect(diff(inputs, inputs)).toEqual({});
    expect(diff({ ...inputs, standIns: "another" }, inputs)).toEqual(update);
    expect(diff(before, inputs)).toEqual(update);
    expect(diff(inputs, before)).toEqual(update);
  });

  it("under Pacemaker is refused without PostgreSQL's programs", () => {
    expect(checked({ ...plain, manager: "pacemaker" }).faults).toEqual([
      {
        path: ["programs"],
        found: "nothing",
        expected: "the directory of PostgreSQL's programs, which Pacemaker's agent works with",
        remedy: "Name it, such as /usr/lib/postgresql/17/bin.",
      },
    ]);
  });
});
