import { describe, expect, it } from "vitest";
import type { GroupState } from "../model/groupDiff.ts";
import { readDeclared } from "../model/recordedGroup.ts";
import { HostKeyRefused } from "../remote/errors.ts";
import { createLocalHosts } from "../test/contract/localHosts.ts";
import { group } from "../test/support/shapes.ts";
import { asProperties } from "./inputs.ts";
import { replicationGroup } from "./replicationGroup.ts";
import type { Context, Notice, Properties } from "./resource.ts";

const systemIdentifier = "7000000000000000001";

/** What the component hands over for cluster orders on pg1, pg2, pg3. */
function declared(changes: Properties = {}): Properties {
  const { members, ...rest } = group();
  const byName = Object.fromEntries(members.map(({ name, ...member }) => [name, member]));
  return { ...asProperties({ ...rest, members: byName }), ...changes };
}

/** The inputs as check hands them on. */
function checked(changes: Properties = {}): Properties {
  const { inputs, faults } = replicationGroup.check(declared(changes), undefined);
  expect(faults).toEqual([]);
  return inputs;
}

const onPg1 = { kind: "known", member: "pg1", timeline: 1, systemIdentifier } as const;
const onPg2 = { kind: "known", member: "pg2", timeline: 2, systemIdentifier } as const;

/** What read returns of a cluster that is as `inputs` say, with what is to be different. */
function outputs(inputs: Properties, changes: Partial<GroupState> & { superuserPassword?: string } = {}): Properties {
  return {
    ...inputs,
    ...asProperties({
      primary: "pg1",
      applied: { member: "pg1", systemIdentifier, timeline: 1 },
      observed: onPg1,
      ...changes,
    }),
  };
}

function sides(changes: { news?: Properties; olds?: Properties; state?: Parameters<typeof outputs>[1] }) {
  const oldInputs = checked(changes.olds);
  return { id: "orders", outputs: outputs(oldInputs, changes.state), oldInputs, news: checked(changes.news) };
}

const diff = (changes: Parameters<typeof sides>[0]) => replicationGroup.diff(sides(changes));
const notices = (changes: Parameters<typeof sides>[0]) => replicationGroup.notices?.(sides(changes));

const firstLine = ({ level, text }: Notice) => `${level}: ${text.split("\n")[0]}`;
const localCommit = "warn: synchronous_commit = local: commits do not wait for standbys";

const movedToPg2 = { primary: "pg2", observed: onPg2 };

describe("check", () => {
  it("adds every file of every member, so that a diff can show its lines", () => {
    const { configuration } = checked() as { configuration: Record<string, Record<string, string>> };
    expect(Object.entries(configuration).map(([member, files]) => [member, Object.keys(files)])).toEqual([
      ["pg1", ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "member.json", "known_hosts", "role.conf"]],
      ["pg2", ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "member.json", "known_hosts", "role.conf"]],
      ["pg3", ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "member.json", "known_hosts", "role.conf"]],
    ]);
    expect(configuration.pg2?.["role.conf"]).toContain("primary_slot_name = 'pgha_pg2'\n");
  });

  it("takes its own answer again and answers alike: nothing drifts from run to run", () => {
    const once = checked();
    expect(replicationGroup.check(once, once)).toEqual({ inputs: once, faults: [] });
  });

  it("never reads configuration from the program: it always follows from the declaration", () => {
    expect(checked({ configuration: { pg1: { "postgresql.conf": "fsync = off\n" } } })).toEqual(checked());
  });

  it("names every property that is not as it should be", () => {
    const { faults } = replicationGroup.check({ ...declared(), primary: 7, onDestroy: "burn" }, undefined);
    expect(faults).toEqual([
      { path: ["primary"], found: "7", expected: "a text", remedy: "Correct it (docs/reference/stack-file.md)." },
      {
        path: ["onDestroy"],
        found: "burn",
        expected: "one of keep, stop, erase",
        remedy: "Correct it (docs/reference/stack-file.md).",
      },
    ]);
  });

  it("refuses an empty password", () => {
    const { faults } = replicationGroup.check(declared({ superuserPassword: "" }), undefined);
    expect(faults.map(({ path }) => path)).toEqual([["superuserPassword"]]);
  });
});

it("passwords are secrets of the state, whether or not the program marked them", () => {
  expect(replicationGroup.secrets).toEqual(["superuserPassword", "replicationPassword"]);
});

describe("a cluster that is as declared", () => {
  it("has no change and nothing to say", () => {
    expect(diff({})).toEqual({});
    expect(notices({})).toEqual([]);
  });
});

describe("a changed primary:", () => {
  it("is shown from what is, to what is to be", () => {
    expect(diff({ news: { primary: "pg2" } })).toEqual({ primary: { kind: "update" } });
  });

  it("that is primary already is shown by what was declared before, for the hosts show no difference", () => {
    expect(diff({ news: { primary: "pg2" }, state: movedToPg2 })).toEqual({
      primary: { kind: "update", inputDiff: true },
    });
    expect(notices({ news: { primary: "pg2" }, state: movedToPg2 })).toEqual([]);
  });

  it("while a third member became primary is a change, so that `up` stops and explains", () => {
    expect(diff({ news: { primary: "pg3" }, state: movedToPg2 })).toEqual({ primary: { kind: "update" } });
  });
});

describe("after a failover", () => {
  it("onDrift: adopt has no change and one warning, with the line that acknowledges it", () => {
    expect(diff({ state: movedToPg2 })).toEqual({});
    expect(notices({ state: movedToPg2 })).toEqual([
      {
        level: "warn",
        text:
          "a failover happened: pg2 is primary, the stack file says pg1\n" +
          "  Adopted: nothing is switched (onDrift: adopt). Everything else goes on with pg2.\n" +
          "  To keep pg2: primary: pg2 (acknowledged, no host is touched).\n" +
          "  To go back: first `pulumi up` with primary: pg2, then with primary: pg1, a planned switchover.",
      },
    ]);
  });

  it("onDrift: fail has a change, so that `up` fails there", () => {
    const fail = { onDrift: "fail" };
    expect(diff({ news: fail, olds: fail, state: movedToPg2 })).toEqual({ primary: { kind: "update" } });
    expect(notices({ news: fail, olds: fail, state: movedToPg2 })).toEqual([]);
  });

  it("onDrift: switchBack warns what going back waits for, and shows it once it is due", () => {
    const rule = { onDrift: "switchBack" };
    const waiting = { ...movedToPg2, switchBackDue: false, switchBackWaitsFor: "pg1 to stream from pg2" };
    expect(diff({ news: rule, olds: rule, state: waiting })).toEqual({});
    expect(
      notices({ news: rule, olds: rule, state: waiting })?.map(({ text }) => text.split("\n").slice(0, 2)),
    ).toEqual([
      [
        "a failover happened: pg2 is primary, the stack file says pg1",
        "  Not switched back yet (onDrift: switchBack): it waits for pg1 to stream from pg2. Everything else goes on with pg2.",
      ],
    ]);
    const due = { ...movedToPg2, switchBackDue: true };
    expect(diff({ news: rule, olds: rule, state: due })).toEqual({ primary: { kind: "update" } });
    expect(notices({ news: rule, olds: rule, state: due })).toEqual([]);
  });

  it("a declared parameter is still a change of its own", () => {
    expect(diff({ news: { parameters: { work_mem: "64MB" } }, state: movedToPg2 })).toEqual({
      "parameters.work_mem": { kind: "add" },
    });
  });
});

describe("when it cannot be told who is primary", () => {
  const observed = { kind: "unknown", reason: "pg2 cannot be reached: no answer within 8 s" } as const;

  it("nothing is a change, and a warning gives the reason", () => {
    expect(diff({ state: { observed } })).toEqual({});
    expect(notices({ state: { observed } })).toEqual([
      {
        level: "warn",
        text:
          "who is primary cannot be told; nothing is changed that depends on it\n" +
          "  pg2 cannot be reached: no answer within 8 s.\n" +
          "  Bring the members back, then run `pulumi up` again.\n" +
          "  One that is dead for good: take it out of members: (that is your word that it is fenced: off, and never writable again).",
      },
    ]);
  });

  it("two writable members are a change, so that `up` stops there", () => {
    expect(diff({ state: { observed: { kind: "several", members: ["pg1", "pg2"], ahead: [] } } })).toEqual({
      observed: { kind: "delete" },
    });
  });
});

describe("members that are not well", () => {
  it("one that does not follow is a change by its name, and a warning lists it", () => {
    const state = { unhealthy: { pg3: "does not stream" } };
    expect(diff({ state })).toEqual({ "unhealthy.pg3": { kind: "delete" } });
    expect(notices({ state })).toEqual([{ level: "warn", text: "1 of 3 members unhealthy\n  pg3: does not stream" }]);
  });

  it("a standby that is no member is no change, and a warning names its slot", () => {
    const state = { slotsInUse: { pg1: "pgha_pg9" } };
    expect(diff({ state })).toEqual({});
    expect(notices({ state })).toEqual([
      {
        level: "warn",
        text: "1 of 3 members feed a standby that is no member\n  pg1: pgha_pg9",
      },
    ]);
  });

  it("one without room is no change, for only an operator can make some, and a warning says where", () => {
    const state = { fullVolumes: { pg3: "less than 64 MB free at /data; without room for WAL it stops" } };
    expect(diff({ state })).toEqual({});
    expect(notices({ state })).toEqual([
      {
        level: "warn",
        text: "1 of 3 members have no room left\n  pg3: less than 64 MB free at /data; without room for WAL it stops",
      },
    ]);
  });

  it("one that is unreachable is no change, and a warning says so", () => {
    const state = { unreachable: { pg3: "no answer within 8 s" } };
    expect(diff({ state })).toEqual({});
    expect(notices({ state })).toEqual([
      {
        level: "warn",
        text: "1 of 3 members unreachable; nothing is changed there\n  pg3: no answer within 8 s",
      },
    ]);
  });
});

describe("a member that is taken out", () => {
  it("is neither counted among those that are left, nor repaired", () => {
    const { pg1, pg2 } = readDeclared(checked()).members;
    const news = asProperties({ members: { pg1, pg2 } });
    const state = {
      unhealthy: { pg3: "does not stream" },
      unreachable: { pg3: "no answer within 8 s" },
      alterSystem: { pg3: { work_mem: "set" as const } },
    };
    expect(Object.keys(diff({ news, state }))).toEqual(["members.pg3"]);
    expect(notices({ news, state })).toEqual([]);
  });
});

describe("drift of what was declared", () => {
  it("a file edited by hand is named by its member and its name", () => {
    const { configuration } = readDeclared(checked());
    const edited = {
      ...configuration.pg1,
      "postgresql.conf": `${configuration.pg1?.["postgresql.conf"]}fsync = off\n`,
    };
    expect(diff({ state: { configuration: { ...configuration, pg1: edited } } })).toEqual({
      'configuration.pg1["postgresql.conf"]': { kind: "update" },
    });
  });

  it("ALTER SYSTEM is taken back", () => {
    expect(diff({ state: { alterSystem: { pg1: { work_mem: "set" } } } })).toEqual({
      "alterSystem.pg1.work_mem": { kind: "delete" },
    });
  });
});

describe("a changed declaration", () => {
  it("shows each parameter by its path, and no file beside it", () => {
    expect(
      diff({
        olds: { parameters: { work_mem: "4MB", "pg_stat_statements.max": "100", log_statement: "ddl" } },
        news: { parameters: { work_mem: "64MB", "pg_stat_statements.max": "200", jit: "off" } },
      }),
    ).toEqual({
      "parameters.work_mem": { kind: "update" },
      'parameters["pg_stat_statements.max"]': { kind: "update" },
      "parameters.log_statement": { kind: "delete" },
      "parameters.jit": { kind: "add" },
    });
  });

  it("another declared password is a change, one that was generated is none", () => {
    expect(diff({ news: { superuserPassword: "new" }, state: { superuserPassword: "old" } })).toEqual({
      superuserPassword: { kind: "update" },
    });
    expect(diff({ state: { superuserPassword: "generated" } })).toEqual({});
  });

  it("says from when on another onDestroy counts", () => {
    expect(notices({ olds: { onDestroy: "keep" }, news: { onDestroy: "stop" } })).toEqual([
      {
        level: "info",
        text:
          "onDestroy counts from the last `up`\n" +
          '  Until this one ran, `pulumi destroy` does "keep"; afterwards "stop".',
      },
    ]);
  });

  it("warns while synchronous_commit takes away what synchronous promises", () => {
    const weak = { synchronous: { quorum: 1 }, parameters: { synchronous_commit: "local" } };
    expect(notices({ olds: weak, news: weak })?.map(firstLine)).toEqual([localCommit]);
  });

  it("never replaces: data is not thrown away by a diff", () => {
    const everything = {
      primary: "pg2",
      postgresVersion: 18,
      walSegmentSize: "1MB",
      slotSizeLimit: "1GB",
      onDestroy: "stop",
      socketUsers: ["deploy"],
      synchronous: { quorum: 1 },
    };
    expect(Object.values(diff({ news: everything })).map(({ kind }) => kind)).not.toContain("replace");
  });
});

it("at creation, where there is no diff yet, what follows from the declaration is said all the same", async () => {
  const told: string[] = [];
  const hosts = createLocalHosts();
  for (const name of ["pg1", "pg2", "pg3"]) hosts.cut(name);
  const context: Context = {
    hosts,
    cancelled: new AbortController().signal,
    progress() {},
    info() {},
    warn: (text) => told.push(text),
  };
  const inputs = checked({ synchronous: { quorum: 1 }, parameters: { synchronous_commit: "local" } });
  const creating = replicationGroup.create(context, { inputs, preview: true, name: "orders" });
  await expect(creating).rejects.toThrow("who is primary cannot be told");
  expect(told.map((text) => firstLine({ level: "warn", text }))).toEqual([localCommit]);
});

describe("a member whose host offers another key than the declared one", () => {
  const text =
    "pg3.hostKey: found the offered ssh-ed25519 key SHA256:new, expected the declared ssh-ed25519 key SHA256:old.";

  /** Nobody answers, and pg3 under another key where `wrong` says so. */
  function context(wrong: boolean): Context {
    const local = createLocalHosts();
    for (const name of ["pg1", "pg2", "pg3"]) local.cut(name);
    const refuse = () => Promise.reject(new HostKeyRefused("pg3", text, "pgha:hosts.pg3.hostKey"));
    const refusing = { name: "pg3", run: refuse, must: refuse, start: refuse, socket: refuse };
    const hosts = { ...local, host: (name: string) => (wrong && name === "pg3" ? refusing : local.host(name)) };
    return { hosts, cancelled: new AbortController().signal, progress() {}, info() {}, warn() {} };
  }

  it("is read as such, not as unreachable, and is a change although nothing else is", async () => {
    const before = sides({});
    const read = await replicationGroup.read(context(true), { ...before, inputs: before.oldInputs, imported: false });
    if (read === "gone") throw new Error("what cannot be reached is not gone");
    const { outputs: seen } = read;
    expect(seen).toMatchObject({
      wrongHostKeys: { pg3: text },
      unreachable: { pg1: expect.anything(), pg2: expect.anything() },
    });
    expect(seen).not.toHaveProperty("unreachable.pg3");
    expect(diff({ state: { wrongHostKeys: { pg3: text } } })).toEqual({ "wrongHostKeys.pg3": { kind: "delete" } });
    expect(diff({ state: { unreachable: { pg3: "no answer within 8 s" } } })).toEqual({});
  });

  it.each([true, false])("stops, preview %s, and names the host and the key that was offered", async (preview) => {
    const { news: inputs, ...before } = sides({});
    await expect(replicationGroup.update(context(true), { ...before, inputs, preview })).rejects.toThrow(
      `orders: 1 of 3 members cannot be asked, because their hosts have other keys than declared. Nothing was touched.\n  ${text}`,
    );
    await expect(replicationGroup.update(context(false), { ...before, inputs, preview })).rejects.toThrow(
      "who is primary cannot be told",
    );
  });
});

it("the first line of every notice fits on a resource's row", () => {
  const all = [
    notices({ state: movedToPg2 }),
    notices({ state: { unhealthy: { pg3: "does not stream" }, unreachable: { pg2: "no answer within 8 s" } } }),
    notices({ news: { onDestroy: "stop" } }),
    notices({ news: { synchronous: { quorum: 1 }, parameters: { synchronous_commit: "remote_write" } } }),
  ].flatMap((found) => found ?? []);
  expect(all).toHaveLength(5);
  for (const { text } of all) expect(text.split("\n")[0]?.length).toBeLessThanOrEqual(80);
});
