import { describe, expect, it } from "vitest";
import { check, type Given, integers, objections } from "../../test/support/switchover.ts";
import type { LiveSetting } from "../parameters.ts";

const choice = (setting: string): LiveSetting => ({ setting, unit: null, vartype: "enum" });
const text = (hash: string): LiveSetting => ({ setting: hash, unit: null, vartype: "string" });
const repair = "`pulumi up` without the change of primary lays the declared ones; some need a restart";

describe("settings", () => {
  const settings = (primary: Record<string, LiveSetting>, target: Record<string, LiveSetting>): Given => ({
    primaryMeasured: { settings: primary },
    targetMeasured: { settings: target },
  });

  it("that differ warn, with both values and their units, and without the values of texts", () => {
    const given = settings(
      { work_mem: { setting: "4096", unit: "kB", vartype: "integer" }, restore_command: text("1"), ssl: choice("on") },
      { work_mem: { setting: "65536", unit: "kB", vartype: "integer" }, restore_command: text("2"), ssl: choice("on") },
    );
    expect(objections(given)).toEqual([
      {
        name: "settings",
        verdict: "warn",
        measured: "restore_command differs, work_mem 4MB on pg1 and 64MB on pg2",
        limit: "equal",
        remedy: `${repair}.`,
      },
    ]);
  });

  it("that only one member has warn: a library is loaded there alone", () => {
    const given = settings(integers({ "pg_stat_statements.max": 100 }), integers({ "auto_explain.sample_rate": 1 }));
    expect(check("settings", given)).toMatchObject({
      verdict: "warn",
      measured: "auto_explain.sample_rate only on pg2, pg_stat_statements.max only on pg1",
    });
  });

  it("are listed up to the fourth", () => {
    const values = (value: number) => integers({ a: value, b: value, c: value, d: value, e: value, f: value });
    expect(check("settings", settings(values(1), values(2))).measured).toMatch(
      /^a 1 on pg1 and 2 on pg2, b .* and 2 more$/,
    );
  });

  it("of the archive block, when the primary archives: the next one would not", () => {
    const given = settings(
      { archive_mode: choice("on"), archive_command: text("1"), work_mem: choice("1") },
      { archive_mode: choice("off"), archive_command: text("2"), work_mem: choice("2") },
    );
    expect(objections(given)).toEqual([
      {
        name: "settings",
        verdict: "block",
        measured: "archive_command differs, archive_mode on on pg1 and off on pg2",
        limit: "equal",
        remedy: `pg1 archives, and pg2 would not archive alike. ${repair}.`,
      },
    ]);
    const off = settings({ archive_mode: choice("off") }, { archive_mode: choice("on") });
    expect(check("settings", off).verdict).toBe("warn");
  });

  it("block with a lower wal_level, and only then", () => {
    const level = (primary: string, target: string) =>
      check("settings", settings({ wal_level: choice(primary) }, { wal_level: choice(target) }));
    expect(level("logical", "replica")).toEqual({
      name: "settings",
      verdict: "block",
      measured: "wal_level logical on pg1 and replica on pg2",
      limit: "equal",
      remedy: `${repair}.`,
    });
    expect(level("replica", "logical").verdict).toBe("warn");
  });

  it("block when the target does not preload what the primary does; more is allowed", () => {
    const preloaded = (...shared: string[]) => ({ preloaded: { shared, session: [] } });
    const given = (primary: string[], target: string[]): Given => ({
      primaryMeasured: preloaded(...primary),
      targetMeasured: preloaded(...target),
    });
    expect(objections(given(["pg_stat_statements", "auto_explain"], ["auto_explain"]))).toEqual([
      {
        name: "settings",
        verdict: "block",
        measured: "pg2 does not preload pg_stat_statements",
        limit: "equal",
        remedy: "Declare shared_preload_libraries under parameters:, and restart pg2.",
      },
    ]);
    expect(objections(given(["auto_explain"], ["pg_stat_statements", "auto_explain"]))).toEqual([]);
  });
});

describe("extensions", () => {
  const limit = "all on the host of pg2";
  const hstore = { name: "hstore", version: "1.8", databases: ["app", "shop"] };

  it("block when a library is missing on the target's host", () => {
    const libraries = ["$libdir/postgis-3", "pg_stat_statements"];
    expect(objections({ software: { libraries, missingLibraries: ["$libdir/postgis-3"] } })).toEqual([
      {
        name: "extensions",
        verdict: "block",
        measured: "library $libdir/postgis-3 missing on the host of pg2",
        limit,
        remedy: "Install the package that holds it there (packages: of the host).",
      },
    ]);
  });

  it("warn when the target's host has another version, or none", () => {
    const objection = (offered: Record<string, string[]>) =>
      objections({ software: { extensions: [hstore], offered } });
    expect(objection({ hstore: ["1.7", "1.8"] })).toEqual([]);
    expect(objection({ hstore: ["1.6", "1.7"] })).toEqual([
      {
        name: "extensions",
        verdict: "warn",
        measured: "hstore 1.8 of app, shop missing (it has 1.6, 1.7)",
        limit,
        remedy: "Install the same packages on the host of pg2.",
      },
    ]);
    expect(objection({})).toMatchObject([{ measured: "hstore 1.8 of app, shop missing (it has none)" }]);
  });

  it("warn of a database that could not be looked into", () => {
    expect(objections({ software: { unread: { shop: "pg1: too many connections" } } })).toEqual([
      {
        name: "extensions",
        verdict: "warn",
        measured: "not looked into: shop (pg1: too many connections)",
        limit,
        remedy: "Look there by hand: select * from pg_extension.",
      },
    ]);
  });
});
