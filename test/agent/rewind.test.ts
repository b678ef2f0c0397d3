import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { AgentArguments } from "../../cluster/agent.ts";
import { memberData, systemIdentifier } from "../support/memberData.ts";
import { walFileWithRecord } from "../support/walFile.ts";

/* What the helper does with a member that parted from the primary: it looks at its WAL, keeps it aside, and rewinds. */
const { at, program, unitIs, lockIs, control, marked, marker, ask } = memberData();

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
      partialTo: null,
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

/** The last whole record ends at 0/5FA148; behind it begins one of so many bytes, of which the file holds what it can. */
function layPartialRecord(bytes: number, file = walFileWithRecord("0/5FA148", bytes, 1024 ** 2)): void {
  writeFileSync(at("wal", "000000010000000000000005"), file);
  mkdirSync(at("0"), { recursive: true });
  writeFileSync(
    at("0", "500000"),
    "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/005FA0D0, prev 0/005FA098, desc: CHECKPOINT_ONLINE\n",
  );
}

describe("a record that goes on in a file that is not there", () => {
  const look = () => ask("stray", { kept: at("state", "kept"), segmentBytes: 1024 ** 2, timeline: 0 });
  const partialTo = async () => (await look()).partialTo;
  const room = 0x600000 - 0x5fa148 - 2 * 24;

  it("is found with where its file ends", async () => {
    layPartialRecord(room + 1);
    expect(await partialTo()).toBe("0/600000");
    layPartialRecord(900_000);
    expect(await partialTo()).toBe("0/600000");
  });

  it("is none where it ends in its file, where nothing begins, and where the pages behind are of other WAL", async () => {
    layPartialRecord(room);
    expect(await partialTo()).toBeNull();
    layPartialRecord(0);
    expect(await partialTo()).toBeNull();
    const zeros = walFileWithRecord("0/5FA148", 900_000, 1024 ** 2).fill(0, 0xfc000);
    layPartialRecord(900_000, zeros);
    expect(await partialTo()).toBeNull();
    const old = walFileWithRecord("0/5FA148", 900_000, 1024 ** 2);
    old.writeBigUInt64LE(0x2fe000n, 0xfe000 + 8);
    layPartialRecord(900_000, old);
    expect(await partialTo()).toBeNull();
  });
});

describe("an unfinished record is cut off", () => {
  const target = () => at("state", "kept", "timeline-1");
  const cut = (fromLsn = "0/5FA148") =>
    ask("cut", {
      timeline: 1,
      fromLsn,
      segmentBytes: 1024 ** 2,
      target: target(),
      files: ["000000010000000000000005 000000010000000000000005"],
      readme: "What this is.\n",
    });
  const file = () => readFileSync(at("wal", "000000010000000000000005"));

  it("once its file is kept aside: zeros behind the last whole record, and nothing else is changed", async () => {
    layPartialRecord(900_000);
    const before = file();
    expect(await cut()).toEqual({ result: "cut" });
    expect(readFileSync(join(target(), "000000010000000000000005")).equals(before)).toBe(true);
    expect(file().equals(Buffer.concat([before.subarray(0, 0xfa148), Buffer.alloc(0x100000 - 0xfa148)]))).toBe(true);
    expect(await cut()).toEqual({ result: "cut" });
    expect(readFileSync(join(target(), "000000010000000000000005")).equals(before)).toBe(true);
  });

  const refused = (reason: string) => ({ result: "refused", reason });

  /** Nothing is kept, and nothing cut. */
  async function expectLeft(reason: string, fromLsn?: string): Promise<void> {
    layPartialRecord(900_000);
    const before = file();
    expect(await cut(fromLsn)).toEqual(refused(reason));
    expect(file().equals(before)).toBe(true);
    expect(existsSync(target())).toBe(false);
  }

  it("only where the last whole record ends there", async () => {
    await expectLeft("its WAL does not end at 0/5FA140", "0/5FA140");
  });

  it("only of finished data that does not run", async () => {
    unitIs("active");
    await expectLeft("pgha-orders-pg1.service is active");
    unitIs("inactive");
    marked("rewinding");
    await expectLeft(`${at("state", "marker.json")} says rewinding`);
  });

  it("only under the living lock", async () => {
    lockIs(6);
    await expectLeft("the cluster is no longer held by the one who asked");
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
  const rewind = (limitSeconds = 60) =>
    ask("rewind", {
      limitSeconds,
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

  it("that takes too long is ended on its host, whoever still listens: a trial changed nothing, a rewind broke off", async () => {
    const limit = { reason: "error: pg_rewind was ended: all of it may take 0.5 s" };
    program("pg_rewind", "exec sleep 60");
    expect(await rewind(0.5)).toEqual({ result: "impossible", ...limit });
    expect(marker().state).toBe("ready");
    program("pg_rewind", 'case "$*" in *--dry-run) exit 0;; esac; exec sleep 60');
    expect(await rewind(0.5)).toEqual({ result: "broken off", ...limit });
    expect(marker().state).toBe("rewinding");
  });

  it("bars another one, and is told of, while it works", async () => {
    program("pg_rewind", `case "$*" in *--dry-run) exit 0;; esac; mkfifo ${at("go")}; cat ${at("go")}`);
    const asked = rewind();
    await untilExists(at("go"));
    expect(await ask("stray", { kept: at("state"), segmentBytes: 1024 ** 2, timeline: 0 })).toMatchObject({
      busy: true,
    });
    expect(await rewind()).toEqual({
      result: "refused",
      reason: "an earlier rewind, clone or removal still works on it",
    });
    expect(marker().state).toBe("rewinding");
    writeFileSync(at("go"), "");
    expect(await asked).toEqual({ result: "rewound" });
  });

  it("is not erased under by whoever holds the cluster next, while it works though nobody asks any more", async () => {
    program("pg_rewind", `case "$*" in *--dry-run) exit 0;; esac; mkfifo ${at("go")}; cat ${at("go")}`);
    const asked = rewind();
    await untilExists(at("go"));
    lockIs(6);
    const erasure = { cluster: "orders", member: "pg1", state: "erasing", systemIdentifier, epoch: 6 };
    const busy = { result: "refused", reason: "an earlier rewind, clone or removal still works on it" };
    expect(await ask("clear", erasure)).toEqual(busy);
    expect([marker().state, existsSync(at("data", "PG_VERSION"))]).toEqual(["rewinding", true]);
    writeFileSync(at("go"), "");
    expect(await asked).toEqual({ result: "rewound" });
    expect(await ask("clear", erasure)).toEqual({ result: "cleared" });
  });

  it("makes nothing whole that is no longer marked as being rewound", async () => {
    program("pg_rewind", `case "$*" in *--dry-run) exit 0;; esac; cp ${at("erasing")} ${at("state", "marker.json")}`);
    writeFileSync(at("erasing"), JSON.stringify({ ...marker(), state: "erasing" }));
    expect(await rewind()).toEqual({ result: "refused", reason: `${at("state", "marker.json")} says erasing` });
    expect([marker().state, existsSync(at("data", "standby.signal"))]).toEqual(["erasing", false]);
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
