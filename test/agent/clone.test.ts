import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memberData, systemIdentifier } from "../support/memberData.ts";

/* A clone beside a member's data, and data that is given up for one in its place. */
const { at, unitIs, marked, marker, ask } = memberData();

/** A base backup into the directories beside the member's own. */
function cloned(): void {
  mkdirSync(at("data.pgha-clone", "global"));
  writeFileSync(at("data.pgha-clone", "PG_VERSION"), "17\n");
  writeFileSync(at("data.pgha-clone", "new"), "");
  writeFileSync(at("data.pgha-clone", "postgresql.auto.conf"), "work_mem = '1GB'\n");
  writeFileSync(at("wal.pgha-clone", "000000020000000000000009"), "");
  symlinkSync(at("wal.pgha-clone"), at("data.pgha-clone", "pg_wal"));
}

describe("a clone beside the data", () => {
  it("lies in empty directories of ours; what an earlier one left there goes", async () => {
    expect(await ask("beside")).toEqual({ result: "made" });
    expect(marker()).toMatchObject({ state: "ready", token: "t1", beside: at("data.pgha-clone"), systemIdentifier });
    cloned();
    expect(await ask("beside", { token: "t2" })).toEqual({ result: "made" });
    expect(marker()).toMatchObject({ token: "t1" });
    expect([readdirSync(at("data.pgha-clone")), readdirSync(at("wal.pgha-clone"))]).toEqual([[], []]);
    expect(existsSync(at("data", "PG_VERSION"))).toBe(true);
  });

  it("is not made beside one that still runs, though whoever began it is gone: that one is ended first", async () => {
    writeFileSync(at("clone-runs"), "");
    expect(await ask("beside")).toEqual({ result: "made" });
    expect(existsSync(at("clone-runs"))).toBe(false);
  });

  it("is not made over what others left there, nor beside data that runs, nor twice at once", async () => {
    mkdirSync(at("data.pgha-clone"));
    writeFileSync(at("data.pgha-clone", "mine"), "");
    const refused = (reason: string) => ({ result: "refused", reason });
    expect(await ask("beside")).toEqual(refused(`${at("data.pgha-clone")} holds what pgha did not make`));
    unitIs("active");
    expect(await ask("beside")).toEqual(refused("pgha-orders-pg1.service is active"));
    expect(readdirSync(at("data.pgha-clone"))).toEqual(["mine"]);
    expect(marker()).toEqual({
      cluster: "orders",
      member: "pg1",
      state: "ready",
      systemIdentifier,
      dataDirectory: at("data"),
    });
  });

  it("makes room where an earlier clone left what it replaced, but not of what may be the last whole copy there", async () => {
    await ask("beside");
    cloned();
    await ask("swap");
    marked("rewinding", { token: "t1", replaced: at("data.pgha-old") });
    expect(await ask("beside")).toEqual({ result: "refused", reason: `${at("data.pgha-old")} is in the way` });
    expect(existsSync(at("data.pgha-old", "PG_VERSION"))).toBe(true);
    marked("ready", { token: "t1", replaced: at("data.pgha-old") });
    expect(await ask("beside")).toEqual({ result: "made" });
    expect(readdirSync(at()).filter((name) => name.endsWith(".pgha-old"))).toEqual([]);
  });

  it("takes the place of the data, which stays beside it with its WAL", async () => {
    await ask("beside");
    cloned();
    expect(await ask("swap")).toEqual({ result: "swapped" });
    expect(marker()).toMatchObject({ state: "ready", systemIdentifier, token: "t1", replaced: at("data.pgha-old") });
    expect(marker()).not.toHaveProperty("beside");
    expect(readdirSync(at("data")).sort()).toEqual([
      "PG_VERSION",
      "global",
      "new",
      "pg_wal",
      "postgresql.auto.conf",
      "standby.signal",
    ]);
    expect(readFileSync(at("data", "postgresql.auto.conf"), "utf8")).toBe("");
    expect([readlinkSync(at("data", "pg_wal")), readlinkSync(at("data.pgha-old", "pg_wal"))]).toEqual([
      at("wal"),
      at("wal.pgha-old"),
    ]);
    expect(readdirSync(at("data", "pg_wal"))).toEqual(["000000020000000000000009"]);
    expect(readdirSync(at("data.pgha-old", "pg_wal"))).toHaveLength(2);
  });

  it.each([
    ["before the first rename", [], ["data", "wal"]],
    ["between the renames of the data", ["data"], ["data", "wal"]],
    ["before those of the WAL", ["data"], ["wal"]],
    ["between those of the WAL", ["data", "wal"], ["wal"]],
    ["before the links", ["data", "wal"], []],
  ])("takes its place also when that was cut off %s", async (_, replaced, waiting) => {
    await ask("beside");
    cloned();
    const token = marker().token ?? "";
    for (const name of replaced) execFileSync("mv", [at(name), at(`${name}.pgha-old`)]);
    for (const name of ["data", "wal"].filter((one) => !waiting.includes(one))) {
      execFileSync("mv", [at(`${name}.pgha-clone`), at(name)]);
    }
    marked("swapping", { token, beside: at("data.pgha-clone") });
    expect(await ask("swap")).toEqual({ result: "swapped" });
    expect(marker()).toMatchObject({ state: "ready", replaced: at("data.pgha-old") });
    expect(existsSync(at("data", "new"))).toBe(true);
    expect(readdirSync(at("data", "pg_wal"))).toEqual(["000000020000000000000009"]);
    expect(readdirSync(at("data.pgha-old", "pg_wal"))).toHaveLength(2);
  });

  it("does not take its place without one, and not while PostgreSQL runs", async () => {
    expect(await ask("swap")).toEqual({ result: "refused", reason: `no clone lies beside ${at("data")}` });
    await ask("beside");
    unitIs("active");
    expect(await ask("swap")).toEqual({ result: "refused", reason: "pgha-orders-pg1.service is active" });
    expect(marker().state).toBe("ready");
  });

  it("lets what it replaced be removed, also while PostgreSQL runs, and nothing else", async () => {
    await ask("beside");
    cloned();
    await ask("swap");
    unitIs("active");
    expect(await ask("discard")).toEqual({ result: "discarded" });
    expect(
      readdirSync(at())
        .filter((name) => /^(data|wal)/.test(name))
        .sort(),
    ).toEqual(["data", "wal"]);
    expect(marker()).toEqual({
      cluster: "orders",
      member: "pg1",
      state: "ready",
      systemIdentifier,
      dataDirectory: at("data"),
    });
    mkdirSync(at("data.pgha-old"));
    writeFileSync(at("data.pgha-old", "mine"), "");
    expect(await ask("discard")).toEqual({
      result: "refused",
      reason: `${at("data.pgha-old")} holds what pgha did not make`,
    });
  });
});

describe("data that is given up", () => {
  const clear = () =>
    ask("clear", { cluster: "orders", member: "pg1", state: "cloning", systemIdentifier: "", token: "t9" });

  it("may be cloned over from then on, and only then", async () => {
    expect(await clear()).toMatchObject({ result: "refused" });
    expect(await ask("give_up")).toEqual({ result: "given up" });
    expect(marker()).toMatchObject({ state: "cloning", token: "t1" });
    expect(await clear()).toEqual({ result: "cleared" });
    expect(readdirSync(at("data"))).toEqual([]);
  });

  it("is the member's own database, and does not run", async () => {
    marked("ready", { systemIdentifier: "7000000000000000002" });
    expect(await ask("give_up")).toEqual({
      result: "refused",
      reason: `${at("data")} holds the database with system identifier ${systemIdentifier}`,
    });
    marked("ready");
    unitIs("active");
    expect(await ask("give_up")).toEqual({ result: "refused", reason: "pgha-orders-pg1.service is active" });
    expect(marker().state).toBe("ready");
  });

  it("takes an unfinished clone beside it along", async () => {
    await ask("beside");
    cloned();
    expect(await ask("give_up")).toEqual({ result: "given up" });
    expect(readdirSync(at()).filter((name) => name.includes("pgha-clone"))).toEqual([]);
    expect(marker()).not.toHaveProperty("beside");
  });
});
