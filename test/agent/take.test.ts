import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import {
  armedTake,
  epoch,
  journal,
  position,
  prepareHandover,
  switchRecord,
  takeArguments,
  ticket,
  ticketRecord,
} from "../support/pretendHandover.ts";
import { bootId, type PretendHost, pretendHosts, timeline } from "../support/pretendHosts.ts";

/*
 * The target's side of a handover, `take`: who may be promoted, and what a ticket is worth afterwards.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;

beforeEach(() => {
  pg1 = hosts.host("pg1");
  pg2 = hosts.host("pg2");
});

const limits = { timeout: limitMilliseconds * 2 };
const ended = { code: 0, stderr: "" };
const refused = (reason: string) => ({ event: "refused", reason });
const tooLate = refused("the ticket came too late, or another orchestrator took over");

/** How often it asked another host. */
const asked = () => pg2.trace().filter((line) => line.startsWith("run ssh")).length;

/** It is the standby that it was; nobody told it anything. */
function expectStandby(): void {
  expect(pg2.isRunning).toBe(true);
  expect(pg2.isWritable).toBe(false);
  expect(existsSync(join(pg2.dataDirectory, "promote"))).toBe(false);
  expect(pg2.trace()).not.toContain("signal SIGUSR1");
}

describe("the target", limits, () => {
  beforeEach(() => prepareHandover(pg2));

  it("promotes itself with a ticket whose checkpoint it has received, and says each step", async () => {
    const take = await armedTake(pg2);
    expect(pg2.read("ticket")).toEqual(ticketRecord("armed"));
    take.say(ticket);
    expect(await take.hear()).toEqual({ event: "proved" });
    expect(await take.hear()).toEqual({ event: "consumed" });
    expect(await take.hear()).toEqual({ event: "promoted" });
    expect(await take.hear()).toEqual({ event: "acknowledged" });
    take.leave();
    expect(await take.ended).toMatchObject({ code: 0 });
    expect(pg2.isWritable).toBe(true);
    expect(pg2.timeline).toBe(timeline + 1);
    expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
    expect(pg2.hasPass).toBe(true);
  });

  it("has consumed the ticket on its disk before PostgreSQL hears of the promotion", async () => {
    const take = await armedTake(pg2);
    const before = pg2.trace().length;
    take.say(ticket);
    await expect.poll(() => pg2.isWritable, soon).toBe(true);
    const consumed = ["sync ticket.json.new", "rename ticket.json", "sync pg2"];
    expect(pg2.trace().slice(before).slice(0, 4)).toEqual([...consumed, "signal SIGUSR1"]);
  });

  it("is not promoted when the ticket cannot be written down", async () => {
    const take = await armedTake(pg2);
    mkdirSync(`${pg2.paths.ticket}.new`);
    take.say(ticket);
    expect(await take.ended).toMatchObject({ code: 1 });
    expectStandby();
  });

  it("waits for WAL that is under way, and proves the end of the checkpoint, not its start", async () => {
    pg2.set("received", "1/30000D7\n");
    const take = await armedTake(pg2);
    take.say(ticket);
    await expect.poll(() => pg2.has("asked-for-received"), soon).toBe(true);
    expect(pg2.isWritable).toBe(false);
    pg2.set("received", "1/30000D8\n");
    expect(await take.hear()).toEqual({ event: "proved" });
  });

  it.each<[string, () => void, object, string]>([
    [
      "WAL is missing",
      () => pg2.set("received", "1/30000D7\n"),
      {},
      "the target received WAL up to 1/30000D7, but the old primary's shutdown checkpoint ends at 1/30000D8",
    ],
    [
      "nothing was received since its start",
      () => pg2.set("received", "\n"),
      {},
      "the target received WAL up to nothing, but the old primary's shutdown checkpoint ends at 1/30000D8",
    ],
    ["PostgreSQL does not answer", () => pg2.set("mute"), {}, "the target's PostgreSQL does not answer"],
    [
      "the old primary stopped on another timeline",
      () => undefined,
      { timeline: 4 },
      "the old primary stopped on timeline 4 of system 7000000000000000001, expected 3 of 7000000000000000001",
    ],
    [
      "the ticket is another database's",
      () => undefined,
      { systemIdentifier: "7000000000000000002" },
      "the old primary stopped on timeline 3 of system 7000000000000000002, expected 3 of 7000000000000000001",
    ],
    ["another orchestrator took the cluster over", () => pg2.layLock({ epoch: 6 }), {}, tooLate.reason],
    [
      "the host was booted meanwhile",
      () => pg2.lay("ticket", { ...ticketRecord("armed"), boot: "boot-0" }),
      {},
      tooLate.reason,
    ],
  ])("refuses when %s, and the ticket is worth nothing before it says so", async (_, change, overrides, reason) => {
    const take = await armedTake(pg2, {}, { PROOF_SECONDS: 0.1, RETRY_SECONDS: 20 });
    change();
    take.say({ ...ticket, ...overrides });
    let heard = await take.hear();
    if (heard?.event === "proved") heard = await take.hear();
    expect(heard).toEqual(refused(reason));
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    take.leave();
    expect(await take.ended).toEqual({ code: 0, stderr: expect.any(String) });
    expectStandby();
  });

  it("refuses a ticket that may have lain there for longer than it lives, though it is read only now", async () => {
    const take = await armedTake(pg2, {}, { RETRY_SECONDS: 20 });
    pg2.set("clock-ahead", "6"); // it stood still since it began to listen
    take.say(ticket);
    expect([await take.hear(), await take.hear()]).toEqual([{ event: "proved" }, tooLate]);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it("waits for no ticket any more when it stood still: one may still be on its way inside its host", async () => {
    const take = await armedTake(pg2);
    pg2.set("clock-ahead", "6");
    expect(await take.rest()).toEqual([]);
    expect(await take.ended).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it("refuses a ticket under a lock that ran out meanwhile", async () => {
    const take = await armedTake(pg2, {}, { RETRY_SECONDS: 20 });
    pg2.layLock({ renewedSecondsAgo: 31 });
    take.say(ticket);
    expect([await take.hear(), await take.hear()]).toEqual([{ event: "proved" }, tooLate]);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it("is promoted only with the old primary's word when it stood still while the ticket was written down", async () => {
    pg1.lay("switch", switchRecord("restored"));
    const take = await armedTake(pg2);
    pg2.set("late-after", "ticket.json.new");
    take.say(ticket);
    const reason =
      "the ticket was consumed too late: it is promoted once the old primary says that it did not come back";
    expect([await take.hear(), await take.hear(), await take.hear()]).toEqual([
      { event: "proved" },
      { event: "consumed" },
      { event: "failed", reason },
    ]);
    await expect.poll(asked, soon).toBeGreaterThan(2);
    expect(pg2.read("ticket")).toEqual(ticketRecord("consumed"));
    expectStandby();
    pg1.lay("switch", switchRecord("stopping"));
    expect(await take.ended).toMatchObject({ code: 0 });
    expect(pg2.isWritable).toBe(true);
    expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
  });

  it("does not say that it refused when it is beyond the handover: the old primary has to ask", async () => {
    const take = await armedTake(pg2, {}, { PROOF_SECONDS: 0.1, RETRY_SECONDS: 20 });
    pg2.set("data/pg_wal/00000004.history"); // of another member's promotion
    take.say({ ...ticket, timeline: 4 });
    take.leave();
    expect(await take.rest()).toEqual([]);
    expect(await take.ended).toEqual(ended);
    expectStandby();
  });

  it("uses one ticket: what comes after it is not read", async () => {
    pg2.set("received", "1/30000D7\n");
    const take = await armedTake(pg2, {}, { PROOF_SECONDS: 0.1 });
    take.say(ticket);
    take.say({ ...ticket, end: position("1/30000D0") });
    expect((await take.hear())?.event).toBe("refused");
    take.leave();
    expect(await take.ended).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it("takes no notice of words that are not its ticket", async () => {
    pg2.set("received", "1/30000D7\n");
    const take = await armedTake(pg2, {}, { PROOF_SECONDS: 0.1 });
    const proved = { ...ticket, end: position("1/30000D0") };
    take.say({ ...proved, epoch: 4 });
    take.say({ ...proved, ask: "state" });
    take.say(JSON.stringify(proved).slice(0, -1));
    take.say(JSON.stringify(proved).replace(`"epoch":${epoch}`, `"epoch":int("${epoch}")`));
    take.say({ ...proved, more: "x".repeat(5000) });
    take.say(ticket);
    expect(await take.hear()).toMatchObject({ event: "refused" });
  });

  it("is not promoted by a ticket with a part missing", async () => {
    const take = await armedTake(pg2);
    take.say({ ask: "ticket", epoch });
    expect(await take.rest()).toEqual([]);
    expect(await take.ended).toMatchObject({ code: 1 });
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it.each<[string, () => void]>([
    ["the lock was taken over", () => pg2.layLock({ epoch: 6 })],
    ["the lock ran out", () => pg2.layLock({ renewedSecondsAgo: 31 })],
    ["the journal is gone", () => rmSync(pg2.paths.journal)],
    ["the ticket was taken away", () => pg2.lay("ticket", ticketRecord("revoked"))],
  ])("waits no longer, and the ticket is worth nothing, when %s", async (_, change) => {
    const take = await armedTake(pg2);
    change();
    expect(await take.rest()).toEqual([]);
    expect(await take.ended).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expectStandby();
  });

  it.each<[string, () => void, string, string]>([
    [
      "the lock is another's",
      () => pg2.layLock({ epoch: 6 }),
      "the lock or the journal of epoch 5 is not here",
      "revoked",
    ],
    [
      "the lock ran out",
      () => pg2.layLock({ renewedSecondsAgo: 31 }),
      "the lock or the journal of epoch 5 is not here",
      "revoked",
    ],
    [
      "there is no journal",
      () => rmSync(pg2.paths.journal),
      "the lock or the journal of epoch 5 is not here",
      "revoked",
    ],
    [
      "the ticket was taken away before",
      () => pg2.lay("ticket", ticketRecord("revoked")),
      "epoch 5 is over: found revoked of epoch 5",
      "revoked",
    ],
    [
      "the ticket was used before",
      () => pg2.lay("ticket", ticketRecord("promoted")),
      "epoch 5 is over: found promoted of epoch 5",
      "promoted",
    ],
    [
      "this process died while it was armed",
      () => pg2.lay("ticket", ticketRecord("armed")),
      "epoch 5 is over: found armed of epoch 5",
      "revoked",
    ],
    ["it is no standby", () => pg2.unset("data/standby.signal"), "it is not a standby that answers", "armed"],
  ])("is not armed when %s", async (_, change, reason, state) => {
    change();
    const take = pg2.verb("take", takeArguments());
    const listener = await pg2.connect("take", epoch);
    expect(await listener.hear()).toEqual(refused(reason));
    listener.leave();
    expect(await take.exit).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord(state));
    expectStandby();
  });

  it("leaves the ticket of a later handover as it is", async () => {
    pg2.lay("ticket", { ...ticketRecord("consumed"), epoch: 6 });
    const take = pg2.verb("take", takeArguments());
    const listener = await pg2.connect("take", epoch);
    expect(await listener.hear()).toEqual(refused("epoch 5 is over: found consumed of epoch 6"));
    listener.leave();
    expect(await take.exit).toEqual(ended);
    expect(pg2.read("ticket")).toEqual({ ...ticketRecord("consumed"), epoch: 6 });
    expectStandby();
  });

  it("says that it failed, and goes on, when PostgreSQL does not leave recovery", async () => {
    pg2.set("unpromotable");
    pg1.lay("switch", switchRecord("followed"));
    const take = await armedTake(pg2, {}, { PROMOTION_SECONDS: 0.1 });
    take.say(ticket);
    const heard = [await take.hear(), await take.hear(), await take.hear()];
    expect(heard.map((one) => one?.event)).toEqual(["proved", "consumed", "failed"]);
    pg2.unset("unpromotable");
    expect(await take.ended).toEqual(ended);
    expect(pg2.isWritable).toBe(true);
    expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
  });

  it("asks for the commit anew when the server started anew after the promotion, though psql lives on", async () => {
    pg2.set("unacknowledged");
    const take = await armedTake(pg2);
    take.say(ticket);
    const heard = [await take.hear(), await take.hear(), await take.hear()];
    expect(heard.at(-1)).toEqual({ event: "promoted" });
    await expect.poll(() => pg2.has("asked-for-commit"), soon).toBe(true);
    pg2.unset("unacknowledged");
    process.kill(Number(pg2.get("backend")), "SIGKILL");
    expect(await take.hear()).toEqual({ event: "acknowledged" });
  });

  it("says that no commit was acknowledged in time", async () => {
    pg2.set("unacknowledged");
    const take = await armedTake(pg2, { acknowledgeSeconds: 0.1 });
    take.say(ticket);
    const heard = [await take.hear(), await take.hear(), await take.hear(), await take.hear()];
    expect(heard.at(-1)).toEqual({ event: "failed", reason: "no commit was acknowledged within 0.1 s" });
    expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
  });
});

describe("a promotion whose process died", limits, () => {
  beforeEach(() => prepareHandover(pg2));

  it.each(["stopping", "followed"])(
    "is completed by the process that is started again, by the old primary's word: %s",
    async (state) => {
      pg2.lay("ticket", ticketRecord("consumed"));
      pg1.lay("switch", switchRecord(state));
      expect(await pg2.verb("take", takeArguments()).exit).toEqual(ended);
      expect(pg2.isWritable).toBe(true);
      expect(pg2.read("ticket")).toEqual(ticketRecord("promoted"));
      expect(pg2.hasPass).toBe(true);
    },
  );

  it.each<[string, () => void, string]>([
    [
      "came back",
      () => pg1.lay("switch", switchRecord("restored")),
      "whether pg1 came back as primary is not known: its switch says restored of epoch 5",
    ],
    [
      "cannot be asked",
      () => pg1.set("unreachable"),
      "whether pg1 came back as primary is not known: ssh: connect to host 203.0.113.11 port 22: No route to host",
    ],
    [
      "is held by a later orchestrator",
      () => {
        pg1.lay("switch", switchRecord("stopping"));
        pg1.layLock({ epoch: 6 });
      },
      "an orchestrator is at work on pg1, and may bring it back",
    ],
    [
      "is being brought back",
      () => pg1.lay("switch", { ...switchRecord("stopping"), under: 6 }),
      "an orchestrator is at work on pg1, and may bring it back",
    ],
  ])("is not completed while the old primary %s, and says why", async (_, change, reason) => {
    pg2.lay("ticket", ticketRecord("consumed"));
    change();
    const take = pg2.verb("take", takeArguments());
    await expect.poll(asked, soon).toBeGreaterThan(2);
    expectStandby();
    expect(take.stderr()).toBe(`pg2 is not promoted yet: ${reason}\n`);
    expect(pg2.read("ticket")).toEqual(ticketRecord("consumed"));
  });

  it("is not completed by a word that became too old before it was used", async () => {
    pg2.lay("ticket", ticketRecord("consumed"));
    pg1.lay("switch", switchRecord("stopping"));
    pg2.set("late-after", "pass.new");
    const take = pg2.verb("take", takeArguments());
    expect(await take.exit).toEqual({ code: 0, stderr: "pg2 is not promoted yet: what pg1 said is too old\n" });
    expect(asked()).toBe(2);
    expect(pg2.isWritable).toBe(true);
  });

  it.each<[string, () => void]>([
    ["the journal of that handover is gone", () => rmSync(pg2.paths.journal)],
    ["a later handover is under way", () => pg2.lay("journal", { ...journal, epoch: 6 })],
    ["it is a standby on a higher timeline", () => pg2.set("data/pg_wal/00000004.history")],
  ])("is not completed when %s", async (_, change) => {
    pg2.lay("ticket", ticketRecord("consumed"));
    change();
    expect(await pg2.verb("take", takeArguments()).exit).toEqual(ended);
    expect(pg2.read("ticket")).toEqual(ticketRecord("consumed"));
    expectStandby();
  });
});

describe("taking the ticket away", limits, () => {
  beforeEach(() => pg2.set("data/standby.signal"));

  const takeBack = async () => {
    const answer = pg2.verb("take_back", { journal: epoch, timeline });
    const said = await answer.hear();
    expect(await answer.exit).toEqual(ended);
    return said?.result;
  };

  it("is durable when it is answered, and leaves a later ticket alone", async () => {
    pg2.lay("ticket", ticketRecord("armed"));
    expect(await takeBack()).toBe("revoked");
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
    expect(pg2.trace().slice(-3)).toEqual(["sync ticket.json.new", "rename ticket.json", "sync pg2"]);
    const later = { ...ticketRecord("armed"), epoch: 6 };
    pg2.lay("ticket", later);
    expect(await takeBack()).toBe("overtaken");
    expect(pg2.read("ticket")).toEqual(later);
  });

  it("is too late when it was promoted by hand, whatever was said before", async () => {
    pg2.lay("ticket", ticketRecord("revoked"));
    pg2.unset("data/standby.signal");
    expect(await takeBack()).toBe("overtaken");
  });

  it("is answered by the ticket, and by where the target is by now", async () => {
    const cases: [object, number, boolean, string][] = [
      [ticketRecord("armed"), 3, true, "revoked"],
      [ticketRecord("revoked"), 3, true, "revoked"],
      [{ ...ticketRecord("consumed"), epoch: 4 }, 3, true, "revoked"],
      [{ epoch: 0, state: "none" }, 3, true, "revoked"],
      [ticketRecord("consumed"), 3, true, "consumed"],
      [ticketRecord("promoted"), 4, false, "promoted"],
      [{ ...ticketRecord("armed"), epoch: 6 }, 3, true, "overtaken"],
      [ticketRecord("revoked"), 4, true, "overtaken"],
      [ticketRecord("armed"), 3, false, "overtaken"],
    ];
    const calls = cases.map(([lies, own, isStandby]) => ["after_revocation", lies, epoch, timeline, own, isStandby]);
    expect(await hosts.evaluate(calls)).toEqual(cases.map(([, , , answer]) => answer));
  });

  it("is not done by a host that cannot read its data", async () => {
    rmSync(join(pg2.dataDirectory, "global", "pg_control"));
    pg2.lay("ticket", ticketRecord("armed"));
    expect(await takeBack()).toBe("unreadable");
    expect(pg2.read("ticket")).toEqual(ticketRecord("armed"));
  });
});

describe("the right to promote", limits, () => {
  it("is a ticket armed for this epoch, in this boot, under a living lock of this epoch, and no older than 5 s", async () => {
    const armed = ticketRecord("armed");
    const lock = { epoch, alive: true };
    const call = (overrides: object, lockEpoch = epoch, age = 4.9) => [
      "may_consume",
      { ...armed, ...overrides },
      { ...lock, epoch: lockEpoch },
      epoch,
      bootId,
      age,
    ];
    expect(
      await hosts.evaluate([
        call({}),
        call({ state: "consumed" }),
        call({ state: "promoted" }),
        call({ state: "revoked" }),
        call({ state: "none" }),
        call({ epoch: 4 }),
        call({ epoch: 6 }),
        call({ boot: "boot-0" }),
        call({}, 6),
        call({}, epoch, 5),
        ["may_consume", armed, { ...lock, alive: false }, epoch, bootId, 4.9],
      ]),
    ).toEqual([true, false, false, false, false, false, false, false, false, false, false]);
  });

  it("needs the whole checkpoint record, also where it goes over pages and segments", async () => {
    const segment = 16 * 1024 * 1024;
    const end = (start: number) => ["checkpoint_end", start, segment];
    expect(
      await hosts.evaluate([
        end(position("1/3000060")),
        end(position("1/3001F88")), // 120 bytes are left on the page: it ends with it
        end(position("1/3001F90")), // two bytes go to the next page, behind its header
        end(position("1/3FFFFC8")), // over the end of the segment, whose header is longer
      ]),
    ).toEqual(["1/30000D8", "1/3002000", "1/3002020", "1/4000068"].map(position));
  });
});
