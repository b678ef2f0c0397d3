import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { askAgent } from "../../cluster/agent.ts";
import { lockText, python, scratchHost } from "../support/scratchHost.ts";

/* The helper removes what lies in a member's directories: here on this machine, with a `systemctl` that reads a file. */
const scratch = scratchHost(["state", "data", "wal"]);
const { at, program, unitIs } = scratch;
const dataUnit = "pgha-orders-pg1.data.service";
const systemIdentifier = "7000000000000000001";

beforeEach(() => {
  program(
    "systemctl",
    `for unit; do :; done
     case "$1 $unit" in
       "stop "*) [ -e ${at("stubborn")} ] || rm -f ${at("$unit")};;
       "show "*.data.service) cat ${at("$unit")} 2>/dev/null;;
       *) cat ${at("unit")};;
     esac`,
  );
  unitIs("inactive");
  lockIs(5);
});

/** An earlier clone goes on, though whoever began it is gone. */
function cloneRuns(): void {
  writeFileSync(at(dataUnit), "LoadState=loaded\nActiveState=active\n");
}

function lockIs(epoch: number): void {
  writeFileSync(at("state", "lock.json"), lockText({ epoch }));
}

const answer = z.object({ result: z.string(), reason: z.string().optional() });
const cleared = { result: "cleared" };

function clear(state: "creating" | "cloning" | "erasing", overrides: Record<string, string> = {}) {
  return askAgent(
    scratch.host,
    "clear",
    {
      cluster: "orders",
      member: "pg1",
      state,
      systemIdentifier: "",
      dataDirectory: at("data"),
      walDirectory: at("wal"),
      marker: at("state", "marker.json"),
      work: at("state", "rejoin.lock"),
      unit: "pgha-orders-pg1.service",
      dataUnit,
      user: userInfo().username,
      token: "t1",
      lock: at("state", "lock.json"),
      epoch: 5,
      ...overrides,
    },
    answer,
    { limitSeconds: 20, purpose: "test the helper" },
  );
}

function marker(): Record<string, string> {
  return JSON.parse(readFileSync(at("state", "marker.json"), "utf8")) as Record<string, string>;
}

function marked(state: string, token?: string): void {
  const fields = { cluster: "orders", member: "pg1", state, systemIdentifier, dataDirectory: at("data") };
  writeFileSync(at("state", "marker.json"), JSON.stringify({ ...fields, ...(token === undefined ? {} : { token }) }));
}

function put(name: string, token: string): void {
  execFileSync(python, ["-c", `import os,sys; os.setxattr(sys.argv[1], "user.pgha.token", b"${token}")`, at(name)]);
}

/** What a creation or clone leaves when it is cut off: folders in folders, and a link out of them. */
function fill(name: string): void {
  mkdirSync(at(name, "base", "5"), { recursive: true });
  writeFileSync(at(name, "PG_VERSION"), "17\n");
  writeFileSync(at(name, "base", "5", "1249"), "rows");
  writeFileSync(at("outside"), "mine");
  symlinkSync(at("outside"), at(name, "link"));
  symlinkSync(at("bin"), at(name, "folder-link"));
}

/** A finished database, as pg_control tells it; its WAL in the other directory. */
function finished(identifier: bigint): void {
  fill("data");
  mkdirSync(at("data", "global"));
  const control = Buffer.alloc(64);
  control.writeBigUInt64LE(identifier, 0);
  writeFileSync(at("data", "global", "pg_control"), control);
  symlinkSync(at("wal"), at("data", "pg_wal"));
  writeFileSync(at("wal", "000000010000000000000001"), "");
}

const holds = () => [readdirSync(at("data")).length, readdirSync(at("wal")).length];

describe("data is begun", () => {
  it("in empty directories, which carry the token that the marker names from then on", async () => {
    expect(await clear("creating")).toEqual(cleared);
    expect(marker()).toEqual({
      cluster: "orders",
      member: "pg1",
      state: "creating",
      dataDirectory: at("data"),
      token: "t1",
    });
    fill("data");
    fill("wal");
    expect(await clear("cloning", { token: "t2" })).toEqual(cleared);
    expect(marker()).toMatchObject({ state: "cloning", token: "t1" });
    expect(holds()).toEqual([0, 0]);
    expect(readFileSync(at("outside"), "utf8")).toBe("mine");
    expect(existsSync(at("bin", "systemctl"))).toBe(true);
    fill("data");
    expect(await clear("cloning", { token: "t3" })).toEqual(cleared);
    expect(holds()).toEqual([0, 0]);
  });

  it("in a missing directory, which is made for the one who writes there", async () => {
    rmSync(at("data"), { recursive: true });
    expect(await clear("cloning", { walDirectory: "" })).toEqual(cleared);
    expect(statSync(at("data")).mode & 0o777).toBe(0o700);
    fill("data");
    expect(await clear("cloning", { walDirectory: "" })).toEqual(cleared);
    expect(readdirSync(at("data"))).toEqual([]);
  });

  it("not under a volume that is missing", async () => {
    expect(await clear("cloning", { dataDirectory: at("volume", "data") })).toEqual({
      result: "refused",
      reason: `${at("volume", "data")} cannot be made by ${userInfo().username}: No such file or directory`,
    });
    expect(existsSync(at("state", "marker.json"))).toBe(false);
  });

  it.each<[string, string, () => void]>([
    ["files without a marker", "data", () => fill("data")],
    ["files of others in the directory for WAL", "wal", () => fill("wal")],
    [
      "a file system mounted over what was begun: its root carries no token",
      "data",
      () => {
        marked("cloning", "t1");
        fill("data");
      },
    ],
    [
      "what carries the token of another beginning",
      "data",
      () => {
        marked("cloning", "t1");
        put("data", "t0");
        fill("data");
      },
    ],
    [
      "data begun where no token could be kept",
      "data",
      () => {
        marked("creating");
        put("data", "None");
        fill("data");
      },
    ],
    [
      "WAL without the token, beside data with it",
      "wal",
      () => {
        marked("cloning", "t1");
        put("data", "t1");
        fill("data");
        fill("wal");
      },
    ],
  ])("never over %s", async (_, where, lay) => {
    lay();
    const before = [holds(), existsSync(at("state", "marker.json")) && marker()];
    expect(await clear("cloning")).toEqual({
      result: "refused",
      reason: `${at(where)} holds what pgha did not make`,
    });
    expect([holds(), existsSync(at("state", "marker.json")) && marker()]).toEqual(before);
  });

  it("never over what is finished, what runs, or under a damaged marker", async () => {
    put("data", "t1");
    fill("data");
    marked("ready", "t1");
    expect(await clear("cloning")).toEqual({
      result: "refused",
      reason: `${at("state", "marker.json")} says that it is ready`,
    });
    marked("cloning", "t1");
    unitIs("activating");
    expect(await clear("cloning")).toEqual({ result: "refused", reason: "pgha-orders-pg1.service is activating" });
    unitIs("failed");
    writeFileSync(at("state", "marker.json"), '{"state":');
    expect(await clear("cloning")).toEqual({ result: "refused", reason: `${at("state", "marker.json")} is damaged` });
    expect(holds()).toEqual([4, 0]);
  });

  it("after what an earlier clone left running was ended", async () => {
    cloneRuns();
    put("data", "t1");
    fill("data");
    marked("cloning", "t1");
    expect(await clear("cloning", { walDirectory: "" })).toEqual(cleared);
    expect(existsSync(at(dataUnit))).toBe(false);
  });

  it("never beside an earlier clone that does not end, nor beside an earlier removal", async () => {
    put("data", "t1");
    fill("data");
    marked("cloning", "t1");
    cloneRuns();
    writeFileSync(at("stubborn"), "");
    expect(await clear("cloning")).toEqual({ result: "refused", reason: `${dataUnit} of an earlier run is active` });
    rmSync(at(dataUnit));
    const removal = spawn(python, [
      "-c",
      "import fcntl,os,sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(flush=True); sys.stdin.read()",
      at("state", "rejoin.lock"),
    ]);
    await once(removal.stdout, "data");
    expect(await clear("cloning")).toEqual({
      result: "refused",
      reason: "an earlier rewind, clone or removal still works on it",
    });
    expect(holds()).toEqual([4, 0]);
    removal.stdin.end();
    await once(removal, "exit");
    expect(await clear("cloning")).toEqual(cleared);
  });

  it("never after the lock was taken over, and what runs there is the other one's", async () => {
    lockIs(6);
    cloneRuns();
    expect(await clear("cloning")).toMatchObject({ result: "lock lost" });
    expect([existsSync(at("state", "marker.json")), existsSync(at(dataUnit))]).toEqual([false, true]);
  });

  it("without a token on a file system that keeps none; what lies there afterwards is not removed", async () => {
    mkdirSync(at("site"));
    writeFileSync(
      at("site", "sitecustomize.py"),
      "import errno, os\ndef none(*_): raise OSError(errno.ENOTSUP, 'Operation not supported')\nos.setxattr = os.getxattr = none\n",
    );
    program("python3", `PYTHONPATH=${at("site")} exec ${python} "$@"`);
    expect(await clear("cloning")).toEqual(cleared);
    fill("data");
    expect(await clear("cloning")).toEqual({ result: "refused", reason: `${at("data")} holds what pgha did not make` });
  });
});

describe("data is erased", () => {
  it("where pg_control says that it is the database, with the WAL that pg_wal leads to", async () => {
    finished(BigInt(systemIdentifier));
    marked("ready");
    expect(await clear("erasing", { systemIdentifier })).toEqual(cleared);
    expect(holds()).toEqual([0, 0]);
    expect(marker()).toMatchObject({ state: "erasing", token: "t1" });
  });

  it("to its end, when an earlier erasure was cut off", async () => {
    marked("erasing", "t1");
    for (const name of ["data", "wal"]) {
      put(name, "t1");
      fill(name);
    }
    expect(await clear("erasing", { systemIdentifier, token: "t2" })).toEqual(cleared);
    expect(holds()).toEqual([0, 0]);
  });

  it("where nothing is: what is missing is not made", async () => {
    rmSync(at("data"), { recursive: true });
    expect(await clear("erasing")).toEqual(cleared);
    expect(existsSync(at("data"))).toBe(false);
  });

  it.each<[string, string, () => void]>([
    [
      "another database",
      "{data} holds the database with system identifier 7000000000000000009",
      () => finished(7_000_000_000_000_000_009n),
    ],
    [
      "an empty place where its data is to be mounted",
      "{data} is marked ready, but holds no database",
      () => undefined,
    ],
    [
      "WAL that is not its own",
      "{wal} holds what pgha did not make",
      () => {
        finished(BigInt(systemIdentifier));
        rmSync(at("data", "pg_wal"));
        mkdirSync(at("data", "pg_wal"));
      },
    ],
    [
      "WAL that is not its own, while its own is not there",
      "{wal} holds what pgha did not make",
      () => {
        finished(BigInt(systemIdentifier));
        rmSync(at("data", "pg_wal"));
        symlinkSync(at("away"), at("data", "pg_wal"));
      },
    ],
  ])("never %s", async (_, reason, lay) => {
    lay();
    marked("ready", "t1");
    put("data", "t1");
    const before = holds();
    expect(await clear("erasing", { systemIdentifier })).toEqual({
      result: "refused",
      reason: reason.replace("{data}", at("data")).replace("{wal}", at("wal")),
    });
    expect(holds()).toEqual(before);
    expect(marker().state).toBe("ready");
  });
});

describe("what was erased is forgotten", () => {
  const files = () => [at("state", "postgresql.conf"), at("state", "journal.json")];
  const left = () => [...files(), at("state", "marker.json")].filter((path) => existsSync(path));
  const erased = () =>
    askAgent(
      scratch.host,
      "erased",
      { marker: at("state", "marker.json"), files: files(), lock: at("state", "lock.json"), epoch: 5 },
      answer,
      { limitSeconds: 20, purpose: "test the helper" },
    );

  beforeEach(() => {
    marked("erasing", "t1");
    for (const file of files()) writeFileSync(file, "x");
  });

  it("file by file, the marker last, also where some are gone already", async () => {
    rmSync(at("state", "journal.json"));
    expect(await erased()).toEqual({ result: "erased" });
    expect(left()).toEqual([]);
  });

  it("not where somebody else has begun anew meanwhile", async () => {
    marked("creating", "t2");
    expect(await erased()).toEqual({ result: "refused", reason: `${at("state", "marker.json")} says creating` });
    expect(left().length).toBe(3);
  });

  it("not after the lock was taken over", async () => {
    lockIs(6);
    expect(await erased()).toMatchObject({ result: "lock lost" });
    expect(left().length).toBe(3);
  });
});
