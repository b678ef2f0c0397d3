import { describe, expect, it } from "vitest";
import { addressOf, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { group } from "../test/support/shapes.ts";
import { sender } from "../test/support/switchover.ts";
import type { Group } from "./group.ts";
import type { MemberObservation, WalSender } from "./observation.ts";
import type { ObservedPrimary } from "./observedPrimary.ts";
import { switchBackOf } from "./switchBack.ts";

const observed: ObservedPrimary = { kind: "known", member: "pg2", timeline: 2, systemIdentifier: "1" };
/** A saturday. */
const now = new Date("2026-03-07T03:00:00Z");

function pg2(...walSenders: WalSender[]): MemberObservation {
  return primary("pg2", { postgres: { timeline: 2, walSenders } });
}

const pg1 = standby("pg1", "pg2", { postgres: { timeline: 2 } });

function judged(given: {
  readonly declaration?: Partial<Group>;
  readonly observed?: ObservedPrimary;
  readonly members?: readonly MemberObservation[];
}) {
  return switchBackOf(
    group({ onDrift: "switchBack", ...given.declaration }),
    given.observed ?? observed,
    given.members ?? [pg1, pg2(sender("pg1"), sender("pg3")), unreachable("pg3")],
    now,
  );
}

describe("nothing is to be switched back", () => {
  it("under another rule", () => {
    expect(judged({ declaration: { onDrift: "adopt" } })).toBeUndefined();
    expect(judged({ declaration: { onDrift: "fail" } })).toBeUndefined();
  });

  it("while the declared member is primary", () => {
    expect(judged({ declaration: { primary: "pg2" } })).toBeUndefined();
  });

  it("while nobody is surely primary", () => {
    expect(judged({ observed: { kind: "unknown", reason: "pg1 cannot be reached" } })).toBeUndefined();
    expect(judged({ observed: { kind: "none" } })).toBeUndefined();
  });
});

it("it is due when the declared member has streamed from the primary long enough, also while a third is away", () => {
  expect(judged({})).toEqual({ due: true });
});

describe("the declared member has to stream from the observed primary", () => {
  const notStreaming = { due: false, waitsFor: "pg1 to stream from pg2" };

  it("not from somewhere else", () => {
    const elsewhere = standby("pg1", "pg3", { postgres: { timeline: 2 } });
    expect(judged({ members: [elsewhere, pg2(sender("pg1"))] })).toEqual(notStreaming);
  });

  it("not on another timeline", () => {
    expect(judged({ members: [standby("pg1", "pg2"), pg2(sender("pg1"))] })).toEqual(notStreaming);
  });

  it("not by its own word alone, and not by the primary's alone", () => {
    expect(judged({ members: [pg1, pg2(sender("pg3"))] })).toEqual(notStreaming);
    expect(judged({ members: [stopped("pg1"), pg2(sender("pg1"))] })).toEqual(notStreaming);
    expect(judged({ members: [unreachable("pg1"), pg2(sender("pg1"))] })).toEqual(notStreaming);
  });

  it("and not be catching up, or copying", () => {
    expect(judged({ members: [pg1, pg2(sender("pg1", { state: "catchup" }))] })).toEqual(notStreaming);
    expect(judged({ members: [pg1, pg2(sender("pg1", { state: "backup" }))] })).toEqual(notStreaming);
  });

  it("from one that runs", () => {
    const down: ObservedPrimary = { kind: "stopped", member: "pg2", timeline: 2, systemIdentifier: "1" };
    expect(judged({ observed: down, members: [stopped("pg1"), stopped("pg2")] })).toEqual({
      due: false,
      waitsFor: "pg2 to run",
    });
  });
});

describe("the declared member has to stream for some time without a break", () => {
  const tooShort = (after: string) => ({
    due: false,
    waitsFor: `pg1 to have streamed from pg2 for ${after} without a break`,
  });
  const connected = (...seconds: number[]) => [
    pg1,
    pg2(...seconds.map((connectedSeconds) => sender("pg1", { connectedSeconds }))),
  ];

  it("ten minutes by default", () => {
    expect(judged({ members: connected(599.9) })).toEqual(tooShort("10min"));
    expect(judged({ members: connected(600) })).toEqual({ due: true });
  });

  it("or as long as is declared", () => {
    expect(judged({ declaration: { switchBackAfter: "2h" }, members: connected(7199) })).toEqual(tooShort("2h"));
    expect(judged({ declaration: { switchBackAfter: "0s" }, members: connected(0) })).toEqual({ due: true });
  });

  it("a connection that broke does not count, though the primary still has it", () => {
    expect(judged({ members: connected(3600, 2) })).toEqual(tooShort("10min"));
  });
});

describe("the maintenance window has to be open", () => {
  const saturdays = { days: ["sat" as const], from: "02:00", to: "04:00", timezone: "UTC" };

  it("it is due inside, and waits outside", () => {
    expect(judged({ declaration: { maintenanceWindow: saturdays } })).toEqual({ due: true });
    expect(judged({ declaration: { maintenanceWindow: { ...saturdays, from: "03:01" } } })).toEqual({
      due: false,
      waitsFor: "the maintenance window sat 03:01 to 04:00 (UTC)",
    });
  });

  it("everything that is missing is said at once", () => {
    expect(
      judged({
        declaration: { maintenanceWindow: { ...saturdays, days: ["sun"] } },
        members: [pg1, pg2()],
      }),
    ).toEqual({
      due: false,
      waitsFor: "pg1 to stream from pg2, and for the maintenance window sun 02:00 to 04:00 (UTC)",
    });
  });
});

it("nothing in what is said changes while time goes by: it would make every diff noisy", () => {
  const says = (connectedSeconds: number) => judged({ members: [pg1, pg2(sender("pg1", { connectedSeconds }))] });
  expect(says(1)).toEqual(says(500));
  expect(JSON.stringify(says(1))).not.toContain(addressOf("pg2"));
});
