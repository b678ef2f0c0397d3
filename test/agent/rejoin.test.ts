import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type AgentArguments, askAgent } from "../../cluster/agent.ts";
import type { RemoteHost } from "../../remote/host.ts";
import { createLocalHost } from "../support/localAgentHost.ts";

/* The helper works on data directories: here on this machine, with programs of PostgreSQL that read and write files. */
let directory: string;
let host: RemoteHost;

const at = (...names: string[]) => join(directory, ...names);
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
const systemIdentifier = "7000000000000000001";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pgha-agent-rejoin-"));
  for (const name of ["bin", "state", "data", "wal"]) mkdirSync(at(name));
  program("systemctl", `case "$*" in *.data.service) rm -f ${at("clone-runs")};; *) cat ${at("unit")};; esac`);
  program("python3", `exec ${python} "$@"`);
  program("pg_controldata", `cat ${at("control")}`);
  program(
    "pg_waldump",
    `last=; for word; do [ "$last" != --start ] || start=$word; last=$word; done; cat "${directory}/$start"; exit 1`,
  );
  lockIs(5);
  unitIs("inactive");
  control("shut down");
  host = createLocalHost(at("bin"));
  database();
  marked("ready");
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function program(name: string, script: string): void {
  writeFileSync(at("bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(at("bin", name), 0o755);
}

/** The one who holds the cluster. */
function lockIs(epoch: number): void {
  const renewed = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const lock = { epoch, holder: "anna@desk", since: "then", renewed, boot };
  writeFileSync(at("state", "lock.json"), JSON.stringify(lock));
}

function unitIs(activeState: string): void {
  writeFileSync(at("unit"), `LoadState=loaded\nActiveState=${activeState}\nUnitFileState=enabled\n`);
}

function control(state: string, overrides: Record<string, string> = {}): void {
  const fields = {
    "Database cluster state": state,
    "Latest checkpoint's REDO location": "0/4000028",
    "Latest checkpoint's TimeLineID": "1",
    "Minimum recovery ending location": "0/0",
    "Min recovery ending loc's timeline": "0",
    "wal_log_hints setting": "off",
    "Data page checksum version": "1",
    ...overrides,
  };
  const lines = Object.entries(fields).map(([label, value]) => `${`${label}:`.padEnd(38)}${value}\n`);
  writeFileSync(at("control"), lines.join(""));
}

/** pg1's finished data, whose WAL lies in a directory of its own. */
function database(): void {
  mkdirSync(at("data", "global"));
  const pgControl = Buffer.alloc(64);
  pgControl.writeBigUInt64LE(BigInt(systemIdentifier), 0);
  writeFileSync(at("data", "global", "pg_control"), pgControl);
  writeFileSync(at("data", "PG_VERSION"), "17\n");
  writeFileSync(at("data", "postgresql.auto.conf"), "work_mem = '1GB'\n");
  symlinkSync(at("wal"), at("data", "pg_wal"));
  for (const file of ["000000010000000000000004", "000000010000000000000005"]) writeFileSync(at("wal", file), file);
}

function marked(state: string, more: Record<string, string> = {}): void {
  const fields = { cluster: "orders", member: "pg1", state, systemIdentifier, dataDirectory: at("data"), ...more };
  writeFileSync(at("state", "marker.json"), JSON.stringify(fields));
}

function marker(): Record<string, string> {
  return JSON.parse(readFileSync(at("state", "marker.json"), "utf8")) as Record<string, string>;
}

const facts = z.record(z.string(), z.unknown());

function ask(verb: string, more: AgentArguments = {}): Promise<Record<string, unknown>> {
  return askAgent(
    host,
    verb,
    {
      dataDirectory: at("data"),
      walDirectory: at("wal"),
      programs: at("bin"),
      marker: at("state", "marker.json"),
      unit: "pgha-orders-pg1.service",
      dataUnit: "pgha-orders-pg1.data.service",
      work: at("state", "rejoin.lock"),
      lock: at("state", "lock.json"),
      epoch: 5,
      user: userInfo().username,
      token: "t1",
      ...more,
    },
    facts,
    { limitSeconds: 60, purpose: "test the helper" },
  );
}

/** Somebody else who works on the data: an earlier rewind or clone whose orchestrator is gone. */
async function whileBusy(act: () => Promise<void>): Promise<void> {
  const other = spawn("flock", [at("state", "rejoin.lock"), "sh", "-c", "echo held; exec cat"]);
  try {
    await new Promise((resolve) => other.stdout.once("data", resolve));
    await act();
  } finally {
    other.stdin.end();
  }
}

describe("what a stray member tells", () => {
  const look = (more: AgentArguments = {}) =>
    ask("stray", { kept: at("state", "kept"), segmentBytes: 1024 ** 2, timeline: 0, ...more });

  /** What pg_waldump prints from there on. */
  const records = (start: string, text: string) => {
    mkdirSync(at(start.split("/")[0] ?? ""), { recursive: true });
    writeFileSync(at(start), text);
  };

  it("is where its WAL ends, on which timelines, and whether it can be rewound", async () => {
    records("0/500000", "rmgr: Heap 1\nrmgr: Heap 2\n");
    expect(await look()).toEqual({
      busy: false,
      besideBytes: expect.any(Number),
      dataBytes: expect.any(Number),
      keptBytes: expect.any(Number),
      neverStarted: false,
      timeline: 1,
      history: "",
      oldestFile: "0000000000000004",
      lastRecord: "rmgr: Heap 2",
      redoLsn: "0/4000028",
      minRecoveryLsn: "0/0",
      canBeRewound: true,
    });
    expect(readdirSync(at("state"))).toEqual(["lock.json", "marker.json"]);
  });

  it("looks past files that PostgreSQL only prepared for later", async () => {
    writeFileSync(at("wal", "000000010000000000000006"), "");
    records("0/500000", "rmgr: Heap 7\n");
    expect(await look()).toMatchObject({ lastRecord: "rmgr: Heap 7" });
  });

  it("is on the newest timeline of which it has WAL, whatever pg_control says yet", async () => {
    writeFileSync(at("wal", "000000020000000000000005"), "");
    writeFileSync(at("wal", "00000002.history"), "1\t0/5000148\tno recovery target specified\n");
    records("0/500000", "rmgr: Heap 9\n");
    expect(await look()).toMatchObject({
      timeline: 2,
      history: "1\t0/5000148\tno recovery target specified\n",
      lastRecord: "rmgr: Heap 9",
    });
    rmSync(at("wal", "00000002.history"));
    expect(await look()).toMatchObject({ timeline: 2, history: null });
  });

  it("is not asked for the end of its WAL while it runs", async () => {
    expect(await look({ timeline: 1 })).toMatchObject({ timeline: 1, lastRecord: null });
  });

  it("knows data without checksums and hints, and data that was never started since it was copied", async () => {
    control("shut down", { "Data page checksum version": "0" });
    writeFileSync(at("data", "backup_label"), "");
    expect(await look()).toMatchObject({ canBeRewound: false, neverStarted: true });
    control("shut down", { "Data page checksum version": "0", "wal_log_hints setting": "on" });
    expect(await look()).toMatchObject({ canBeRewound: true });
  });

  it("says so while an earlier rewind or clone works on it, and where nothing can be read", async () => {
    await whileBusy(async () => expect(await look()).toMatchObject({ busy: true }));
    rmSync(at("wal"), { recursive: true });
    program("pg_controldata", "exit 1");
    expect(await look()).toMatchObject({ busy: false, timeline: 0, history: null, lastRecord: null, redoLsn: null });
  });
});

describe("transactions of its own", () => {
  const count = () => ask("commits", { firstFile: "000000010000000000000005", pieces: ["1 0/5000148 0/50021B8"] });

  it("are counted from where it parted", async () => {
    mkdirSync(at("0"));
    writeFileSync(at("0", "5000148"), "x desc: COMMIT 2026\ny desc: ABORT\nz desc: COMMIT 2026\n");
    expect(await count()).toEqual({ transactions: 2 });
  });

  it("are not counted short where the first file is gone", async () => {
    rmSync(at("wal", "000000010000000000000005"));
    expect(await count()).toEqual({ transactions: null });
  });
});

describe("WAL is kept aside", () => {
  const target = () => at("state", "kept", "timeline-1");
  const keep = () =>
    ask("keep", {
      target: target(),
      files: ["000000010000000000000005 000000010000000000000006"],
      readme: "What this is.\n",
    });

  it("with the files that hold it and the histories, and with a text that says what it is", async () => {
    writeFileSync(at("wal", "00000002.history"), "1\t0/5000148\n");
    expect(await keep()).toEqual({ result: "kept" });
    expect(readdirSync(target()).sort()).toEqual(["000000010000000000000005", "00000002.history", "README"]);
    expect(readFileSync(join(target(), "000000010000000000000005"), "utf8")).toBe("000000010000000000000005");
    expect(readFileSync(join(target(), "README"), "utf8")).toBe("What this is.\n");
  });

  it("once: what lies there whole is not copied again, what was cut off is", async () => {
    mkdirSync(`${target()}.new`, { recursive: true });
    writeFileSync(join(`${target()}.new`, "half"), "");
    expect(await keep()).toEqual({ result: "kept" });
    expect(readdirSync(at("state", "kept"))).toEqual(["timeline-1"]);
    writeFileSync(at("wal", "000000010000000000000005"), "changed");
    expect(await keep()).toEqual({ result: "kept" });
    expect(readFileSync(join(target(), "000000010000000000000005"), "utf8")).toBe("000000010000000000000005");
    expect(existsSync(join(target(), "half"))).toBe(false);
  });
});

describe("a rewind", () => {
  /** What was called, and what the marker said at that moment. */
  const calls = () => readFileSync(at("calls"), "utf8").trim().split("\n");
  const rewind = () =>
    ask("rewind", {
      config: "/etc/pgha/orders/pg1/postgresql.conf",
      passfile: "/etc/pgha/orders/pg1/passfile",
      source: "host=203.0.113.12",
      log: at("state", "rewind.log"),
    });
  const noted = `echo "$(basename $0) $* $(grep -o '"state":"[a-z]*"' ${"$MARKER"})" >> `;
  const note = (then: string) => `${noted.replace("$MARKER", at("state", "marker.json"))}${at("calls")}\n${then}`;

  beforeEach(() => {
    program("pg_rewind", note("true"));
    program("postgres", note("true"));
  });

  it("is tried dry first, then barred by the marker until it is whole, and leaves a standby without ALTER SYSTEM", async () => {
    expect(await rewind()).toEqual({ result: "rewound" });
    const words = `pg_rewind --target-pgdata ${at("data")} --source-server host=203.0.113.12 --config-file /etc/pgha/orders/pg1/postgresql.conf`;
    expect(calls()).toEqual([`${words} --dry-run "state":"ready"`, `${words} "state":"rewinding"`]);
    expect(marker()).toEqual({
      cluster: "orders",
      member: "pg1",
      state: "ready",
      systemIdentifier,
      dataDirectory: at("data"),
    });
    expect(existsSync(at("data", "standby.signal"))).toBe(true);
    expect(readFileSync(at("data", "postgresql.auto.conf"), "utf8")).toBe("");
  });

  it("of a primary that crashed begins with its own recovery", async () => {
    control("in production");
    expect(await rewind()).toEqual({ result: "rewound" });
    expect(calls()[0]).toBe(
      `postgres --single -D ${at("data")} -c config_file=/etc/pgha/orders/pg1/postgresql.conf template1 "state":"ready"`,
    );
  });

  it("that cannot be done changes nothing", async () => {
    program("pg_rewind", "echo 'pg_rewind: fetching'; echo 'pg_rewind: error: could not find common ancestor'; exit 1");
    expect(await rewind()).toEqual({
      result: "impossible",
      reason: "pg_rewind: error: could not find common ancestor",
    });
    expect(marker().state).toBe("ready");
    expect(existsSync(at("data", "standby.signal"))).toBe(false);
  });

  it("that breaks off leaves the marker, which bars the start", async () => {
    program("pg_rewind", 'case "$*" in *--dry-run) exit 0;; esac; kill -9 $$');
    expect(await rewind()).toEqual({ result: "broken off", reason: "it said nothing" });
    expect(marker().state).toBe("rewinding");
    expect(await rewind()).toEqual({ result: "refused", reason: `${at("state", "marker.json")} says rewinding` });
  });

  it("bars another one, and is told of, while it works", async () => {
    program("pg_rewind", `case "$*" in *--dry-run) exit 0;; esac; mkfifo ${at("go")}; cat ${at("go")}`);
    const asked = rewind();
    await untilExists(at("go"));
    expect(await ask("stray", { kept: at("state"), segmentBytes: 1024 ** 2, timeline: 0 })).toMatchObject({
      busy: true,
    });
    expect(await rewind()).toEqual({ result: "refused", reason: "an earlier rewind or clone still works on it" });
    expect(marker().state).toBe("rewinding");
    writeFileSync(at("go"), "");
    expect(await asked).toEqual({ result: "rewound" });
  });

  it("is not begun by one who no longer holds the cluster, and by nobody on data that somebody just started", async () => {
    lockIs(6);
    const lost = { result: "refused", reason: "the cluster is no longer held by the one who asked" };
    expect(await rewind()).toEqual(lost);
    expect(marker().state).toBe("ready");
    lockIs(5);
    program("pg_rewind", note(`cp ${at("running")} ${at("unit")}`));
    writeFileSync(at("running"), readFileSync(at("unit"), "utf8").replace("inactive", "active"));
    expect(await rewind()).toEqual({ result: "refused", reason: "pgha-orders-pg1.service is active" });
    expect(marker().state).toBe("ready");
    expect(calls().filter((call) => !call.includes("--dry-run"))).toEqual([]);
  });

  it("is refused while it runs, and for a standby that was not stopped cleanly", async () => {
    unitIs("activating");
    expect(await rewind()).toEqual({ result: "refused", reason: "pgha-orders-pg1.service is activating" });
    unitIs("inactive");
    control("in archive recovery");
    writeFileSync(at("data", "standby.signal"), "");
    expect(await rewind()).toEqual({ result: "refused", reason: "it is a standby that was not stopped cleanly" });
    expect(existsSync(at("calls"))).toBe(false);
  });
});

async function untilExists(path: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (existsSync(path)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${path} was never made`);
}

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
    expect(readdirSync(directory).filter((name) => name.endsWith(".pgha-old"))).toEqual([]);
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
      readdirSync(directory)
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
    expect(readdirSync(directory).filter((name) => name.includes("pgha-clone"))).toEqual([]);
    expect(marker()).not.toHaveProperty("beside");
  });
});
