import { describe, expect, it } from "vitest";
import { supportedVersions } from "./declaration.ts";
import { faultText } from "./fault.ts";
import {
  formatSetting,
  type LiveSetting,
  needsRestart,
  parameterContext,
  parameterFaults,
  sameSetting,
} from "./parameters.ts";

function faults(parameters: Record<string, string | number | boolean>, postgresVersion = 17): string[] {
  return parameterFaults(parameters, postgresVersion, ["parameters"]).map(faultText);
}

describe("when a change takes effect", () => {
  it.each([
    ["max_connections", "postmaster"],
    ["shared_buffers", "postmaster"],
    ["archive_command", "sighup"],
    ["work_mem", "user"],
    ["WORK_MEM", "user"],
    ["log_statement", "superuser"],
    ["log_connections", "superuser-backend"],
    ["ignore_system_indexes", "backend"],
    ["block_size", "internal"],
    ["TimeZone", "user"],
  ])("%s: %s", (name, context) => {
    expect(parameterContext(name)).toBe(context);
  });

  it("is not known for a parameter of an extension", () => {
    expect(parameterContext("pg_stat_statements.max")).toBeUndefined();
  });

  it("needs a restart only for those that PostgreSQL reads at its start", () => {
    expect(needsRestart("max_connections")).toBe(true);
    expect(needsRestart("Shared_Buffers", 17)).toBe(true);
    expect(needsRestart("work_mem")).toBe(false);
    expect(needsRestart("archive_command")).toBe(false);
    expect(needsRestart("pg_stat_statements.max")).toBe(false);
  });

  it("can be another one from a version on", () => {
    expect(needsRestart("autovacuum_max_workers", 17)).toBe(true);
    expect(needsRestart("autovacuum_max_workers", 18)).toBe(false);
    expect(needsRestart("autovacuum_max_workers")).toBe(true);
  });
});

describe("a declared parameter", () => {
  it.each(supportedVersions)("is right when PostgreSQL %i has it", (postgresVersion) => {
    expect(
      faults({ max_connections: 200, Work_Mem: "64MB", jit: false, "pg_stat_statements.max": 100 }, postgresVersion),
    ).toEqual([]);
  });

  it("is refused when no version has it", () => {
    expect(faults({ work_memm: "1MB" })).toEqual([
      "parameters.work_memm: found a parameter that PostgreSQL 17 does not have, expected a parameter of PostgreSQL 17. Correct its spelling or remove it.",
    ]);
  });

  it.each([
    ["io_method", 17, "It came with PostgreSQL 18: remove it."],
    ["summarize_wal", 16, "It came with PostgreSQL 17: remove it."],
    ["reserved_connections", 15, "It came with PostgreSQL 16: remove it."],
    ["ssl_ecdh_curve", 18, "It went after PostgreSQL 17: remove it."],
    ["old_snapshot_threshold", 17, "It went after PostgreSQL 16: remove it."],
    ["vacuum_defer_cleanup_age", 16, "It went after PostgreSQL 15: remove it."],
  ])("%s is refused for PostgreSQL %i, saying which versions have it", (name, version, remedy) => {
    expect(faults({ [name]: "1" }, version)).toEqual([
      `parameters.${name}: found a parameter that PostgreSQL ${version} does not have, expected a parameter of PostgreSQL ${version}. ${remedy}`,
    ]);
  });

  it.each([
    ["io_method", 18],
    ["summarize_wal", 17],
    ["reserved_connections", 16],
    ["ssl_ecdh_curve", 17],
    ["old_snapshot_threshold", 16],
    ["vacuum_defer_cleanup_age", 15],
    ["output_plugin_libraries", 15],
  ])("%s is right for PostgreSQL %i", (name, version) => {
    expect(faults({ [name]: "1" }, version)).toEqual([]);
  });

  it("is refused when the cluster itself decides it, saying by which key", () => {
    expect(faults({ port: 5433, synchronous_standby_names: "*", Restart_After_Crash: false })).toEqual([
      "parameters.port: found a parameter that is fixed here, expected no such line: it is decided by members.NAME.port. Remove it.",
      "parameters.synchronous_standby_names: found a parameter that is fixed here, expected no such line: it is decided by synchronous. Remove it.",
      "parameters.Restart_After_Crash: found a parameter that is fixed here, expected no such line: it is decided by the cluster: a crashed backend never ends the instance. Remove it.",
    ]);
  });

  it("is refused when PostgreSQL only shows it", () => {
    expect(faults({ block_size: 8192 })).toEqual([
      "parameters.block_size: found a parameter that PostgreSQL only shows, expected one that can be set. Remove it.",
    ]);
  });

  it.each(["1\n2", "1\r2", "1\0"])("is refused with the value %j", (value) => {
    expect(faults({ work_mem: value, "a.b": value })).toEqual([
      "parameters.work_mem: found a value of several lines, expected one line. Correct the value.",
      "parameters.a.b: found a value of several lines, expected one line. Correct the value.",
    ]);
  });

  it.each(["", "x y", "a.", ".b", "work_mem = 1", "a.b c", "include"])("cannot have the name %j", (name) => {
    expect(faults({ [name]: "1" })).toHaveLength(1);
  });

  it("cannot stand twice in two spellings", () => {
    expect(faults({ work_mem: "1MB", Work_Mem: "2MB" })).toEqual([
      "parameters.Work_Mem: found the parameter work_mem for a second time, expected each parameter once. Remove one of the two lines.",
    ]);
  });
});

const memory: LiveSetting = { setting: "8192", unit: "kB", vartype: "integer" };
const pages: LiveSetting = { setting: "16384", unit: "8kB", vartype: "integer" };
const time: LiveSetting = { setting: "5000", unit: "ms", vartype: "integer" };
const minutes: LiveSetting = { setting: "1440", unit: "min", vartype: "integer" };
const real: LiveSetting = { setting: "0.9", unit: null, vartype: "real" };
const count: LiveSetting = { setting: "200", unit: null, vartype: "integer" };
const flag: LiveSetting = { setting: "on", unit: null, vartype: "bool" };
const choice: LiveSetting = { setting: "replica", unit: null, vartype: "enum" };
const tri: LiveSetting = { setting: "on", unit: null, vartype: "enum" };
const text: LiveSetting = { setting: "pg_stat_statements, auto_explain", unit: null, vartype: "string" };
const off: LiveSetting = { setting: "-1", unit: "ms", vartype: "integer" };

describe("a declared value means the same as a live one", () => {
  it.each<[string, LiveSetting]>([
    ["8MB", memory],
    ["8192", memory],
    ["8192kB", memory],
    [" 8 MB ", memory],
    ["0.0078125GB", memory],
    ["128MB", pages],
    ["16384", pages],
    ["5s", time],
    ["5000", time],
    ["1d", minutes],
    ["24h", minutes],
    ["0.9", real],
    [".9", real],
    ["9e-1", real],
    ["200", count],
    ["true", flag],
    ["ON", flag],
    ["yes", flag],
    ["1", flag],
    ["REPLICA", choice],
    ["true", tri],
    ["1", tri],
    ["hot_standby", choice],
    ["on", { ...choice, setting: "pglz" }],
    ["pg_stat_statements,auto_explain", text],
    ['"pg_stat_statements", auto_explain', text],
    ["-1", off],
  ])("%j, live %j", (declared, live) => {
    expect(sameSetting(declared, live)).toBe(true);
  });
});

describe("a declared value means another than a live one", () => {
  it.each<[string, LiveSetting]>([
    ["8GB", memory],
    ["8", memory],
    ["8mb", memory],
    ["8min", memory],
    ["", memory],
    ["127MB", pages],
    ["5min", time],
    ["0.8", real],
    ["201", count],
    ["off", flag],
    ["maybe", flag],
    ["logical", choice],
    ["off", tri],
    ["off", { ...choice, setting: "pglz" }],
    ["lz4", { ...choice, setting: "pglz" }],
    ["auto_explain,pg_stat_statements", text],
    ["0", off],
  ])("%j, live %j", (declared, live) => {
    expect(sameSetting(declared, live)).toBe(false);
  });
});

it.each<[LiveSetting, string]>([
  [memory, "8MB"],
  [pages, "128MB"],
  [{ setting: "1000", unit: "kB", vartype: "integer" }, "1000kB"],
  [time, "5s"],
  [minutes, "1d"],
  [{ setting: "1500", unit: "ms", vartype: "integer" }, "1500ms"],
  [real, "0.9"],
  [count, "200"],
  [flag, "on"],
  [off, "-1"],
  [{ setting: "0", unit: "kB", vartype: "integer" }, "0"],
])("%j is written %s", (live, written) => {
  expect(formatSetting(live)).toBe(written);
});
