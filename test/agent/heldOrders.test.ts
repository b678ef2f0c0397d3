import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds } from "../support/helperProcess.ts";
import { epoch, journal, switchRecord } from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

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
