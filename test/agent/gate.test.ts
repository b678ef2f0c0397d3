import { readFileSync, rmSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { epoch, journal, scriptTarget, switchRecord, tells, ticketRecord } from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts, systemIdentifier, timeline } from "../support/pretendHosts.ts";

/*
 * Before PostgreSQL starts, and after: who may start without a question, who has to ask, and what is made of the answers.
 * The unit's hooks run as systemd runs them, and ask pretended neighbours over the channel.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;
let pg3: PretendHost;

beforeEach(() => {
  [pg1, pg2, pg3] = [hosts.host("pg1"), hosts.host("pg2"), hosts.host("pg3")];
});

const limits = { timeout: limitMilliseconds * 2 };

/** The unit is at its gate, for this reason. */
async function expectWaits(host: PretendHost, reason: string): Promise<void> {
  await expect.poll(() => host.gateReason, soon).toBe(reason);
  expect(host.isRunning).toBe(false);
}

async function expectStarts(host: PretendHost): Promise<void> {
  await expect.poll(() => host.isRunning, soon).toBe(true);
  expect(host.gateReason).toBeUndefined();
}

/** It holds the word of nobody: neighbours were not asked. */
function expectNobodyAsked(host: PretendHost): void {
  expect(host.trace().filter((line) => line.startsWith("run ssh"))).toEqual([]);
}

const unreachable = (address: string) => `ssh: connect to host ${address} port 22: No route to host`;

describe("PostgreSQL starts without a question", limits, () => {
  beforeEach(() => {
    pg2.set("unreachable");
    pg3.set("unreachable");
  });

  it("as a primary whose process died in this boot, when systemd itself starts it again", async () => {
    pg1.set("restarts", "1\n");
    pg1.startUnit();
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
    expectNobodyAsked(pg1);
  });

  it("but not when it had failed for good and somebody starts it: another may have been promoted since", async () => {
    pg1.startUnit();
    await expect.poll(() => pg1.gateReason, soon).toMatch(/^only 1 of 3 members answer/);
    expect(pg1.isRunning).toBe(false);
  });

  it("as a primary whose right to this start was just proved, and only to this one", async () => {
    pg1.grantStart();
    pg1.startUnit();
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
    expectNobodyAsked(pg1);
    expect(readFileSync(pg1.paths.pass, "utf8")).not.toContain("once");
  });

  it("as a standby, after a boot too", async () => {
    pg1.reboot();
    pg1.set("data/standby.signal");
    pg1.startUnit();
    await expectStarts(pg1);
    expectNobodyAsked(pg1);
  });

  it("but not where its data is not complete", async () => {
    pg1.lay("marker", { systemIdentifier, state: "cloning" });
    pg1.set("data/standby.signal");
    pg1.startUnit();
    await expectWaits(pg1, "its data is not complete (cloning)");
    rmSync(pg1.paths.marker);
    await expectWaits(pg1, "its data is not complete (no marker)");
  });
});

describe("a former primary", limits, () => {
  it.each<[string, () => void]>([
    ["after a boot", () => pg1.reboot()],
    ["after an intended stop", () => pg1.stopUnit()],
  ])("waits %s until a majority has answered that nobody was promoted", async (_, end) => {
    await pg1.startPostgres();
    pg2.set("unreachable");
    pg3.set("unreachable");
    end();
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
    pg1.startUnit();
    await expectWaits(
      pg1,
      `only 1 of 3 members answer (pg2: ${unreachable("203.0.113.12")}; pg3: ${unreachable("203.0.113.13")})`,
    );
    expect(pg1.hasPass).toBe(false);
    pg3.unset("unreachable");
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
    expect(pg1.hasPass).toBe(true);
  });

  it("does not start as a primary after a boot while one that answers is on a higher timeline", async () => {
    pg3.set("data/pg_wal/00000004.history");
    pg1.reboot();
    pg1.startUnit();
    await expectWaits(pg1, "pg3 is on timeline 4, this member on 3: another member was promoted meanwhile");
    expect(pg1.hasPass).toBe(false);
  });

  it("is allowed to start by a majority, of which nobody objects and everybody can read its own data", async () => {
    const own = { systemIdentifier, timeline, began: { timeline: 2, endLsn: "0/05000100" } };
    const state = {
      ...{ systemIdentifier, timeline, began: "0/5000100 of timeline 2", state: "in archive recovery" },
      ...{ ticketEpoch: 0, ticketState: "none" },
    };
    const silent = { unreachable: "no answer within 5 s" };
    const blind = { ...state, systemIdentifier: "", timeline: 0, state: "" };
    const cases: [Record<string, object>, string | null][] = [
      [{ pg2: state, pg3: state }, null],
      [{ pg2: silent, pg3: state }, null],
      [{ pg2: { ...state, timeline: 2 }, pg3: silent }, null],
      [{ pg2: state, pg3: { ...state, ticketEpoch: 5, ticketState: "revoked" } }, null],
      [
        { pg2: silent, pg3: silent },
        "only 1 of 3 members answer (pg2: no answer within 5 s; pg3: no answer within 5 s)",
      ],
      [
        { pg2: silent, pg3: blind },
        "only 1 of 3 members answer (pg2: no answer within 5 s; pg3: its pg_control cannot be read)",
      ],
      [
        { pg2: state, pg3: { ...state, timeline: 4 } },
        "pg3 is on timeline 4, this member on 3: another member was promoted meanwhile",
      ],
      [{ pg2: state, pg3: { ...state, began: "" } }, null],
      [{ pg2: state, pg3: { ...state, began: "0/5000148 of timeline 2" } }, null],
      [
        { pg2: { ...state, began: "0/5000100 of timeline 1" }, pg3: { ...state, began: "0/5000148 of timeline 2" } },
        "only 1 of 3 members answer (pg2: was promoted apart; pg3: was promoted apart)",
      ],
      [
        { pg2: silent, pg3: { ...state, began: "0/5000148 of timeline 2" } },
        "only 1 of 3 members answer (pg2: no answer within 5 s; pg3: was promoted apart)",
      ],
      [{ pg2: state, pg3: { ...state, state: "in production" } }, "pg3 is in production"],
      [
        { pg2: state, pg3: { ...state, ticketEpoch: 5, ticketState: "consumed" } },
        "pg3 holds the right to be primary (epoch 5)",
      ],
      [{ pg2: state, pg3: { ...state, systemIdentifier: "8" } }, "pg3 holds another database (system identifier 8)"],
    ];
    const verdicts = await hosts.evaluate(cases.map(([answers]) => ["verdict", own, answers, 3]));
    expect(verdicts).toEqual(cases.map(([, reason]) => reason));
    expect(
      await hosts.evaluate([
        ["verdict", own, { pg2: silent }, 2],
        ["verdict", own, {}, 1],
      ]),
    ).toEqual(["only 1 of 2 members answer (pg2: no answer within 5 s)", null]);
  });

  it("asks when the start that somebody was allowed to order comes too late", async () => {
    pg2.set("unreachable");
    pg3.set("unreachable");
    pg1.grantStart(-1);
    pg1.startUnit();
    await expectWaits(
      pg1,
      `only 1 of 3 members answer (pg2: ${unreachable("203.0.113.12")}; pg3: ${unreachable("203.0.113.13")})`,
    );
    pg1.grantStart();
    await expectStarts(pg1);
  });

  it("is let in by an orchestrator that holds the cluster, and by no other", async () => {
    rmSync(pg1.paths.pass);
    pg2.set("unreachable");
    pg3.set("unreachable");
    pg1.startUnit();
    const admit = () => pg1.verb("admit", { lock: pg1.paths.lock, epoch });
    for (const lost of [{ epoch: 6 }, { renewedSecondsAgo: 31 }]) {
      pg1.layLock(lost);
      expect(await admit().hear()).toMatchObject({ result: "lock lost" });
      expect(pg1.hasPass).toBe(false);
    }
    pg1.layLock();
    expect(await admit().hear()).toEqual({ result: "admitted" });
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
  });
});

describe("an old primary whose ticket may have been sent", limits, () => {
  beforeEach(() => {
    pg1.lay("journal", journal);
    pg1.lay("switch", switchRecord("stopping"));
    pg1.set("data/standby.signal");
    pg2.set("data/standby.signal");
    pg2.lay("ticket", ticketRecord("armed"));
  });

  it("waits in the same boot: the handover is settled by its own process", async () => {
    pg1.startUnit();
    await expectWaits(pg1, "a handover is under way (epoch 5)");
    expectNobodyAsked(pg1);
    expect(pg1.read("switch")).toEqual(switchRecord("stopping"));
    expect(pg2.read("ticket")).toEqual(ticketRecord("armed"));
  });

  it("comes back as primary after a boot once the ticket is worth nothing", async () => {
    pg1.reboot();
    pg1.startUnit();
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
    expect(pg1.hasPass).toBe(true);
    expect(pg1.read("switch")).toEqual({ ...switchRecord("restored"), boot: "boot-2" });
    expect(pg2.read("ticket")).toEqual(ticketRecord("revoked"));
  });

  it.each<[string, () => void]>([
    ["consumed the ticket", () => pg2.lay("ticket", ticketRecord("consumed"))],
    ["was promoted with it", () => pg2.lay("ticket", ticketRecord("promoted"))],
    ["was promoted by hand", () => pg2.unset("data/standby.signal")],
    ["has had a later handover", () => pg2.lay("ticket", { ...ticketRecord("revoked"), epoch: 6 })],
  ])(
    "follows after a boot when the target %s, also when the power went before standby.signal was",
    async (_, change) => {
      pg1.unset("data/standby.signal");
      change();
      pg1.reboot();
      pg1.startUnit();
      await expectStarts(pg1);
      expect(pg1.isWritable).toBe(false);
      expect(pg1.read("switch")).toEqual({ ...switchRecord("followed"), boot: "boot-2" });
    },
  );

  it("waits after a boot until the target has spoken, whatever a majority says", async () => {
    pg2.set("unreachable");
    pg1.reboot();
    pg1.startUnit();
    await expectWaits(pg1, `whether pg2 was promoted is not known: ${unreachable("203.0.113.12")}`);
    expect(pg1.read("switch")).toEqual(switchRecord("stopping"));
    pg2.unset("unreachable");
    await expectStarts(pg1);
  });

  it("waits after a boot when the target is no member any more", async () => {
    pg1.removePeer("pg2");
    pg1.reboot();
    pg1.startUnit();
    await expectWaits(pg1, "whether pg2 was promoted is not known: it is no member any more");
  });

  it("leaves its return to the orchestrator that holds the cluster", async () => {
    pg1.reboot();
    pg1.layLock({ epoch: 6, boot: "boot-2" });
    pg1.startUnit();
    await expectWaits(pg1, "an orchestrator is at work");
    expect(pg1.standbySignal).toBe(true);
    pg1.layLock({ epoch: 6, boot: "boot-2", holder: "" });
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(true);
  });

  it("leaves alone what somebody settled while the target was asked", async () => {
    pg1.reboot();
    const settles = `printf '%s' '${JSON.stringify(switchRecord("followed"))}' > ${pg1.paths.switch}`;
    scriptTarget(pg1, { revoke: `${settles}; ${tells({ answer: "revoked" })}` });
    pg1.startUnit();
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(false);
    expect(pg1.read("switch")).toEqual(switchRecord("followed"));
  });

  it("follows, and asks nobody, when the handover was ended without it", async () => {
    pg1.reboot();
    rmSync(pg1.paths.journal);
    pg1.startUnit();
    await expectStarts(pg1);
    expect(pg1.isWritable).toBe(false);
    expectNobodyAsked(pg1);
  });
});

describe("a target with a consumed ticket", limits, () => {
  beforeEach(() => {
    pg2.lay("journal", journal);
    pg2.lay("ticket", ticketRecord("consumed"));
    pg1.lay("switch", switchRecord("followed"));
  });

  it.each(["stopping", "followed"])(
    "completes its promotion after a boot when the old primary says: %s",
    async (state) => {
      pg2.set("data/standby.signal");
      pg1.lay("switch", switchRecord(state));
      pg2.reboot();
      pg2.startUnit();
      await expect.poll(() => pg2.read("ticket"), soon).toMatchObject({ epoch, state: "promoted" });
      expect(pg2.isWritable).toBe(true);
      expect(pg2.timeline).toBe(timeline + 1);
    },
  );

  it.each<[string, () => void]>([
    ["cannot be asked", () => pg1.set("unreachable")],
    ["came back as primary", () => pg1.lay("switch", switchRecord("restored"))],
    ["knows of another handover only", () => pg1.lay("switch", { ...switchRecord("followed"), epoch: 6 })],
    ["follows somebody else by now", () => pg1.set("data/pg_wal/00000004.history")],
  ])("stays a standby after a boot while the old primary %s", async (_, change) => {
    pg2.set("data/standby.signal");
    change();
    pg2.reboot();
    pg2.startUnit();
    await expect.poll(() => pg2.trace().filter((line) => line.startsWith("run ssh")).length, soon).toBeGreaterThan(2);
    expect(pg2.isRunning).toBe(true);
    expect(pg2.isWritable).toBe(false);
    expect(pg2.read("ticket")).toEqual(ticketRecord("consumed"));
  });

  it("does not start as a primary after a boot without the old primary's word, whatever a majority says", async () => {
    pg1.set("unreachable");
    pg2.layControl({ timeline: timeline + 1 }); // promoted, and its host died before anybody followed
    pg2.reboot();
    pg2.startUnit();
    await expectWaits(pg2, `whether pg1 came back as primary is not known: ${unreachable("203.0.113.11")}`);
    pg1.lay("switch", switchRecord("restored"));
    pg1.unset("unreachable");
    await expectWaits(pg2, "whether pg1 came back as primary is not known: its switch says restored of epoch 5");
    pg1.lay("switch", switchRecord("stopping"));
    await expectStarts(pg2);
    expect(pg2.isWritable).toBe(true);
  });

  it("asks in the same boot too: its host may have stood still", async () => {
    pg1.lay("switch", switchRecord("restored"));
    pg2.set("data/standby.signal");
    pg2.startUnit();
    await expect.poll(() => pg2.trace().filter((line) => line.startsWith("run ssh")).length, soon).toBeGreaterThan(2);
    expect(pg2.isWritable).toBe(false);
    pg1.lay("switch", switchRecord("followed"));
    await expect.poll(() => pg2.read("ticket"), soon).toEqual(ticketRecord("promoted"));
    expect(pg2.isWritable).toBe(true);
  });

  it("stays a standby when the handover has been ended", async () => {
    pg2.set("data/standby.signal");
    rmSync(pg2.paths.journal);
    await pg2.startPostgres();
    await expect.poll(() => pg2.has("started"), soon).toBe(true);
    expect(pg2.isWritable).toBe(false);
    expect(pg2.read("ticket")).toEqual(ticketRecord("consumed"));
  });

  it.each([
    [{}, "forward", true],
    [{ epoch: 6 }, "lock lost", false],
    [{ renewedSecondsAgo: 31 }, "lock lost", false],
  ])(
    "is promoted by an orchestrator that holds the cluster, and by no other: lock %j",
    async (lock, result, promoted) => {
      pg1.set("unreachable"); // so that it does not go on by itself
      pg2.set("data/standby.signal");
      pg2.reboot();
      await pg2.startPostgres();
      pg2.layLock({ boot: "boot-2", ...lock });
      expect(await pg2.verb("complete", { lock: pg2.paths.lock, epoch }).hear()).toMatchObject({ result });
      expect(pg2.trace().includes("signal SIGUSR1")).toBe(promoted);
    },
  );

  it.each(["armed", "revoked", "promoted"])(
    "is not promoted by an orchestrator when its ticket is %s",
    async (state) => {
      pg2.set("data/standby.signal");
      pg2.lay("ticket", ticketRecord(state));
      await pg2.startPostgres();
      pg2.layLock();
      expect(await pg2.verb("complete", { lock: pg2.paths.lock, epoch }).hear()).toEqual({ result: "forward" });
      expect(pg2.trace()).not.toContain("signal SIGUSR1");
    },
  );
});
