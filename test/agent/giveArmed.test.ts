import { rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds } from "../support/helperProcess.ts";
import {
  armedGive,
  epoch,
  giveArguments,
  journal,
  prepareHandover,
  scriptTarget,
  switchRecord,
} from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

/* The old primary's side of a handover, `give`, until the word go: whatever happens, PostgreSQL runs on as it did. */
const hosts = pretendHosts();
let pg1: PretendHost;

beforeEach(async () => {
  pg1 = hosts.host("pg1");
  await prepareHandover(pg1);
});

/** A target's shell commands: it waits for the ticket. */
const opening = `read -r asked; echo '{"event":"armed"}'`;
const ended = { code: 0, stderr: "" };
const milliseconds = expect.any(Number);
const refused = (reason: string) => ({ event: "refused", reason });

/** It runs as it did, and will run as it did after any restart. */
function expectUntouched(): void {
  expect(pg1.calls()).toEqual([]);
  expect(pg1.standbySignal).toBe(false);
  expect(pg1.isWritable).toBe(true);
}

describe("the old primary, before the word go,", { timeout: limitMilliseconds * 2 }, () => {
  it("is left alone when the one who armed it leaves", async () => {
    scriptTarget(pg1, {});
    const give = await armedGive(pg1);
    expect(pg1.read("switch")).toEqual(switchRecord("armed"));
    give.say("no");
    give.leave();
    expect(await give.ended).toEqual(ended);
    expectUntouched();
  });

  it.each<[string, () => void]>([
    ["the lock was taken over", () => pg1.layLock({ epoch: 6 })],
    ["the lock ran out", () => pg1.layLock({ renewedSecondsAgo: 31 })],
    ["the lock was given back", () => pg1.layLock({ holder: "" })],
    ["the journal is gone", () => rmSync(pg1.paths.journal)],
  ])("is left alone when %s", async (_, change) => {
    scriptTarget(pg1, {});
    const give = await armedGive(pg1);
    change();
    expect(await give.hear()).toEqual(refused("the lock of epoch 5 is not held any more"));
    give.leave();
    expect(await give.ended).toEqual(ended);
    expectUntouched();
  });

  it.each<[string, () => void]>([
    ["the lock was lost", () => pg1.layLock({ epoch: 6 })],
    ["the journal is gone", () => rmSync(pg1.paths.journal)],
    ["it was restored already", () => pg1.lay("switch", switchRecord("restored"))],
    ["a later handover has begun", () => pg1.lay("switch", { ...switchRecord("armed"), epoch: 6 })],
  ])("is left alone by a word that comes when %s", async (_, change) => {
    scriptTarget(pg1, {});
    const give = await armedGive(pg1, {}, { RETRY_SECONDS: 20 });
    change();
    const before = pg1.read("switch");
    give.say("go");
    expect(await give.rest()).toEqual([
      { ...refused("the lock of epoch 5 is not held any more"), milliseconds },
      { event: "restored", milliseconds },
    ]);
    expect(await give.ended).toEqual(ended);
    expect(pg1.read("switch")).toEqual(before);
    expectUntouched();
  });

  it("is left alone when the target does not wait any more", async () => {
    pg1.set("on-ssh", `${opening}; while [ ! -e $FAKE_ROOT/gone ]; do sleep 0.01; done`);
    const give = await armedGive(pg1);
    pg1.set("gone");
    expect(await give.hear()).toEqual(refused("pg2 does not wait for the ticket any more"));
    give.leave();
    expect(await give.ended).toEqual(ended);
    expectUntouched();
  });

  it.each<[string, () => void, string]>([
    ["the lock is another's", () => pg1.layLock({ epoch: 6 }), "the lock or the journal of epoch 5 is not here"],
    ["there is no journal", () => rmSync(pg1.paths.journal), "the lock or the journal of epoch 5 is not here"],
    [
      "the journal is another handover's",
      () => pg1.lay("journal", { ...journal, epoch: 4 }),
      "the lock or the journal of epoch 5 is not here",
    ],
    [
      "a later handover was begun here",
      () => pg1.lay("switch", { ...switchRecord("followed"), epoch: 6 }),
      "epoch 5 is over: found followed of epoch 6",
    ],
    [
      "the target refuses",
      () => pg1.set("on-ssh", `read -r asked; echo '{"answer":"refused","reason":"nobody waits"}'`),
      "pg2 does not wait for the ticket: nobody waits",
    ],
    [
      "there is no way to the target",
      () => undefined,
      "pg2 does not wait for the ticket: ssh: connect to host 203.0.113.12 port 22: No route to host",
    ],
  ])("is not armed against when %s", async (_, change, reason) => {
    scriptTarget(pg1, {});
    if (reason.includes("No route")) pg1.unset("on-ssh");
    change();
    const before = pg1.read("switch");
    const give = pg1.verb("give", giveArguments());
    const listener = await pg1.connect("give", epoch);
    expect(await listener.hear()).toEqual(refused(reason));
    listener.leave();
    expect(await give.exit).toEqual(ended);
    expect(pg1.read("switch")).toEqual(before);
    expectUntouched();
  });
});
