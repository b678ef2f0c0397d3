import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import type { Journal, LocalFacts, MemberObservation } from "./observation.ts";
import { openJournal, recoveryOf, unfinishedWork } from "./unfinished.ts";

const journal: Journal = {
  operation: "switchover",
  from: "pg1",
  to: "pg2",
  epoch: 4,
  systemIdentifier: "7000000000000000001",
  timeline: 1,
  startedAt: "2026-03-01T10:00:00.000Z",
  holder: "anna@desk, pid 4711",
};

/** A member whose PostgreSQL is down, with the data of a standby. */
function stoppedStandby(member: string, timeline = 1): MemberObservation {
  return stopped(member, {
    local: { standbySignal: true },
    control: { state: "shut down in recovery", timeline },
  });
}

/** The host answers; PostgreSQL neither answers nor is surely down. */
function silent(member: string, local: Partial<LocalFacts> = {}): MemberObservation {
  return stopped(member, { local: { unit: "activating", ...local } });
}

describe("what was begun and not ended", () => {
  it("is nothing on a settled cluster", () => {
    const members = [primary("pg1"), standby("pg2", "pg1")];
    expect(openJournal(members)).toBeUndefined();
    expect(unfinishedWork(members)).toBeUndefined();
  });

  it("is a switchover when a member has its journal, said with when and by whom", () => {
    const members = [primary("pg1"), standby("pg2", "pg1", { local: { journal } })];
    expect(openJournal(members)).toEqual(journal);
    expect(unfinishedWork(members)).toBe(
      "the switchover pg1 -> pg2, begun 2026-03-01T10:00:00.000Z by anna@desk, pid 4711",
    );
  });

  it("is the newest switchover when an older journal was left on another member", () => {
    const newer: Journal = { ...journal, epoch: 5, from: "pg2", to: "pg3" };
    const members = [primary("pg1", { local: { journal } }), standby("pg2", "pg1", { local: { journal: newer } })];
    expect(openJournal(members)).toEqual(newer);
  });

  it("is a clone or a creation when a marker says so", () => {
    const marker = (member: string, state: "creating" | "cloning") => ({
      cluster: "orders",
      member,
      state,
      dataDirectory: `/var/lib/postgresql/17/orders-${member}`,
    });
    expect(
      unfinishedWork([
        empty("pg1", { marker: marker("pg1", "creating") }),
        empty("pg2", { marker: marker("pg2", "cloning") }),
        unreachable("pg3"),
      ]),
    ).toBe("the data of pg1 creating, pg2 cloning");
  });
});

describe("what the next `up` does about a switchover pg1 -> pg2 that did not end", () => {
  it("pg1 is still writable: forgets it", () => {
    expect(recoveryOf(journal, [primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg2")])).toEqual({
      kind: "clear",
    });
  });

  it("pg1 is still writable and pg2 cannot be asked: stops, for pg2 may be writable too", () => {
    expect(recoveryOf(journal, [primary("pg1"), unreachable("pg2"), standby("pg3", "pg1")])).toEqual({
      kind: "stop",
      reason: "pg2 cannot be read, and may be primary as well",
    });
  });

  it("pg2 is writable: goes on to its end", () => {
    const promoted = primary("pg2", { postgres: { timeline: 2 } });
    expect(recoveryOf(journal, [stopped("pg1"), promoted, standby("pg3", "pg2")])).toEqual({
      kind: "forward",
      startTarget: false,
    });
  });

  it("pg2 is writable: goes on without pg1 when that cannot be reached", () => {
    const promoted = primary("pg2", { postgres: { timeline: 2 } });
    expect(recoveryOf(journal, [unreachable("pg1"), promoted, standby("pg3", "pg2")])).toEqual({
      kind: "forward",
      startTarget: false,
    });
  });

  it("pg2 was promoted and is down: it is started, and goes on to its end", () => {
    const promoted = stopped("pg2", { control: { timeline: 2 } });
    expect(recoveryOf(journal, [stopped("pg1"), promoted, standby("pg3", "pg2")])).toEqual({
      kind: "forward",
      startTarget: true,
    });
  });

  it("pg2 was promoted and is down, but pg3 is on a timeline beyond it: stops", () => {
    const promoted = stopped("pg2", { control: { timeline: 2 } });
    expect(recoveryOf(journal, [stopped("pg1"), promoted, stoppedStandby("pg3", 3)])).toEqual({
      kind: "stop",
      reason: "nobody is writable, but the timeline of pg2, pg3 is higher than 1",
    });
  });

  it("pg1 is down and nobody was promoted: it comes back", () => {
    expect(recoveryOf(journal, [stopped("pg1"), standby("pg2", "pg1"), standby("pg3", "pg2")])).toEqual({
      kind: "restore",
    });
  });

  it("pg1 was marked as a standby already, and nobody was promoted: it comes back all the same", () => {
    const demoted = stopped("pg1", { local: { standbySignal: true } });
    expect(recoveryOf(journal, [demoted, standby("pg2", "pg1"), standby("pg3", "pg2")])).toEqual({ kind: "restore" });
  });

  it("pg1 crashed while it was writable, and nobody was promoted: it comes back", () => {
    const crashed = stopped("pg1", { local: { unit: "failed" }, control: { state: "in production" } });
    expect(recoveryOf(journal, [crashed, standby("pg2", "pg1"), stoppedStandby("pg3")])).toEqual({ kind: "restore" });
  });

  it("pg1 and pg2 are both writable: stops", () => {
    const promoted = primary("pg2", { postgres: { timeline: 2 } });
    expect(recoveryOf(journal, [primary("pg1"), promoted, standby("pg3", "pg2")])).toEqual({
      kind: "stop",
      reason: "pg1 and pg2 are both writable",
    });
  });

  it("pg3 became primary on a higher timeline meanwhile: the handover is void", () => {
    const third = primary("pg3", { postgres: { timeline: 2 } });
    expect(recoveryOf(journal, [stopped("pg1"), standby("pg2", "pg3"), third])).toEqual({
      kind: "overtaken",
      by: "pg3",
    });
  });

  it("pg3 became primary meanwhile, and the old primary cannot be read: stops", () => {
    const third = primary("pg3", { postgres: { timeline: 2 } });
    expect(recoveryOf(journal, [unreachable("pg1"), standby("pg2", "pg3"), third])).toEqual({
      kind: "stop",
      reason: "pg3 became primary meanwhile, and pg1 cannot be read, and may be primary",
    });
  });

  it("the target consumed its ticket: forward, running or not, and whatever else is seen of its timeline", () => {
    const ticket = { epoch: 4, state: "consumed" } as const;
    const running = standby("pg2", "pg1", { local: { ticket } });
    expect(recoveryOf(journal, [stopped("pg1"), running])).toEqual({ kind: "forward", startTarget: false });
    const down = stopped("pg2", { local: { ticket, standbySignal: true } });
    expect(recoveryOf(journal, [stopped("pg1"), down])).toEqual({ kind: "forward", startTarget: true });
    expect(recoveryOf(journal, [primary("pg1"), running])).toEqual({
      kind: "stop",
      reason: "pg1 is writable, but pg2 holds the right to be primary",
    });
  });

  describe("pg2 holds its ticket, and pg1 was brought back when pg2 had been taken out of members:", () => {
    const givenUp = {
      kind: "stop",
      reason: "pg2 holds the right to be primary, but was given up: pg1 was brought back, and may have written since",
      givenUp: "pg2",
    };
    const restored = { epoch: 4, state: "restored" } as const;
    const waiting = stopped("pg1", { local: { unit: "waiting", switch: restored } });
    const running = primary("pg1", { local: { switch: restored } });

    it.each(["consumed", "promoted"] as const)("never goes forward with a ticket that is %s", (state) => {
      const local = { ticket: { epoch: 4, state } };
      const follows = standby("pg2", "pg1", { local });
      const down = stopped("pg2", { local, control: { timeline: 2 } });
      const writable = primary("pg2", { local, postgres: { timeline: 2 } });
      for (const old of [waiting, running]) {
        for (const target of [follows, down]) expect(recoveryOf(journal, [old, target])).toEqual(givenUp);
      }
      expect(recoveryOf(journal, [waiting, writable])).toEqual(givenUp);
      expect(recoveryOf(journal, [running, writable])).toEqual({
        kind: "stop",
        reason: "pg1 and pg2 are both writable",
      });
      expect(recoveryOf(journal, [waiting, follows, primary("pg3", { postgres: { timeline: 2 } })])).toEqual(givenUp);
    });

    it.each(["consumed", "promoted"] as const)("nor while pg1 cannot be reached, ticket %s", (state) => {
      const local = { ticket: { epoch: 4, state } };
      const unasked = { kind: "stop", reason: "pg1 cannot be read, and may know that pg1 was brought back" };
      const stopping = { epoch: 4, state: "stopping" } as const;
      for (const target of [standby("pg2", "pg1", { local }), stopped("pg2", { local, control: { timeline: 2 } })]) {
        expect(recoveryOf(journal, [unreachable("pg1"), target, standby("pg3", "pg1")])).toEqual(unasked);
        const startTarget = target.postgres === undefined;
        const forward = { kind: "forward", startTarget };
        expect(recoveryOf(journal, [silent("pg1"), target, standby("pg3", "pg1")])).toEqual(unasked);
        const ending = silent("pg1", { switch: stopping });
        expect(recoveryOf(journal, [ending, target, standby("pg3", "pg1")])).toEqual(forward);
      }
    });

    it("goes forward when pg1 was brought back in an older handover", () => {
      const before = stopped("pg1", { local: { switch: { ...restored, epoch: 3 } } });
      const consumed = standby("pg2", "pg1", { local: { ticket: { epoch: 4, state: "consumed" } } });
      expect(recoveryOf(journal, [before, consumed])).toEqual({ kind: "forward", startTarget: false });
    });

    it("goes forward when pg2 was promoted by hand after its ticket was taken away, and pg1 is down", () => {
      const promoted = primary("pg2", { local: { ticket: { epoch: 4, state: "revoked" } }, postgres: { timeline: 2 } });
      expect(recoveryOf(journal, [waiting, promoted])).toEqual({ kind: "forward", startTarget: false });
    });
  });

  describe("pg2 holds its ticket, and pg1 can no longer say whether it was brought back:", () => {
    const consumed = { ticket: { epoch: 4, state: "consumed" } } as const;
    const target = standby("pg2", "pg1", { local: consumed });
    const forward = { kind: "forward", startTarget: false };
    const givenUp = (found: string) => ({
      kind: "stop",
      reason: `pg2 holds the right to be primary, but ${found}: pg1 was brought back, and may have written since`,
      givenUp: "pg2",
    });

    it("goes forward without pg1, which was taken out, when everybody else was read and nobody recorded anything", () => {
      expect(recoveryOf(journal, [target, standby("pg3", "pg1")])).toEqual(forward);
    });

    it.each([4, 5])("does not when pg3 recorded that the target of epoch %i was given up", (epoch) => {
      expect(recoveryOf(journal, [target, standby("pg3", "pg1", { local: { givenUp: epoch } })])).toEqual(
        givenUp("was given up, as pg3 recorded"),
      );
    });

    it("nor when it was promoted and is down", () => {
      const down = stopped("pg2", { control: { timeline: 2 } });
      expect(recoveryOf(journal, [down, standby("pg3", "pg1", { local: { givenUp: 4 } })])).toEqual({
        ...givenUp("was given up, as pg3 recorded"),
        reason: "pg2 was promoted, but was given up, as pg3 recorded: pg1 was brought back, and may have written since",
      });
    });

    it("goes forward when only the target of an older handover was given up", () => {
      expect(recoveryOf(journal, [target, standby("pg3", "pg1", { local: { givenUp: 3 } })])).toEqual(forward);
    });

    it("does not while pg3 cannot be read: it may be primary by now, or know that pg1 was brought back", () => {
      const unsure = { kind: "stop", reason: "pg3 cannot be read, and may know that pg1 was brought back" };
      expect(recoveryOf(journal, [target, unreachable("pg3")])).toEqual(unsure);
      expect(recoveryOf(journal, [stopped("pg1"), target, unreachable("pg3")])).toEqual(unsure);
    });

    it.each(["stopping", "followed"] as const)("goes forward by pg1's own word of this epoch: %s", (state) => {
      const old = stopped("pg1", { local: { switch: { epoch: 4, state }, givenUp: 4 } });
      expect(recoveryOf(journal, [old, target, unreachable("pg3")])).toEqual(forward);
    });

    it("does not when pg1 has handed over to pg3 since, and says followed of that", () => {
      const old = standby("pg1", "pg3", { local: { switch: { epoch: 6, state: "followed" } } });
      expect(recoveryOf(journal, [old, target, standby("pg3", "pg1")])).toEqual(
        givenUp("pg1 took part in a later switchover"),
      );
    });

    it("never goes forward where another member is on a newer timeline, whatever pg1 says", () => {
      const old = stopped("pg1", { local: { switch: { epoch: 4, state: "followed" } } });
      expect(recoveryOf(journal, [old, target, stoppedStandby("pg3", 2)])).toEqual({
        kind: "stop",
        reason: "pg2 holds the right to be primary, on timeline 1, but pg3 is on timeline 2",
        givenUp: "pg2",
      });
    });

    it("lets pg2 be when it is writable already: that is no promotion of ours", () => {
      const writable = primary("pg2", { local: consumed, postgres: { timeline: 2 } });
      expect(recoveryOf(journal, [writable, standby("pg3", "pg2", { local: { givenUp: 4 } })])).toEqual(forward);
    });
  });

  it("a ticket of an older handover says nothing", () => {
    const ticket = { epoch: 3, state: "promoted" } as const;
    expect(recoveryOf(journal, [stopped("pg1"), standby("pg2", "pg1", { local: { ticket } })])).toEqual({
      kind: "restore",
    });
  });

  it("the old primary is writable, but its stop was ordered: it is restored, not forgotten", () => {
    const stopping = { epoch: 4, state: "stopping" } as const;
    const members = [primary("pg1", { local: { switch: stopping } }), standby("pg2", "pg1")];
    expect(recoveryOf(journal, members)).toEqual({ kind: "restore" });
  });

  it("a member that waits at its boot gate is down", () => {
    const waiting = stopped("pg1", { local: { unit: "waiting", gate: "pg2 does not answer" } });
    expect(recoveryOf(journal, [waiting, standby("pg2", "pg1")])).toEqual({ kind: "restore" });
  });

  it("the target was taken out of members:, the old primary waits: it is restored", () => {
    const waiting = stopped("pg1", { local: { unit: "waiting" } });
    expect(recoveryOf(journal, [waiting, standby("pg3", "pg1")])).toEqual({ kind: "restore" });
  });

  it("nobody is writable and pg2 cannot be reached: stops, for it may be primary", () => {
    expect(recoveryOf(journal, [stopped("pg1"), unreachable("pg2"), standby("pg3", "pg1")])).toEqual({
      kind: "stop",
      reason: "pg2 cannot be read, and may be primary",
    });
  });

  it("nobody is writable and PostgreSQL on pg2 is neither up nor surely down: stops", () => {
    expect(recoveryOf(journal, [stopped("pg1"), silent("pg2"), standby("pg3", "pg1")])).toEqual({
      kind: "stop",
      reason: "pg2 cannot be read, and may be primary",
    });
  });

  it("nobody is writable and pg3 is on a higher timeline: stops", () => {
    expect(recoveryOf(journal, [stopped("pg1"), standby("pg2", "pg1"), stoppedStandby("pg3", 2)])).toEqual({
      kind: "stop",
      reason: "nobody is writable, but the timeline of pg3 is higher than 1",
    });
  });

  it("pg1 has lost its data: stops", () => {
    const lost = empty("pg1", { unit: "failed" });
    expect(recoveryOf(journal, [lost, standby("pg2", "pg1"), standby("pg3", "pg1")])).toEqual({
      kind: "stop",
      reason: "pg1 has no data on timeline 1, on which it was primary",
    });
  });
});
