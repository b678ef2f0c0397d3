import { readFileSync, rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import {
  armedGive,
  epoch,
  giveArguments,
  prepareHandover,
  scriptTarget,
  switchRecord,
  tells,
  ticket,
} from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts, timeline } from "../support/pretendHosts.ts";

/*
 * The old primary's side of a handover, `give`, from the word go on, against a target that says what the test wants. The
 * pretended PostgreSQL is stopped and started by the helper's own calls of systemctl.
 */
const hosts = pretendHosts();
let pg1: PretendHost;

beforeEach(async () => {
  pg1 = hosts.host("pg1");
  await prepareHandover(pg1);
});

const ended = { code: 0, stderr: "" };
const stopped = "stop --no-block pgha-orders-pg1.service";
const started = ["reset-failed pgha-orders-pg1.service", "start --no-block pgha-orders-pg1.service"];
const milliseconds = expect.any(Number);
const refused = (reason: string) => ({ event: "refused", reason });

async function expectPrimaryAgain(): Promise<void> {
  await expect.poll(() => pg1.isRunning, soon).toBe(true);
  expect(pg1.standbySignal).toBe(false);
  expect(pg1.isWritable).toBe(true);
  expect(pg1.read("switch")).toEqual(switchRecord("restored"));
  expect(pg1.hasPass).toBe(true);
}

async function expectStandby(): Promise<void> {
  await expect.poll(() => pg1.isRunning, soon).toBe(true);
  expect(pg1.standbySignal).toBe(true);
  expect(pg1.isWritable).toBe(false);
  expect(pg1.read("switch")).toEqual(switchRecord("followed"));
  expect(readFileSync(pg1.paths.roleConf, "utf8")).toBe("# the steady role\n");
}

describe("the old primary, after the word go,", { timeout: limitMilliseconds * 2 }, () => {
  const whole = [
    tells({ event: "proved" }),
    tells({ event: "consumed" }),
    tells({ event: "promoted" }),
    tells({ event: "acknowledged" }),
  ].join("; ");

  it("stops, sends the ticket, passes on what the target tells, and follows", async () => {
    scriptTarget(pg1, { ticket: `printf %s "$ticket" > $FAKE_ROOT/ticket; ${whole}` });
    const give = await armedGive(pg1);
    give.say("go");
    expect(await give.rest()).toEqual([
      { event: "shut down", milliseconds, checkpointLsn: "1/3000060" },
      { event: "proved", milliseconds },
      { event: "promoted", milliseconds },
      { event: "acknowledged", milliseconds },
      { event: "follows", milliseconds },
    ]);
    expect(await give.ended).toEqual(ended);
    expect(JSON.parse(readFileSync(`${pg1.root}/ticket`, "utf8"))).toEqual(ticket);
    expect(pg1.calls()).toEqual([stopped, ...started]);
    await expectStandby();
  });

  it("goes on when the one who said so leaves", async () => {
    scriptTarget(pg1, { ticket: whole });
    const give = await armedGive(pg1);
    give.say("go");
    give.leave();
    expect(await give.ended).toEqual(ended);
    await expectStandby();
  });

  it("follows before the promotion has ended where the synchronous rule needs it", async () => {
    const waits = "while [ ! -e $FAKE_ROOT/postmaster ]; do sleep 0.01; done";
    scriptTarget(pg1, { ticket: `${tells({ event: "consumed" })}; ${waits}; ${tells({ event: "promoted" })}` });
    const give = await armedGive(pg1, { neededAtOnce: 1 });
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "follows", "promoted"]);
    await expectStandby();
  });

  it("comes back when the target refuses", async () => {
    scriptTarget(pg1, { ticket: tells(refused("too little WAL")) });
    const give = await armedGive(pg1);
    give.say("go");
    expect(await give.rest()).toEqual([
      { event: "shut down", milliseconds, checkpointLsn: "1/3000060" },
      { ...refused("too little WAL"), milliseconds },
      { event: "restored", milliseconds },
    ]);
    expect(pg1.calls()).toEqual([stopped, stopped, ...started]);
    await expectPrimaryAgain();
  });

  it("does not listen to a refusal once the ticket was consumed", async () => {
    scriptTarget(pg1, { ticket: `${tells({ event: "consumed" })}; ${tells(refused("never mind"))}` });
    const give = await armedGive(pg1);
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "follows"]);
    await expectStandby();
  });

  it.each<[string, string, () => void]>([
    ["revoked", "restored", () => undefined],
    ["consumed", "follows", () => undefined],
    ["promoted", "follows", () => undefined],
    ["overtaken", "follows", () => undefined],
  ])("asks for the ticket back when the channel breaks: %s, so it %s", async (answer, outcome) => {
    scriptTarget(pg1, { revoke: `printf %s "$asked" > $FAKE_ROOT/asked; ${tells({ answer })}` });
    const give = await armedGive(pg1);
    give.say("go");
    expect(await give.rest()).toEqual([
      { event: "shut down", milliseconds, checkpointLsn: "1/3000060" },
      { event: "silent", reason: "pg2 does not answer", milliseconds },
      { event: outcome, milliseconds },
    ]);
    expect(JSON.parse(readFileSync(`${pg1.root}/asked`, "utf8"))).toEqual({ ask: "revoke", epoch, timeline });
    await (outcome === "restored" ? expectPrimaryAgain() : expectStandby());
  });

  it("asks for the ticket back when the target says nothing for longer than a ticket lives", async () => {
    scriptTarget(pg1, { ticket: "read -r more", revoke: tells({ answer: "revoked" }) });
    const give = await armedGive(pg1, {}, { SILENCE_SECONDS: 0.1 });
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "silent", "restored"]);
    await expectPrimaryAgain();
  });

  it("stays down until the target can be asked, and says why", async () => {
    scriptTarget(pg1, { revoke: "echo 'Connection timed out' >&2" });
    const give = pg1.verb("give", giveArguments());
    const orchestrator = await pg1.connect("give", epoch);
    await orchestrator.hear();
    orchestrator.say("go");
    await expect
      .poll(give.stderr, soon)
      .toContain("whether the ticket was used is not known, and pg2: Connection timed out");
    scriptTarget(pg1, { revoke: tells({ answer: "unreadable" }) });
    await expect.poll(give.stderr, soon).toContain("pg2: unreadable");
    expect(pg1.isRunning).toBe(false);
    expect(pg1.standbySignal).toBe(true);
    expect(pg1.read("switch")).toEqual(switchRecord("stopping"));
    scriptTarget(pg1, { revoke: tells({ answer: "revoked" }) });
    expect((await orchestrator.rest()).at(-1)).toEqual({ event: "restored", milliseconds });
    await expectPrimaryAgain();
  });

  it("sends no ticket, and comes back, when it stopped on another timeline", async () => {
    scriptTarget(pg1, { ticket: `touch $FAKE_ROOT/ticket; ${whole}` });
    const give = await armedGive(pg1, { timeline: 2 });
    give.say("go");
    expect(await give.rest()).toEqual([
      {
        ...refused("it stopped on timeline 3 of system 7000000000000000001, expected 2 of 7000000000000000001"),
        milliseconds,
      },
      { event: "restored", milliseconds },
    ]);
    expect(pg1.has("ticket")).toBe(false);
    await expectPrimaryAgain();
  });

  it("sends no ticket, and comes back, when it does not stop in time; a stop that hangs is ended", async () => {
    scriptTarget(pg1, { ticket: `touch $FAKE_ROOT/ticket; ${whole}` });
    pg1.set("hangs");
    const give = await armedGive(pg1, { stopSeconds: 0.1 }, { HUNG_STOP_SECONDS: 0.1 });
    give.say("go");
    expect(await give.rest()).toEqual([
      { ...refused("the primary did not shut down within 0.1 s"), milliseconds },
      { event: "restored", milliseconds },
    ]);
    expect(pg1.has("ticket")).toBe(false);
    const quit = "kill --kill-who=main --signal=SIGQUIT pgha-orders-pg1.service";
    expect(pg1.calls()).toEqual([stopped, stopped, quit, ...started]);
    await expectPrimaryAgain();
  });

  it("comes back whenever a stop that hangs has ended, however long that takes", async () => {
    scriptTarget(pg1, { revoke: `touch $FAKE_ROOT/asked; ${tells({ answer: "revoked" })}` });
    pg1.set("hangs");
    pg1.set("on-kill");
    const give = await armedGive(pg1, { stopSeconds: 0.1 }, { HUNG_STOP_SECONDS: 0.1, HANG_SECONDS: 0.1 });
    give.say("go");
    expect((await give.hear())?.event).toBe("refused");
    await expect.poll(() => pg1.has("asked"), soon).toBe(true);
    pg1.unset("on-kill");
    expect(await give.rest()).toEqual([{ event: "restored", milliseconds }]);
    await expectPrimaryAgain();
  });

  it("comes back at once though its postmaster lingers after the shutdown", async () => {
    scriptTarget(pg1, { ticket: tells(refused("too little WAL")) });
    pg1.set("lingers");
    const give = await armedGive(pg1);
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "refused", "restored"]);
    expect(pg1.calls()).toContain("kill --kill-who=main --signal=SIGQUIT pgha-orders-pg1.service");
    await expectPrimaryAgain();
  });

  it("waits with coming back while another orchestrator is at work", async () => {
    scriptTarget(pg1, { ticket: `while [ ! -e $FAKE_ROOT/taken ]; do sleep 0.01; done; ${tells(refused("so"))}` });
    const give = await armedGive(pg1);
    give.say("go");
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
    pg1.layLock({ epoch: 6 });
    pg1.set("taken");
    expect((await give.hear())?.event).toBe("shut down");
    expect((await give.hear())?.event).toBe("refused");
    expect(pg1.calls()).toEqual([stopped]);
    expect(pg1.standbySignal).toBe(true);
    pg1.layLock({ epoch: 6, holder: "" });
    expect((await give.hear())?.event).toBe("restored");
    await expectPrimaryAgain();
  });

  describe.each<[string, () => void]>([
    ["the journal was removed", () => rmSync(pg1.paths.journal)],
    ["it was settled", () => pg1.lay("switch", switchRecord("restored"))],
  ])("when %s by whoever took over,", (_, change) => {
    it.each([
      ["refuses", tells(refused("so")), ["shut down", "refused"]],
      ["has consumed the ticket", tells({ event: "consumed" }), ["shut down"]],
      ["is silent", "", ["shut down", "silent"]],
    ])("does nothing more though the target %s", async (__, says, events) => {
      const answer = `while [ ! -e $FAKE_ROOT/taken ]; do sleep 0.01; done; ${says}`;
      scriptTarget(pg1, { ticket: answer, revoke: tells({ answer: "revoked" }) });
      const give = await armedGive(pg1);
      give.say("go");
      await expect.poll(() => pg1.isRunning, soon).toBe(false);
      change();
      const before = pg1.read("switch");
      pg1.set("taken");
      expect((await give.rest()).map(({ event }) => event)).toEqual(events);
      expect(await give.ended).toEqual(ended);
      expect(pg1.calls()).toEqual([stopped]);
      expect(pg1.standbySignal).toBe(true);
      expect(pg1.read("switch")).toEqual(before);
      expect(readFileSync(pg1.paths.roleConf, "utf8")).toBe("# the role during the handover\n");
    });
  });
});

describe("the old primary's process, killed and started again,", { timeout: limitMilliseconds * 2 }, () => {
  it("is armed as before, and still obeys the word", async () => {
    scriptTarget(pg1, { ticket: tells({ event: "consumed" }) });
    const first = pg1.verb("give", giveArguments());
    expect(await first.hear()).toEqual({ event: "armed" });
    first.kill();
    await first.exit;
    const give = await armedGive(pg1);
    give.say("go");
    expect((await give.rest()).map(({ event }) => event)).toEqual(["shut down", "follows"]);
    await expectStandby();
  });

  it.each([
    ["revoked", expectPrimaryAgain],
    ["consumed", expectStandby],
  ] as const)("asks what became of the ticket once it may have been sent: %s", async (answer, expectOutcome) => {
    pg1.lay("switch", switchRecord("stopping"));
    pg1.set("data/standby.signal");
    scriptTarget(pg1, { revoke: tells({ answer }) });
    expect(await pg1.verb("give", giveArguments()).exit).toEqual(ended);
    await expectOutcome();
  });

  it.each([
    ["revoked", expectPrimaryAgain],
    ["overtaken", expectStandby],
  ] as const)("ends the outage that it had only written down: %s", async (answer, expectOutcome) => {
    pg1.lay("switch", switchRecord("stopping")); // no standby.signal yet, and nobody told PostgreSQL to stop
    scriptTarget(pg1, { revoke: tells({ answer }) });
    expect(await pg1.verb("give", giveArguments()).exit).toEqual(ended);
    await expectOutcome();
  });

  it.each([
    ["restored", ""],
    ["followed", "data/standby.signal"],
  ])("starts PostgreSQL when it died between %s and that", async (state, signal) => {
    await stopPostgres();
    if (signal !== "") pg1.set(signal);
    pg1.lay("switch", switchRecord(state));
    expect(await pg1.verb("give", giveArguments()).exit).toEqual(ended);
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect(pg1.read("switch")).toEqual(switchRecord(state));
  });

  it("starts nothing once the handover's journal is gone", async () => {
    await stopPostgres();
    pg1.lay("switch", switchRecord("restored"));
    rmSync(pg1.paths.journal);
    expect(await pg1.verb("give", giveArguments()).exit).toEqual(ended);
    expect(pg1.calls()).toEqual([]);
  });

  async function stopPostgres(): Promise<void> {
    process.kill(Number(readFileSync(`${pg1.root}/postmaster`, "utf8")), "SIGINT");
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
  }
});
