import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { epoch, journal, switchRecord } from "../support/pretendHandover.ts";
import { type Lock, type PretendHost, pretendHosts, state } from "../support/pretendHosts.ts";

/* What a host does only for the orchestrator that holds its lock: here of epoch 7, the unfinished handover's is 5. */
const hosts = pretendHosts();
const later = 7;
let pg1: PretendHost;

beforeEach(() => {
  pg1 = hosts.host("pg1");
  pg1.lay("journal", journal);
  pg1.layLock({ epoch: later });
});

function order(verb: string, values: object): Promise<unknown[]> {
  const { lock, journal: path } = pg1.paths;
  return pg1.verb(verb, { lock, epoch: later, path, ...values }).rest();
}

const limits = { timeout: limitMilliseconds };
const lost = { result: "lock lost", holder: "anna@desk", alive: true };

describe("the order to give way", limits, () => {
  it("ends the unit that still asks the target, and makes the old primary a standby for good", async () => {
    pg1.lay("switch", switchRecord("stopping"));
    expect(await order("give_way", { journal: epoch })).toEqual([{ result: "follows" }]);
    expect(pg1.calls()).toEqual(["stop pgha-orders-pg1-give-5.service"]);
    expect(pg1.standbySignal).toBe(true);
    expect(pg1.read("switch")).toEqual(switchRecord("followed"));
  });

  it("leaves the switch of a later handover alone", async () => {
    pg1.lay("switch", { ...switchRecord("restored"), epoch: 6 });
    expect(await order("give_way", { journal: epoch })).toEqual([{ result: "follows" }]);
    expect(pg1.read("switch")).toEqual({ ...switchRecord("restored"), epoch: 6 });
  });

  it("is refused when the lock is somebody else's", async () => {
    pg1.lay("switch", switchRecord("stopping"));
    pg1.layLock({ epoch: later + 1 });
    expect(await order("give_way", { journal: epoch })).toMatchObject([lost]);
    expect(pg1.calls()).toEqual([]);
    expect(pg1.read("switch")).toEqual(switchRecord("stopping"));
  });
});

describe("whoever holds the guard of the lock for too long", limits, () => {
  it("is told of, and nothing is done: no order waits for ever", async () => {
    const guard = spawn("flock", [`${pg1.paths.lock}.guard`, "sh", "-c", "echo held; exec cat"]);
    try {
      await once(guard.stdout, "data");
      const { lock } = pg1.paths;
      const asked = pg1.verb("next_start", { lock, epoch: later, role: "standby" }, { GUARD_LIMIT_SECONDS: 0.1 });
      expect(await asked.rest()).toEqual([]);
      expect((await asked.exit).code).toBe(1);
      expect(asked.stderr()).toContain("lock.json.guard: waited 0.1 s for whoever holds it");
      expect(pg1.standbySignal).toBe(false);
    } finally {
      guard.stdin.end();
    }
  });
});

describe("the order that settles as what a member starts next", limits, () => {
  it("makes it a standby, durably, before that is said", async () => {
    expect(await order("next_start", { role: "standby" })).toEqual([{ result: "standby" }]);
    expect(pg1.standbySignal).toBe(true);
    expect(pg1.trace()).toEqual(["sync standby.signal", expect.stringMatching(/^sync .*-pg1$/)]);
  });

  it("lets one that is primary stay it, and may be repeated", async () => {
    await pg1.startPostmaster();
    pg1.set("data/standby.signal");
    expect(await order("next_start", { role: "primary" })).toEqual([{ result: "primary" }]);
    expect(pg1.standbySignal).toBe(false);
    expect(pg1.trace()).toEqual(["unlink standby.signal", expect.stringMatching(/^sync .*-pg1$/)]);
    expect(await order("next_start", { role: "primary" })).toEqual([{ result: "primary" }]);
  });

  it("does not make one primary that runs as a standby", async () => {
    pg1.set("data/standby.signal");
    await pg1.startPostmaster();
    expect(await order("next_start", { role: "primary" })).toEqual([{ result: "not primary" }]);
    expect(pg1.standbySignal).toBe(true);
  });

  it("does not make one primary whose PostgreSQL is gone, though its pg_control says that it runs", async () => {
    pg1.set("data/standby.signal");
    pg1.layControl({ state: state.inProduction });
    expect(await order("next_start", { role: "primary" })).toEqual([{ result: "not primary" }]);
    expect(pg1.standbySignal).toBe(true);
  });

  it.each<[string, Partial<Lock>]>([
    ["is somebody else's", { epoch: later + 1 }],
    ["ran out", { epoch: later, renewedSecondsAgo: 31 }],
    ["was given back", { epoch: later, holder: "" }],
  ])("is refused when the lock %s", async (_, overrides) => {
    pg1.layLock(overrides);
    expect(await order("next_start", { role: "standby" })).toMatchObject([{ result: "lock lost" }]);
    expect(pg1.standbySignal).toBe(false);
    await pg1.startPostmaster();
    pg1.set("data/standby.signal");
    expect(await order("next_start", { role: "primary" })).toMatchObject([{ result: "lock lost" }]);
    expect(pg1.standbySignal).toBe(true);
  });
});

describe("the order to stop", limits, () => {
  const stop = (values: object = {}) =>
    order("stop", { unit: pg1.paths.unit, forGood: 0, limitSeconds: limitMilliseconds / 1000, ...values });

  it("goes to systemd, is done when it is answered, and may be repeated", async () => {
    await pg1.startPostmaster();
    expect(await stop()).toEqual([{ result: "stopped" }]);
    expect(pg1.isRunning).toBe(false);
    expect(pg1.calls()).toEqual([`stop --no-block ${pg1.paths.unit}`]);
    expect(await stop()).toEqual([{ result: "stopped" }]);
  });

  it("for good is for the next boot too", async () => {
    await pg1.startPostmaster();
    expect(await stop({ forGood: 1 })).toEqual([{ result: "stopped" }]);
    expect(pg1.calls()).toEqual([`disable ${pg1.paths.unit}`, `stop --no-block ${pg1.paths.unit}`]);
  });

  it.each<[string, Partial<Lock>]>([
    ["is somebody else's, under whom it became primary", { epoch: later + 1 }],
    ["ran out", { epoch: later, renewedSecondsAgo: 31 }],
    ["was given back", { epoch: later, holder: "" }],
  ])("leaves a running primary alone when the lock %s", async (_, overrides) => {
    await pg1.startPostmaster();
    pg1.layLock(overrides);
    expect(await stop({ forGood: 1 })).toMatchObject([{ result: "lock lost" }]);
    expect(pg1.isWritable).toBe(true);
    expect(pg1.calls()).toEqual([]);
  });

  it("says so when PostgreSQL does not end in time; meanwhile the lock can be asked for, and be taken over", async () => {
    await pg1.startPostmaster();
    pg1.set("hangs");
    expect(await stop({ limitSeconds: 0.2 })).toEqual([{ result: "still runs" }]);
    const stopping = stop();
    await expect.poll(() => pg1.calls().length, soon).toBe(2);
    const renewed = await pg1
      .verb("hold", { path: pg1.paths.lock, epoch: later + 1, holder: "ben", since: "then" })
      .rest();
    expect(renewed).toMatchObject([{ result: "refused", epoch: later, alive: true }]);
    pg1.layLock({ epoch: later + 1 });
    expect(await stopping).toMatchObject([{ result: "lock lost" }]);
  });
});

describe("the journal", limits, () => {
  it("is written and removed by whoever holds the lock", async () => {
    const text = JSON.stringify({ ...journal, epoch: later });
    expect(await order("write_journal", { text })).toEqual([{ result: "written" }]);
    expect(pg1.read("journal")).toEqual({ ...journal, epoch: later });
    expect(await order("remove_journal", { journal: later })).toEqual([{ result: "removed" }]);
    expect(pg1.read("journal")).toBeUndefined();
    expect(await order("remove_journal", { journal: later })).toEqual([{ result: "removed" }]);
  });

  it("of a later handover is not removed", async () => {
    expect(await order("remove_journal", { journal: epoch - 1 })).toEqual([{ result: "removed" }]);
    expect(pg1.read("journal")).toEqual(journal);
  });

  it.each([
    ["write_journal", { text: "{}" }],
    ["remove_journal", { journal: epoch }],
  ])("stays as it is when the lock is somebody else's: %s", async (verb, values) => {
    pg1.layLock({ epoch: later + 1 });
    expect(await order(verb, values)).toMatchObject([lost]);
    expect(pg1.read("journal")).toEqual(journal);
  });
});

describe("the record that a target was given up", limits, () => {
  const path = () => pg1.paths.givenUp;
  const recorded = () => (existsSync(path()) ? JSON.parse(readFileSync(path(), "utf8")) : undefined);
  const record = (journal: number) => order("write_given_up", { path: path(), journal });

  it("is on the disk before it is answered, and only grows", async () => {
    expect(await record(epoch)).toEqual([{ result: "written" }]);
    expect(recorded()).toEqual({ epoch });
    expect(pg1.trace()).toEqual(["sync given-up.json.new", "rename given-up.json", "sync pg1"]);
    expect(await record(epoch - 1)).toEqual([{ result: "written" }]);
    expect(recorded()).toEqual({ epoch });
    expect(await record(epoch + 1)).toEqual([{ result: "written" }]);
    expect(recorded()).toEqual({ epoch: epoch + 1 });
  });

  it("is not written when the lock is somebody else's", async () => {
    pg1.layLock({ epoch: later + 1 });
    expect(await record(epoch)).toMatchObject([lost]);
    expect(recorded()).toBeUndefined();
  });
});

describe("a member that is removed", limits, () => {
  const records = () => [pg1.paths.journal, pg1.paths.ticket, pg1.paths.lock];
  const left = () => [...records(), `${pg1.paths.lock}.guard`].filter((path) => existsSync(path)).length;
  const forget = () =>
    pg1.verb("forget", { lock: pg1.paths.lock, marker: pg1.paths.marker, records: records().slice(0, 2) }).rest();

  beforeEach(() => {
    pg1.lay("ticket", { epoch, state: "revoked" });
    rmSync(pg1.paths.marker);
  });

  it("leaves no right and no epoch behind, and may be removed twice", async () => {
    pg1.layLock({ epoch: later, holder: "" });
    expect(await forget()).toEqual([{ result: "forgotten" }]);
    expect(left()).toBe(0);
    rmSync(pg1.paths.stateDirectory, { recursive: true });
    expect(await forget()).toEqual([{ result: "forgotten" }]);
    expect(existsSync(pg1.paths.stateDirectory)).toBe(false);
  });

  it("keeps its records while somebody holds it: he may be about to begin its data", async () => {
    expect(await forget()).toMatchObject([{ result: "held", holder: "anna@desk", epoch: later }]);
    expect(left()).toBe(4);
  });

  it("keeps them where its data is", async () => {
    pg1.layLock({ epoch: later, holder: "" });
    pg1.lay("marker", { state: "ready" });
    expect(await forget()).toEqual([{ result: "has data" }]);
    expect(left()).toBe(4);
  });

  it("is done with for an order that waited for its guard meanwhile", async () => {
    const guard = spawn("flock", [`${pg1.paths.lock}.guard`, "sh", "-c", "echo held; exec cat"]);
    await once(guard.stdout, "data");
    const asked = pg1.verb("next_start", { lock: pg1.paths.lock, epoch: later, role: "standby" });
    await expect.poll(() => waitsFor(asked.pid, `${pg1.paths.lock}.guard`), soon).toBe(true);
    rmSync(`${pg1.paths.lock}.guard`);
    guard.stdin.end();
    expect(await asked.rest()).toEqual([]);
    expect((await asked.exit).code).toBe(1);
    expect(asked.stderr()).toContain("it was removed with its member meanwhile");
    expect(pg1.standbySignal).toBe(false);
  });
});

/** Has this process the file open? */
function waitsFor(pid: number, path: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((name) => linkOf(`/proc/${pid}/fd/${name}`) === path);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // It was closed meanwhile.
  }
}
