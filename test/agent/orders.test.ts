import { readFileSync, rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { epoch, journal, prepareHandover, switchRecord } from "../support/pretendHandover.ts";
import { type Lock, type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

/*
 * What an orchestrator that found an unfinished handover orders the old primary's host to do; and what hosts do when theirs
 * has gone. Its own lock is of epoch 7, the handover's epoch is 5.
 */
const hosts = pretendHosts();
let pg1: PretendHost;

beforeEach(() => {
  pg1 = hosts.host("pg1");
});

const limits = { timeout: limitMilliseconds * 2 };
const ended = { code: 0, stderr: "" };
const refused = { event: "refused", reason: "it did not stop in time, or the cluster was taken over" };

describe("the order to bring the old primary back", limits, () => {
  const later = 7;

  beforeEach(() => {
    pg1.lay("journal", journal);
    pg1.lay("switch", switchRecord("stopping"));
    pg1.set("data/standby.signal");
    pg1.layLock({ epoch: later });
  });

  /** What it tells after "armed". */
  async function order(): Promise<unknown> {
    const back = pg1.verb("back", { epoch: later, journal: epoch, limitSeconds: 20 });
    const listener = await pg1.connect("back", later);
    expect(await listener.hear()).toEqual({ event: "armed" });
    const outcome = await listener.hear();
    listener.leave();
    expect(await back.exit).toMatchObject({ code: 0 });
    return outcome;
  }

  async function expectPrimary(): Promise<void> {
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect(pg1.isWritable).toBe(true);
    expect(pg1.read("switch")).toEqual(switchRecord("restored"));
  }

  it.each(["armed", "stopping", "followed"])("is carried out, whatever the handover had come to: %s", async (state) => {
    pg1.lay("switch", switchRecord(state));
    expect(await order()).toEqual({ event: "restored" });
    await expectPrimary();
    // The handover's own process ends first, so that only one of them decides.
    expect(pg1.calls()[0]).toBe("stop pgha-orders-pg1-give-5.service");
  });

  it("is carried out on one that has not stopped yet", async () => {
    pg1.unset("data/standby.signal");
    pg1.lay("switch", switchRecord("armed"));
    await pg1.startPostmaster();
    pg1.lay("switch", switchRecord("stopping"));
    pg1.set("data/standby.signal");
    expect(await order()).toEqual({ event: "restored" });
    await expectPrimary();
  });

  it("may be repeated: what was brought back, and is down again, is started", async () => {
    pg1.lay("switch", switchRecord("restored"));
    pg1.unset("data/standby.signal");
    expect(await order()).toEqual({ event: "restored" });
    await expectPrimary();
  });

  it("goes on after its process died, though its orchestrator died as well", async () => {
    pg1.lay("switch", { ...switchRecord("stopping"), under: later });
    pg1.layLock({ epoch: later, renewedSecondsAgo: 31 });
    expect(await order()).toEqual({ event: "restored" });
    await expectPrimary();
  });

  it.each<[string, Partial<Lock>]>([
    ["whose lock ran out", { epoch: later, renewedSecondsAgo: 31 }],
    ["whose lock was taken over", { epoch: later + 1 }],
    ["whose lock was taken over and given back", { epoch: later + 1, holder: "" }],
  ])("does nothing when it comes from one %s", async (_, lock) => {
    pg1.layLock(lock);
    expect(await order()).toEqual(refused);
    expect(pg1.read("switch")).toEqual(switchRecord("stopping"));
    expect(pg1.calls()).toEqual([]);
    expect(pg1.standbySignal).toBe(true);
  });

  it("does nothing about a handover that a later one has followed", async () => {
    const newer = { ...switchRecord("stopping"), epoch: 6 };
    pg1.lay("switch", newer);
    expect(await order()).toEqual(refused);
    expect(pg1.read("switch")).toEqual(newer);
    expect(pg1.calls()).toEqual([]);
  });

  it("does nothing once the handover has been ended", async () => {
    pg1.lay("switch", switchRecord("restored"));
    rmSync(pg1.paths.journal);
    expect(await order()).toEqual(refused);
    expect(pg1.isRunning).toBe(false);
    expect(pg1.standbySignal).toBe(true);
  });

  it("waits while another orchestrator is at work, and then does nothing if that one ended the handover", async () => {
    pg1.lay("switch", { ...switchRecord("stopping"), under: later });
    pg1.layLock({ epoch: later + 1 });
    const back = pg1.verb("back", { epoch: later, journal: epoch, limitSeconds: 20 });
    const listener = await pg1.connect("back", later);
    expect(await listener.hear()).toEqual({ event: "armed" });
    await expect.poll(() => pg1.trace(), soon).toContain("waits");
    pg1.lay("switch", switchRecord("followed"));
    expect(await listener.hear()).toEqual(refused);
    listener.leave();
    expect(await back.exit).toEqual(ended);
    expect(pg1.calls()).toEqual([]);
    expect(pg1.read("switch")).toEqual(switchRecord("followed"));
  });
});

describe("a member whose role was changed for the time of a handover", limits, () => {
  const role = () => readFileSync(pg1.paths.roleConf, "utf8");
  const changed = "# the role during the handover\n";

  beforeEach(async () => {
    await prepareHandover(pg1);
  });

  it.each<[string, () => void]>([
    ["ran out", () => pg1.layLock({ renewedSecondsAgo: 31 })],
    ["was given back", () => pg1.layLock({ holder: "" })],
  ])("has it put back to the steady one when the lock %s, and not before", async (_, end) => {
    const guard = pg1.verb("guard", { epoch, role: "# the steady role\n" });
    await expect.poll(() => pg1.trace(), soon).toContain("waits");
    expect(role()).toBe(changed);
    end();
    expect(await guard.exit).toEqual(ended);
    expect(role()).toBe("# the steady role\n");
    await expect.poll(() => pg1.has("reloaded"), soon).toBe(true);
  });

  it("keeps it when another orchestrator has taken over", async () => {
    pg1.layLock({ epoch: 6 });
    expect(await pg1.verb("guard", { epoch, role: "# the steady role\n" }).exit).toEqual(ended);
    expect(role()).toBe(changed);
  });
});
