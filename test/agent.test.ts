import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type AgentConversation, askAgent, converseWithAgent } from "../cluster/agent.ts";
import type { RemoteHost } from "../remote/host.ts";
import { createLocalHost } from "./support/localAgentHost.ts";

/*
 * The helper runs here as it runs on a host: sent over standard input to python3. Beside it a `systemctl` of ours, which
 * writes down what it was told, answers `show` with a file, and does what the test says for everything else.
 */
let directory: string;
let host: RemoteHost;

const at = (...names: string[]) => join(directory, ...names);
const unit = "pgha-orders-pg1.service";
const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();

/** The interpreter itself: a version manager's wrapper in front of it takes longer than the helper. */
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pgha-agent-"));
  mkdirSync(at("bin"));
  symlinkSync(python, at("bin", "python3"));
  mkdirSync(at("data", "global"), { recursive: true });
  writeFileSync(at("data", "PG_VERSION"), "17\n");
  writeFileSync(at("data", "global", "pg_control"), controlFile("in production"));
  unitIs("active");
  program(
    "systemctl",
    `echo "$@" >> ${at("calls")}
     if [ "$1" = show ]; then cat ${at("unit")}; elif [ -e ${at("bin")}/on-"$1" ]; then . ${at("bin")}/on-"$1"; fi`,
  );
  host = createLocalHost(at("bin"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function program(name: string, script: string): void {
  writeFileSync(at("bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(at("bin", name), 0o755);
}

/** What systemctl was told to do, `show` left out. */
function calls(): string[] {
  if (!existsSync(at("calls"))) return [];
  return readFileSync(at("calls"), "utf8")
    .trim()
    .split("\n")
    .filter((call) => call !== "" && !call.startsWith("show "));
}

function unitText(activeState: string): string {
  return `LoadState=loaded\nActiveState=${activeState}\nUnitFileState=enabled\n`;
}

function unitIs(activeState: string): void {
  writeFileSync(at("unit"), unitText(activeState));
}

/** A shell command with the same effect, for what happens during a call. */
function unitBecomes(activeState: string): string {
  return `printf '${unitText(activeState).replaceAll("\n", "\\n")}' > ${at("unit")}`;
}

/** The first 64 bytes of pg_control, as src/include/catalog/pg_control.h lays them out. */
function controlFile(state: "shut down" | "in production"): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeBigUInt64LE(7_000_000_000_000_000_001n, 0);
  bytes.writeUInt32LE(state === "shut down" ? 1 : 6, 16);
  bytes.writeBigUInt64LE(0x1_0300_0060n, 32);
  bytes.writeUInt32LE(3, 48);
  return bytes;
}

/** A shell command: PostgreSQL writes that it is shut down, in place, as it does. */
function postgresShutsDown(): string {
  writeFileSync(at("shut-down"), controlFile("shut down"));
  return `dd if=${at("shut-down")} of=${at("data", "global", "pg_control")} conv=notrunc status=none`;
}

const bootSeconds = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);

interface Lock {
  readonly epoch: number;
  readonly holder: string;
  readonly renewedSecondsAgo: number;
  readonly boot: string;
}

function lockText(overrides: Partial<Lock> = {}): string {
  const { epoch, holder, renewedSecondsAgo, boot } = {
    ...{ epoch: 5, holder: "anna@desk", renewedSecondsAgo: 0, boot: bootId },
    ...overrides,
  };
  return JSON.stringify({ epoch, holder, since: "then", renewed: bootSeconds() - renewedSecondsAgo, boot });
}

function lockIs(overrides: Partial<Lock> = {}): void {
  writeFileSync(at("lock.json"), lockText(overrides));
}

const limits = { limitSeconds: 20, purpose: "test the helper" };

function converse(verb: string, values: Record<string, string | number>): Promise<AgentConversation> {
  return converseWithAgent(host, verb, values, limits);
}

describe("observe", () => {
  const observe = (overrides: Record<string, string | readonly string[]> = {}) =>
    askAgent(
      host,
      "observe",
      {
        dataDirectory: at("data"),
        unit,
        files: [at("a.conf"), at("b.conf")],
        marker: at("marker.json"),
        journal: at("journal.json"),
        lock: at("lock.json"),
        programs: at("bin"),
        ...overrides,
      },
      z.record(z.string(), z.unknown()),
      limits,
    );

  it("tells of a host that was never used", async () => {
    writeFileSync(at("unit"), "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n");
    const { freeBytes, now, ...rest } = await observe({ dataDirectory: at("none", "deeper", "still") });
    expect(rest).toEqual({
      marker: null,
      journal: null,
      lock: { epoch: 0, holder: "", since: "", alive: false },
      dataDirectory: "missing",
      standbySignal: false,
      controlData: null,
      unit: "absent",
      unitEnabled: false,
      files: {},
    });
    expect(freeBytes).toBeGreaterThan(0);
    expect(Math.abs(Number(now) - Date.now() / 1000)).toBeLessThan(20);
  });

  it("tells everything of a member, each file as it is", async () => {
    const text = 'it\'s "x"\\ \t é 🐘\n\u0001end';
    writeFileSync(at("a.conf"), text);
    writeFileSync(at("marker.json"), '{"state":"ready"}');
    writeFileSync(at("journal.json"), '{"epoch":4}');
    writeFileSync(at("data", "standby.signal"), "");
    lockIs();
    program(
      "pg_controldata",
      `[ "$LC_ALL" = C ] && [ "$*" = "-D ${at("data")}" ] || exit 1
       echo 'Database system identifier:           7000000000000000001'
       echo 'Database cluster state:               in archive recovery'
       echo 'Latest checkpoint location:           1/3000060'
       echo "Latest checkpoint's TimeLineID:       3"
       echo "Min recovery ending loc's timeline:   4"
       echo 'Time of latest checkpoint:            Sun 01 Mar 2026 10:00:00'`,
    );
    expect(await observe()).toMatchObject({
      marker: '{"state":"ready"}',
      journal: '{"epoch":4}',
      lock: { epoch: 5, holder: "anna@desk", since: "then", alive: true },
      dataDirectory: "data",
      standbySignal: true,
      controlData: {
        systemIdentifier: "7000000000000000001",
        state: "in archive recovery",
        checkpointLsn: "1/3000060",
        timeline: 4,
      },
      unit: "active",
      unitEnabled: true,
      files: { [at("a.conf")]: text },
    });
  });

  it("tells an empty directory from one that holds something else, and a failed unit from a running one", async () => {
    unitIs("failed");
    program("pg_controldata", "exit 1");
    mkdirSync(at("new"));
    mkdirSync(at("mounted", "lost+found"), { recursive: true });
    const kinds = await Promise.all(
      ["data", "new", "mounted", "unit"].map(
        async (name) => (await observe({ dataDirectory: at(name) })).dataDirectory,
      ),
    );
    expect(kinds).toEqual(["data", "empty", "foreign", "foreign"]);
    expect(await observe()).toMatchObject({ unit: "failed", controlData: null });
  });

  it.each(["", "garbage", "{}", "[]", '{"epoch": 5}'])("takes the damaged lock %j for none", async (text) => {
    writeFileSync(at("lock.json"), text);
    expect((await observe()).lock).toMatchObject({ holder: "", alive: false });
  });
});

describe("hold", () => {
  const hold = (epoch: number, holder = "bert@laptop") =>
    converse("hold", { path: at("state", "lock.json"), epoch, holder, since: "now" });
  const file = () => JSON.parse(readFileSync(at("state", "lock.json"), "utf8")) as Record<string, unknown>;
  const lay = (overrides: Partial<Lock>) => {
    mkdirSync(at("state"));
    writeFileSync(at("state", "lock.json"), lockText(overrides));
  };

  it("takes a free lock, renews it, and gives it back", async () => {
    const conversation = await hold(1);
    expect(await conversation.answer(20)).toEqual({ result: "held" });
    const taken = file();
    expect(taken).toMatchObject({ epoch: 1, holder: "bert@laptop", since: "now", boot: bootId });
    conversation.say("renew");
    expect(await conversation.answer(20)).toEqual({ result: "renew" });
    expect(Number(file().renewed)).toBeGreaterThan(Number(taken.renewed));
    conversation.say("release");
    expect(await conversation.answer(20)).toEqual({ result: "release" });
    expect(file()).toMatchObject({ epoch: 1, holder: "" });
  });

  it("is not revived once it ran out: others may have acted on that", async () => {
    const conversation = await hold(1);
    expect(await conversation.answer(20)).toEqual({ result: "held" });
    writeFileSync(at("state", "lock.json"), lockText({ epoch: 1, holder: "bert@laptop", renewedSecondsAgo: 31 }));
    conversation.say("renew");
    expect(await conversation.answer(20)).toMatchObject({ result: "lost" });
    expect(Number(file().renewed)).toBeLessThan(bootSeconds() - 30);
  });

  it("is refused while another one is alive, whatever the epoch", async () => {
    lay({ renewedSecondsAgo: 28 });
    expect(await (await hold(99)).answer(20)).toEqual({
      result: "refused",
      epoch: 5,
      holder: "anna@desk",
      since: "then",
      alive: true,
    });
    expect(file().holder).toBe("anna@desk");
  });

  it.each<[string, Partial<Lock>]>([
    ["was not renewed for 30 s", { renewedSecondsAgo: 31 }],
    ["was given back", { holder: "" }],
    ["is from before the last boot", { boot: "another" }],
  ])("takes over one that %s, with a higher epoch only", async (_, overrides) => {
    lay(overrides);
    expect(await (await hold(5)).answer(20)).toMatchObject({ result: "refused", epoch: 5, alive: false });
    expect(await (await hold(6)).answer(20)).toEqual({ result: "held" });
    expect(file()).toMatchObject({ epoch: 6, holder: "bert@laptop" });
  });

  it("is held by one of two that come at once", async () => {
    const answers = await Promise.all([hold(1, "a"), hold(1, "b")].map(async (one) => (await one).answer(20)));
    expect(answers.map((answer) => answer.result).sort()).toEqual(["held", "refused"]);
  });

  it("says that it lost the lock to a higher epoch, and leaves that one alone", async () => {
    const conversation = await hold(1);
    await conversation.answer(20);
    writeFileSync(at("state", "lock.json"), lockText({ epoch: 2 }));
    conversation.say("renew");
    expect(await conversation.answer(20)).toEqual({ result: "lost" });
    expect(file()).toMatchObject({ epoch: 2, holder: "anna@desk" });
  });

  it("leaves the lock to run out when its orchestrator goes without a word", async () => {
    const conversation = await hold(1);
    await conversation.answer(20);
    conversation.end();
    await expect(conversation.answer(20)).rejects.toThrow("the hold helper ended without an answer");
    expect(file()).toMatchObject({ epoch: 1, holder: "bert@laptop" });
    expect(await (await hold(2)).answer(20)).toMatchObject({ result: "refused", alive: true });
  });
});

/** Arms a verb that works on the primary under the lock. */
function underLock(verb: string, limitSeconds = 10): Promise<AgentConversation> {
  return converse(verb, { dataDirectory: at("data"), unit, lock: at("lock.json"), epoch: 5, limitSeconds });
}

const standbySignal = () => existsSync(at("data", "standby.signal"));

describe("demote", () => {
  it("leaves the primary alone until it is told to go", async () => {
    lockIs();
    const conversation = await underLock("demote");
    expect(await conversation.answer(20)).toEqual({ result: "armed" });
    conversation.end();
    expect(await conversation.answer(20)).toEqual({ result: "disarmed" });
    const other = await underLock("demote");
    await other.answer(20);
    other.say("no");
    expect(await other.answer(20)).toEqual({ result: "disarmed" });
    expect(calls()).toEqual([]);
    expect(standbySignal()).toBe(false);
  });

  it("stops it through systemd, makes it a standby, and answers as soon as pg_control says so", async () => {
    lockIs();
    // The postmaster lingers until the test has its answer.
    program(
      "on-stop",
      `${postgresShutsDown()}; while [ ! -e ${at("answered")} ]; do sleep 0.05; done; touch ${at("gone")}`,
    );
    const conversation = await underLock("demote");
    await conversation.answer(20);
    conversation.say("go");
    const answer = await conversation.answer(20);
    expect(answer).toEqual({
      result: "shut down",
      systemIdentifier: "7000000000000000001",
      checkpointLsn: "1/3000060",
      timeline: 3,
      milliseconds: expect.any(Number),
    });
    expect(existsSync(at("gone"))).toBe(false);
    writeFileSync(at("answered"), "");
    expect(calls()).toEqual([`stop --no-block ${unit}`]);
    expect(standbySignal()).toBe(true);
    expect(statSync(at("data", "standby.signal")).uid).toBe(statSync(at("data")).uid);
  });

  it("says so when it is not shut down in time", async () => {
    lockIs();
    const conversation = await underLock("demote", 0.2);
    await conversation.answer(20);
    conversation.say("go");
    expect(await conversation.answer(20)).toEqual({ result: "not shut down" });
    expect(standbySignal()).toBe(true);
  });

  it.each<[string, Partial<Lock>]>([
    ["was taken over", { epoch: 6 }],
    ["ran out", { renewedSecondsAgo: 31 }],
    ["was given back", { holder: "" }],
  ])("does nothing when the lock %s", async (_, overrides) => {
    lockIs(overrides);
    const conversation = await underLock("demote");
    await conversation.answer(20);
    conversation.say("go");
    expect(await conversation.answer(20)).toMatchObject({ result: "lock lost", epoch: overrides.epoch ?? 5 });
    expect(calls()).toEqual([]);
    expect(standbySignal()).toBe(false);
  });
});

describe("restore", () => {
  beforeEach(() => writeFileSync(at("data", "standby.signal"), ""));

  it("starts the old primary as what it was, when it has stopped", async () => {
    lockIs();
    program("on-stop", unitBecomes("inactive"));
    expect(await (await underLock("restore")).answer(20)).toEqual({ result: "started" });
    expect(calls()).toEqual([`stop --no-block ${unit}`, `reset-failed ${unit}`, `start --no-block ${unit}`]);
    expect(standbySignal()).toBe(false);
  });

  it("does not wait for a postmaster that lingers after its shutdown", async () => {
    lockIs();
    unitIs("deactivating");
    program("on-stop", postgresShutsDown());
    program("on-kill", unitBecomes("failed"));
    expect(await (await underLock("restore")).answer(20)).toEqual({ result: "started" });
    expect(calls()).toEqual([
      `stop --no-block ${unit}`,
      `kill --kill-who=main --signal=SIGQUIT ${unit}`,
      `reset-failed ${unit}`,
      `start --no-block ${unit}`,
    ]);
  });

  it("does not crash one that is still shutting down, and starts none beside it", async () => {
    lockIs();
    unitIs("deactivating");
    expect(await (await underLock("restore", 0.3)).answer(20)).toEqual({ result: "not stopped" });
    expect(calls()).toEqual([`stop --no-block ${unit}`]);
    expect(standbySignal()).toBe(true);
  });

  it("does nothing when the lock was taken over", async () => {
    lockIs({ epoch: 6 });
    expect(await (await underLock("restore")).answer(20)).toMatchObject({ result: "lock lost", epoch: 6 });
    expect(calls()).toEqual([]);
    expect(standbySignal()).toBe(true);
  });

  it("does not start it when the lock was taken over meanwhile", async () => {
    lockIs();
    program("on-stop", `${unitBecomes("inactive")}; printf '%s' '${lockText({ epoch: 6 })}' > ${at("lock.json")}`);
    expect(await (await underLock("restore")).answer(20)).toMatchObject({ result: "lock lost", epoch: 6 });
    expect(calls()).toEqual([`stop --no-block ${unit}`]);
    expect(standbySignal()).toBe(true);
  });
});
