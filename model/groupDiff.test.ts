import { describe, expect, it } from "vitest";
import { groupInputs } from "../test/support/shapes.ts";
import { changedPaths, type DeclaredGroup, diffGroup, type GroupState } from "./groupDiff.ts";
import type { ObservedPrimary } from "./observedPrimary.ts";

const systemIdentifier = "7000000000000000001";

const declared: DeclaredGroup = {
  ...groupInputs(["pg1", "pg2"], { parameters: { work_mem: "4MB" } }),
  configuration: {
    pg1: { "postgresql.conf": "work_mem = '4MB'\n", "role.conf": "primary_slot_name = 'pgha_pg1'\n" },
    pg2: { "postgresql.conf": "work_mem = '4MB'\n", "role.conf": "primary_slot_name = 'pgha_pg2'\n" },
  },
};

function known(member: string, timeline = 1): ObservedPrimary {
  return { kind: "known", member, timeline, systemIdentifier };
}

const settled: GroupState = {
  primary: "pg1",
  applied: { member: "pg1", systemIdentifier, timeline: 1 },
  observed: known("pg1"),
  configuration: declared.configuration,
};

/** The declaration with one file's text of both members replaced, as check would render it. */
function rendering(workMem: string): DeclaredGroup["configuration"] {
  return Object.fromEntries(
    Object.entries(declared.configuration).map(([member, files]) => [
      member,
      { ...files, "postgresql.conf": `work_mem = '${workMem}'\n` },
    ]),
  );
}

function diff(changes: {
  news?: Partial<DeclaredGroup>;
  olds?: Partial<DeclaredGroup>;
  state?: Partial<GroupState> & { superuserPassword?: string };
}) {
  return diffGroup(
    { ...declared, ...changes.news },
    { ...declared, ...changes.olds },
    { ...settled, ...changes.state },
  );
}

it("what is declared, applied and observed alike makes no change", () => {
  expect(diff({})).toEqual({});
});

it("a higher timeline of the same primary makes no change", () => {
  expect(diff({ state: { observed: known("pg1", 7) } })).toEqual({});
});

describe("who is primary", () => {
  it("another declared primary is one change, and the files that stay say nothing", () => {
    expect(diff({ news: { primary: "pg2" } })).toEqual({ primary: { kind: "update" } });
  });

  it("a failover that was adopted makes no change", () => {
    expect(diff({ state: { primary: "pg2", observed: known("pg2", 2) } })).toEqual({});
  });

  it("a failover under onDrift: fail is a change, so that `up` stops there", () => {
    const news = { onDrift: "fail" } as const;
    expect(diff({ news, olds: news, state: { primary: "pg2", observed: known("pg2", 2) } })).toEqual({
      primary: { kind: "update" },
    });
  });

  describe("a failover under onDrift: switchBack", () => {
    const rule = { onDrift: "switchBack", switchBackAfter: "10min" } as const;
    const failedOver = { primary: "pg2", observed: known("pg2", 2) };
    const due = { ...failedOver, switchBackDue: true };

    it("is a change of the primary as soon as going back is due", () => {
      expect(diff({ news: rule, olds: rule, state: due })).toEqual({ primary: { kind: "update" } });
    });

    it("is no change before that", () => {
      const waiting = { switchBackDue: false, switchBackWaitsFor: "pg1 to stream from pg2" };
      expect(diff({ news: rule, olds: rule, state: { ...failedOver, ...waiting } })).toEqual({});
    });

    it("with another changed line is shown with it, so that `up` stops there", () => {
      const news = { ...rule, parameters: { work_mem: "64MB" }, configuration: rendering("64MB") };
      expect(diff({ news, olds: rule, state: due })).toEqual({
        primary: { kind: "update" },
        "parameters.work_mem": { kind: "update" },
      });
    });

    it("with another password is shown with it, so that `up` stops there", () => {
      expect(
        diff({ news: { ...rule, superuserPassword: "new" }, olds: rule, state: { ...due, superuserPassword: "old" } }),
      ).toEqual({ primary: { kind: "update" }, superuserPassword: { kind: "update" } });
    });

    it("lets the repair of a member go first, alone", () => {
      expect(diff({ news: rule, olds: rule, state: { ...due, unhealthy: { pg2: "slot missing: pgha_pg1" } } })).toEqual(
        {
          "unhealthy.pg2": { kind: "delete" },
        },
      );
    });

    it.each([
      ["onDrift", { onDrift: "adopt" }],
      ["switchBackAfter", { switchBackAfter: "1h" }],
      ["maintenanceWindow", { maintenanceWindow: { days: ["sat"], from: "02:00", to: "04:00", timezone: "UTC" } }],
    ] as const)("a rule whose %s changed just now does not count yet: read judged by the old one", (_, before) => {
      const olds = { ...rule, ...before } as Partial<DeclaredGroup>;
      expect(Object.keys(diff({ news: rule, olds, state: due }))).not.toContain("primary");
    });
  });

  it("a failover that the stack file now names is shown as old input -> new input", () => {
    expect(diff({ news: { primary: "pg2" }, state: { primary: "pg2", observed: known("pg2", 2) } })).toEqual({
      primary: { kind: "update", inputDiff: true },
    });
  });

  it("a lost state is recorded, not switched", () => {
    const olds = undefined;
    const state: GroupState = { primary: "pg2", observed: known("pg2"), configuration: declared.configuration };
    const found = diffGroup(declared, olds, state);
    expect(found.applied).toEqual({ kind: "add" });
    expect(found.primary).toBeUndefined();
  });

  it("two writable members show what is observed, so that `up` stops there", () => {
    expect(diff({ state: { observed: { kind: "several", members: ["pg1", "pg2"], ahead: [] } } })).toEqual({
      observed: { kind: "delete" },
    });
  });

  it("a cluster that is merely not running is started", () => {
    expect(diff({ state: { observed: { kind: "stopped", member: "pg1", timeline: 1, systemIdentifier } } })).toEqual({
      observed: { kind: "delete" },
    });
  });

  it("who cannot be told makes no change, and nothing that depends on it does", () => {
    expect(
      diff({
        state: {
          observed: { kind: "unknown", reason: "pg2 cannot be reached" },
          unhealthy: { pg1: "service stopped" },
          alterSystem: { pg1: { work_mem: "set" } },
          configuration: rendering("1GB"),
        },
      }),
    ).toEqual({});
  });

  it("another declared primary while nobody can tell the present one is a change, so that `up` stops there", () => {
    const observed = { kind: "unknown", reason: "pg2 cannot be reached" } as const;
    expect(diff({ news: { primary: "pg2" }, state: { observed } })).toEqual({ observed: { kind: "delete" } });
  });

  it("an unfinished handover is a change by itself", () => {
    expect(diff({ state: { unfinished: "the switchover pg1 -> pg2, begun today by anna@desk" } })).toEqual({
      unfinished: { kind: "delete" },
    });
  });
});

describe("what is not as it should be", () => {
  it("an unhealthy member is repaired, and named", () => {
    expect(diff({ state: { unhealthy: { pg2: "does not stream" } } })).toEqual({ "unhealthy.pg2": { kind: "delete" } });
  });

  it("a member whose host was not reached is no change, and its files are not missed", () => {
    expect(
      diff({
        state: {
          unreachable: { pg2: "no answer within 8 s" },
          configuration: { pg1: declared.configuration.pg1 ?? {} },
        },
      }),
    ).toEqual({});
  });

  it("what ALTER SYSTEM set is taken back, setting by setting", () => {
    expect(diff({ state: { alterSystem: { pg1: { work_mem: "set", "pg_stat_statements.max": "set" } } } })).toEqual({
      "alterSystem.pg1.work_mem": { kind: "delete" },
      'alterSystem.pg1["pg_stat_statements.max"]': { kind: "delete" },
    });
  });

  it("a file edited by hand is named by member and file", () => {
    const pg1 = { ...declared.configuration.pg1, "postgresql.conf": "work_mem = '1GB'\n" };
    expect(diff({ state: { configuration: { ...declared.configuration, pg1 } } })).toEqual({
      'configuration.pg1["postgresql.conf"]': { kind: "update" },
    });
  });

  it("a file that vanished is laid again", () => {
    const pg2 = { "postgresql.conf": "work_mem = '4MB'\n" };
    expect(diff({ state: { configuration: { ...declared.configuration, pg2 } } })).toEqual({
      'configuration.pg2["role.conf"]': { kind: "update" },
    });
  });
});

describe("a changed declaration", () => {
  it("names the parameter, and not once more the files that follow from it", () => {
    expect(diff({ news: { parameters: { work_mem: "64MB" }, configuration: rendering("64MB") } })).toEqual({
      "parameters.work_mem": { kind: "update" },
    });
  });

  it("still names a file that was edited by hand besides", () => {
    const pg1 = { ...declared.configuration.pg1, "postgresql.conf": "work_mem = '1GB'\n" };
    expect(
      diff({
        news: { parameters: { work_mem: "64MB" }, configuration: rendering("64MB") },
        state: { configuration: { ...declared.configuration, pg1 } },
      }),
    ).toEqual({
      "parameters.work_mem": { kind: "update" },
      'configuration.pg1["postgresql.conf"]': { kind: "update" },
    });
  });

  it("names what came and what went", () => {
    expect(diff({ news: { parameters: { "auto_explain.log_min_duration": "1s" } } })).toEqual({
      "parameters.work_mem": { kind: "delete" },
      'parameters["auto_explain.log_min_duration"]': { kind: "add" },
    });
  });

  it("names the member that is added, and the one that is taken out", () => {
    const { pg1, pg2 } = declared.members;
    if (pg1 === undefined || pg2 === undefined) throw new Error("two members are declared above");
    expect(diff({ news: { members: { pg1, pg3: pg2 } } })).toEqual({
      "members.pg2": { kind: "delete" },
      "members.pg3": { kind: "add" },
    });
  });

  it("shows another form of synchronous as one change of it", () => {
    expect(diff({ news: { synchronous: { quorum: 1 } } })).toEqual({ synchronous: { kind: "update" } });
  });

  it("files that only a new version of this software renders differently are shown", () => {
    const found = diff({ news: { configuration: rendering("8MB") } });
    expect(Object.keys(found)).toEqual([
      'configuration.pg1["postgresql.conf"]',
      'configuration.pg2["postgresql.conf"]',
    ]);
  });
});

describe("passwords", () => {
  it("another declared password is a change", () => {
    expect(diff({ news: { superuserPassword: "new" }, state: { superuserPassword: "old" } })).toEqual({
      superuserPassword: { kind: "update" },
    });
  });

  it("the same declared password is none", () => {
    expect(diff({ news: { superuserPassword: "same" }, state: { superuserPassword: "same" } })).toEqual({});
  });

  it("without a declared one the generated password stays", () => {
    expect(diff({ state: { superuserPassword: "generated" } })).toEqual({});
  });
});

describe("paths of changed properties", () => {
  it("lead to the leaf that differs; a list differs as a whole", () => {
    expect(changedPaths({ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, ["limits"])).toEqual({
      "limits.a.c": { kind: "update" },
    });
    expect(changedPaths(["lab"], ["lab", "office"], ["clientNetworks"])).toEqual({
      clientNetworks: { kind: "update" },
    });
    expect(changedPaths(undefined, "1", ["x"])).toEqual({ x: { kind: "add" } });
    expect(changedPaths("1", undefined, ["x"])).toEqual({ x: { kind: "delete" } });
    expect(changedPaths({ a: 1 }, { a: 1 }, ["x"])).toEqual({});
  });
});
