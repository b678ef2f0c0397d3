import { describe, expect, it } from "vitest";
import { primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import { group } from "../test/support/shapes.ts";
import { sender } from "../test/support/switchover.ts";
import type { MemberObservation, SourceFacts, StrayFacts } from "./observation.ts";
import { ownStretches } from "./ownWal.ts";
import { decideRejoin, planClone, planRejoins, type Rejoin, strayProblem } from "./rejoin.ts";
import { type RejoinFacts, strayMembers } from "./rejoinFacts.ts";

const megabyte = 1024 ** 2;
const gigabyte = 1024 ** 3;

/** pg2 was promoted to timeline 2 at 0/5000148, and is at 0/8000000 now. */
function source(overrides: Partial<SourceFacts> = {}): SourceFacts {
  return {
    timeline: 2,
    past: [{ timeline: 1, endLsn: "0/5000148" }],
    lsn: "0/8000000",
    oldestLsn: "0/3000000",
    databaseBytes: 100 * megabyte,
    tablespaces: [],
    ...overrides,
  };
}

/** The former primary pg1: three transactions that pg2 never got. */
function stray(overrides: Partial<StrayFacts> = {}): StrayFacts {
  return {
    timeline: 1,
    past: [],
    endLsn: "0/50021B8",
    minRecoveryLsn: "0/0",
    oldestLsn: "0/3000000",
    redoLsn: "0/4000028",
    canBeRewound: true,
    neverStarted: false,
    busy: false,
    besideBytes: 10 * gigabyte,
    dataBytes: 100 * megabyte,
    keptBytes: 10 * gigabyte,
    ownTransactions: 3,
    ...overrides,
  };
}

interface Overrides extends Partial<Omit<RejoinFacts, "stray" | "source">> {
  readonly stray?: Partial<StrayFacts>;
  readonly source?: Partial<SourceFacts>;
}

function facts(overrides: Overrides = {}): RejoinFacts {
  return {
    rule: "auto",
    primary: "pg2",
    postgresVersion: 17,
    segmentBytes: 16 * megabyte,
    hasRestoreCommand: false,
    state: "ready",
    standbySignal: false,
    streamsApart: false,
    freeBytes: 10 * gigabyte,
    otherCopies: 1,
    ...overrides,
    stray: stray(overrides.stray),
    source: source(overrides.source),
  };
}

function decide(overrides: Overrides = {}): Rejoin {
  return decideRejoin(facts(overrides));
}

const own = { timeline: 1, fromLsn: "0/5000148", toLsn: "0/50021B8", transactions: 3 };
const diverged = "diverged from pg2 at 0/5000148 (timeline 1): 3 transactions of its own (WAL up to 0/50021B8)";
const notDiverged = { endLsn: "0/5000148", ownTransactions: undefined };

describe("a member whose WAL the primary has", () => {
  it("follows, when it is a standby", () => {
    expect(decide({ standbySignal: true, stray: notDiverged })).toEqual({
      kind: "follow",
      formerPrimary: false,
      text: "it follows pg2 again",
    });
  });

  it("follows without a rewind, when it was primary", () => {
    expect(decide({ stray: notDiverged })).toEqual({
      kind: "follow",
      formerPrimary: true,
      text: "former primary whose WAL ends at 0/5000148, all of which pg2 has: it follows without a rewind",
    });
  });

  it("follows by the primary's own timeline too", () => {
    const there = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000148" }], endLsn: "0/7FFFFFF" };
    expect(decide({ standbySignal: true, stray: { ...notDiverged, ...there } }).kind).toBe("follow");
  });

  it("is started under rejoin: manual when it is a standby, and left alone when it was primary", () => {
    expect(decide({ rule: "manual", standbySignal: true, stray: notDiverged }).kind).toBe("follow");
    expect(decide({ rule: "manual", stray: notDiverged })).toEqual({
      kind: "refuse",
      text: "former primary whose WAL ends at 0/5000148, all of which pg2 has; rejoin is manual. Nothing is done to it. Bring it back by hand, or write rejoin: auto.",
    });
  });
});

describe("a member whose WAL ends within a record that nobody will finish", () => {
  /** pg2 left timeline 1 exactly where the last whole record of pg1 ends; of the next one pg1 has what its file could hold. */
  const within = { endLsn: "0/5000148", partialToLsn: "0/6000000", ownTransactions: undefined };
  const found = "its WAL ends within a record that begins at 0/5000148, where pg2 left timeline 1";

  it("is cut there, and follows, whether it was primary or a standby that had the record from one", () => {
    const plan: Rejoin = {
      kind: "cut",
      partial: { timeline: 1, fromLsn: "0/5000148", toLsn: "0/6000000" },
      text: `${found}. What it has of that record, which was never acknowledged, will be kept aside and cut off; then it follows without a rewind`,
    };
    expect(decide({ stray: within })).toEqual(plan);
    expect(decide({ standbySignal: true, stray: within })).toEqual(plan);
    expect(decide({ rule: "rewind-only", stray: within })).toEqual(plan);
    expect(decide({ hasRestoreCommand: true, stray: within })).toEqual(plan);
  });

  it("is left alone under rejoin: manual, and where what it has cannot be kept", () => {
    expect(decide({ rule: "manual", stray: within })).toEqual({
      kind: "refuse",
      text: `${found}; rejoin is manual. Nothing is done to it. Bring it back by hand, or write rejoin: auto.`,
    });
    expect(decide({ stray: { ...within, keptBytes: megabyte } })).toEqual({
      kind: "refuse",
      text: `${found}, and there is no room to keep aside what it has of it: 16 MB are needed, 1.0 MB are free in /var/lib/pgha. Nothing is done to it. Make room there.`,
    });
  });

  it("follows where pg2 has more of that timeline: then it has the record, and sends its rest", () => {
    expect(decide({ standbySignal: true, stray: { ...within, endLsn: "0/5000140" } })).toEqual({
      kind: "follow",
      formerPrimary: false,
      text: "it follows pg2 again",
    });
  });

  it("is never cut where it has a whole record that pg2 lacks: that is its own, and is rewound", () => {
    const more = { ...within, endLsn: "0/50021B8", ownTransactions: 3 };
    expect(decide({ stray: more })).toEqual({
      kind: "rewind",
      own,
      text: `${diverged} will be kept aside and rewound`,
    });
  });

  it("is not cut where both are on one timeline: whoever wrote the record may still end it", () => {
    const there = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000148" }], endLsn: "0/7FFF000" };
    expect(decide({ standbySignal: true, stray: { ...within, ...there } }).kind).toBe("follow");
    expect(decide({ standbySignal: true, stray: { ...within, ...there, endLsn: "0/8000000" } }).kind).toBe("follow");
  });

  it("is not cut by the timeline of somebody promoted apart, whose number alone is the same", () => {
    const apart = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000100" }], endLsn: "0/5000148" };
    expect(decide({ standbySignal: true, stray: { ...within, ...apart, ownTransactions: 3 } }).kind).toBe("rewind");
  });

  it("is cloned where pg2 no longer has the file in which the record begins", () => {
    expect(decide({ stray: within, source: { oldestLsn: "0/6000000" } })).toMatchObject({
      kind: "clone",
      text: "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000: it will be cloned anew, beside its old data",
    });
  });

  it("says so in its health", () => {
    expect(strayProblem(facts({ stray: within }))).toBe(
      "its WAL ends within a record, begun at 0/5000148, whose rest pg2 does not have",
    );
  });
});

describe("a member that needs WAL which the primary no longer has", () => {
  const left = { standbySignal: true, stray: notDiverged, source: { oldestLsn: "0/6000000" } };

  it("is cloned anew, beside its old data", () => {
    expect(decide(left)).toEqual({
      kind: "clone",
      place: "beside",
      own: undefined,
      text: "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000: it will be cloned anew, beside its old data",
    });
  });

  it("may find it in an archive, which only trying can tell", () => {
    expect(decide({ ...left, hasRestoreCommand: true }).kind).toBe("follow");
  });

  it("is refused where only rewinding is allowed, or nothing", () => {
    expect(decide({ ...left, rule: "rewind-only" })).toEqual({
      kind: "refuse",
      text: "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000; only a clone brings it back, and rejoin is rewind-only. Nothing is done to it. Write rejoin: auto.",
    });
    expect(decide({ ...left, rule: "manual" })).toEqual({
      kind: "refuse",
      text: "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000; rejoin is manual. Nothing is done to it. Bring it back by hand, or write rejoin: auto.",
    });
  });

  it("needs the file that holds the end of its WAL, and none before", () => {
    expect(decide({ ...left, source: { oldestLsn: "0/5000000" } }).kind).toBe("follow");
  });
});

describe("a member that diverged", () => {
  it("is rewound, and what it wrote alone is kept aside", () => {
    expect(decide()).toEqual({ kind: "rewind", own, text: `${diverged} will be kept aside and rewound` });
    expect(decide({ rule: "rewind-only" })).toEqual(decide());
    expect(decide({ standbySignal: true })).toEqual(decide());
  });

  it("has written one transaction, or none, but WAL all the same", () => {
    expect(decide({ stray: { ownTransactions: 1 } }).text).toBe(
      "diverged from pg2 at 0/5000148 (timeline 1): 1 transaction of its own (WAL up to 0/50021B8) will be kept aside and rewound",
    );
    expect(decide({ stray: { ownTransactions: 0 } }).text).toBe(
      "diverged from pg2 at 0/5000148 (timeline 1): 0 transactions of its own (WAL up to 0/50021B8) will be kept aside and rewound",
    );
  });

  it("is left alone under rejoin: manual", () => {
    expect(decide({ rule: "manual" })).toEqual({
      kind: "refuse",
      text: `${diverged}; rejoin is manual. Nothing is done to it. Bring it back by hand, or write rejoin: auto.`,
    });
  });

  it.each<[string, Overrides, string]>([
    [
      "was rewound and never started since: never a second rewind before a start",
      { stray: { neverStarted: true } },
      "it has not been started since it was cloned or rewound, and must not be rewound again",
    ],
    [
      "has neither checksums nor hints",
      { stray: { canBeRewound: false } },
      "neither data checksums nor wal_log_hints are on, which a rewind needs",
    ],
    [
      "lost its own WAL at the fork",
      { stray: { oldestLsn: "0/6000000" } },
      "its own WAL at 0/5000148 is gone, which a rewind needs",
    ],
    [
      "needs WAL from the fork on that the primary removed",
      { source: { oldestLsn: "0/6000000" } },
      "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000",
    ],
    [
      "needs, up to version 16, the primary's WAL from the common checkpoint on",
      { postgresVersion: 16, source: { oldestLsn: "0/5000000" } },
      "it needs WAL from 0/4000028 on, and pg2 has none before 0/5000000",
    ],
  ])("is cloned when it %s", (_, overrides, reason) => {
    expect(decide(overrides)).toEqual({
      kind: "clone",
      place: "beside",
      own,
      text: `${diverged} will be kept aside; ${reason}: it will be cloned anew, beside its old data`,
    });
    expect(decide({ ...overrides, rule: "rewind-only" })).toEqual({
      kind: "refuse",
      text: `${diverged}, and ${reason}; only a clone brings it back, and rejoin is rewind-only. Nothing is done to it. Write rejoin: auto.`,
    });
  });

  it("is rewound from version 17 on with the primary's WAL from the fork on alone", () => {
    expect(decide({ source: { oldestLsn: "0/5000000" } }).kind).toBe("rewind");
  });

  describe("and has more WAL of its own to read than a clone would copy", () => {
    const much = { endLsn: "1/5000148" };

    it("is cloned, because that is shorter", () => {
      const plan = decide({ stray: much });
      expect(plan.kind).toBe("clone");
      expect(plan.text).toContain("a clone is shorter than a rewind: it will be cloned anew, beside its old data");
    });

    it("is rewound when the database is larger than that, when only rewinding is allowed, and when there is no room beside", () => {
      expect(decide({ stray: much, source: { databaseBytes: 8 * gigabyte } }).kind).toBe("rewind");
      expect(decide({ stray: much, rule: "rewind-only" }).kind).toBe("rewind");
      expect(decide({ stray: { ...much, besideBytes: 0 } }).kind).toBe("rewind");
    });

    it("is rewound below 1 GB, however small the database is", () => {
      expect(decide({ stray: { endLsn: "0/40000000" }, source: { databaseBytes: 1 } }).kind).toBe("rewind");
    });
  });

  it("is left alone when its own WAL cannot be kept", () => {
    const refused: Rejoin = {
      kind: "refuse",
      text: `${diverged}, and there is no room to keep them aside: 16 MB are needed, 1.0 MB are free in /var/lib/pgha. Nothing is done to it. Make room there.`,
    };
    expect(decide({ stray: { keptBytes: megabyte } })).toEqual(refused);
    expect(decide({ stray: { keptBytes: megabyte, canBeRewound: false } })).toEqual(refused);
  });
});

describe("a member that two promotions gave the same number of timeline", () => {
  it("diverged where the earlier one of them was", () => {
    const apart = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000100" }], endLsn: "0/6000000" };
    expect(decide({ standbySignal: true, stray: apart }).text).toBe(
      "diverged from pg2 at 0/5000100 (timeline 1): 3 transactions of its own (WAL up to 0/6000000) will be kept aside and rewound",
    );
  });

  it("is cloned when it streams already, and its own WAL is kept", () => {
    const apart = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000100" }], endLsn: "0/6000000" };
    expect(decide({ standbySignal: true, streamsApart: true, stray: apart }).text).toBe(
      "diverged from pg2 at 0/5000100 (timeline 1): 3 transactions of its own (WAL up to 0/6000000) will be kept aside; what it received from pg2 lies over its own WAL, where a rewind would miss changes: it will be cloned anew, beside its old data",
    );
  });

  it("is no follower, whether it streams or not", () => {
    const at = (endLsn: string) => ({ control: { timeline: 2, began: { timeline: 1, endLsn } } });
    const writable = primary("pg2", { postgres: { timeline: 2 }, ...at("0/5000148") });
    const follower = (endLsn: string) => standby("pg3", "pg2", { postgres: { timeline: 2 }, ...at(endLsn) });
    const strays = (endLsn: string) => strayMembers("pg2", [writable, follower(endLsn)]).map(({ member }) => member);
    expect(strays("0/5000148")).toEqual([]);
    expect(strays("0/5000100")).toEqual(["pg3"]);
  });
});

describe("what a member wrote alone", () => {
  it("is nothing where the primary has it all", () => {
    expect(ownStretches(stray(notDiverged), source())).toEqual([]);
    expect(ownStretches(stray({ past: undefined }), source())).toEqual([]);
    expect(ownStretches(stray({ timeline: 7 }), source())).toEqual([]);
  });

  it("begins at the fork, on each timeline that it went through afterwards", () => {
    expect(ownStretches(stray(), source())).toEqual([{ timeline: 1, fromLsn: "0/5000148", toLsn: "0/50021B8" }]);
    const promoted = stray({ timeline: 2, past: [{ timeline: 1, endLsn: "0/5000200" }], endLsn: "0/6000000" });
    expect(ownStretches(promoted, source())).toEqual([
      { timeline: 1, fromLsn: "0/5000148", toLsn: "0/5000200" },
      { timeline: 2, fromLsn: "0/5000200", toLsn: "0/6000000" },
    ]);
    const earlier = stray({ timeline: 2, past: [{ timeline: 1, endLsn: "0/5000100" }], endLsn: "0/6000000" });
    expect(ownStretches(earlier, source())).toEqual([{ timeline: 2, fromLsn: "0/5000100", toLsn: "0/6000000" }]);
  });
});

describe("a member of which nobody can tell what it holds", () => {
  const nobodyKnows: Rejoin = {
    kind: "refuse",
    text: "its data or WAL cannot be read, so that nobody knows what it holds. Nothing is done to it. Look at it on its host. If nothing of it is needed, empty its data directory and remove its marker: then `pulumi up` clones it.",
  };

  it("is left alone", () => {
    expect(decide({ stray: { past: undefined } })).toEqual(nobodyKnows);
    expect(decide({ stray: { endLsn: undefined } })).toEqual(nobodyKnows);
    expect(decideRejoin({ ...facts(), stray: undefined })).toEqual(nobodyKnows);
    expect(planClone({ ...facts(), stray: undefined }, "anything")).toEqual(nobodyKnows);
  });

  it("is left alone when its timelines have nothing in common with the primary's", () => {
    expect(decide({ stray: { timeline: 7 } })).toEqual({
      kind: "refuse",
      text: "its timelines have nothing in common with those of pg2. Nothing is done to it. Look where its data comes from.",
    });
  });

  it("is left alone when it is ahead of the primary on the primary's own timeline", () => {
    const ahead = { timeline: 2, past: [{ timeline: 1, endLsn: "0/5000148" }], endLsn: "0/8000060" };
    expect(decide({ standbySignal: true, stray: ahead })).toEqual({
      kind: "refuse",
      text: "it has WAL up to 0/8000060 of timeline 2, on which pg2 has written only up to 0/8000000. Nothing is done to it. Compare the two: pg2 has lost what it wrote (a disk that does not keep what it confirms?).",
    });
  });
});

describe("what an earlier `up` did not end", () => {
  it("is left to it while it still works", () => {
    for (const state of ["ready", "rewinding", "swapping"] as const) {
      expect(decide({ state, stray: { busy: true } })).toEqual({
        kind: "refuse",
        text: "an earlier `pulumi up` still rewinds or clones it. Nothing is done to it. Wait for that to end, then run `pulumi up` again.",
      });
    }
  });

  it("a rewind that broke off: only a clone makes the data whole", () => {
    const half = { past: undefined, endLsn: undefined };
    expect(decide({ state: "rewinding", stray: half })).toEqual({
      kind: "clone",
      place: "beside",
      own: undefined,
      text: "its rewind broke off: it will be cloned anew, beside its old data",
    });
    expect(decide({ state: "rewinding", rule: "rewind-only" })).toEqual({
      kind: "refuse",
      text: "its rewind broke off; only a clone brings it back, and rejoin is rewind-only. Nothing is done to it. Write rejoin: auto.",
    });
    expect(decide({ state: "rewinding", rule: "manual" }).kind).toBe("refuse");
  });

  it("a swap: is ended, whatever the rule", () => {
    for (const rule of ["auto", "rewind-only", "manual"] as const) {
      expect(decide({ state: "swapping", rule })).toEqual({
        kind: "swap",
        text: "its clone is complete and takes the place of its old data",
      });
    }
  });
});

describe("room for a clone", () => {
  const left: Overrides = { standbySignal: true, stray: notDiverged, source: { oldestLsn: "0/6000000" } };
  const small = { ...left, stray: { ...notDiverged, besideBytes: 50 * megabyte }, freeBytes: 50 * megabyte };
  const reason = "it needs WAL from 0/5000148 on, and pg2 has none before 0/6000000";

  it("is a tenth more than the primary holds", () => {
    const exact = Math.round(110 * megabyte);
    expect(decide({ ...left, stray: { ...notDiverged, besideBytes: exact } })).toMatchObject({ place: "beside" });
    expect(decide({ ...left, stray: { ...notDiverged, besideBytes: exact - 1 } })).toMatchObject({ place: "in place" });
  });

  it("is made in place of the old data where another standby has a copy", () => {
    expect(decide(small)).toEqual({
      kind: "clone",
      place: "in place",
      own: undefined,
      text: `${reason}: it will be cloned anew, in place of its old data (a clone beside its old data needs 110 MB, and 50 MB are free)`,
    });
  });

  it("is not made where that would erase the only other copy", () => {
    expect(decide({ ...small, otherCopies: 0 })).toEqual({
      kind: "refuse",
      text: `${reason}; a clone beside its old data needs 110 MB, and 50 MB are free, and nobody but pg2 would have the data while it is cloned in place. Nothing is done to it. Make room there, or first bring back another standby, whose copy allows to clone in place.`,
    });
  });

  it("is made in place of what a rewind left half changed, which is nobody's copy", () => {
    expect(decide({ ...small, otherCopies: 0, state: "rewinding" })).toMatchObject({
      kind: "clone",
      place: "in place",
    });
  });

  it("is refused where even the place of the old data is too small", () => {
    expect(decide({ ...small, freeBytes: 0, stray: { ...small.stray, dataBytes: 100 * megabyte } }).kind).toBe(
      "refuse",
    );
  });

  it("beside the data needs a directory that can be renamed", () => {
    const mounted = { ...left, stray: { ...notDiverged, besideBytes: undefined } };
    expect(decide(mounted).text).toBe(
      `${reason}: it will be cloned anew, in place of its old data (its data directory is a mount point, so that no clone can take its place)`,
    );
    expect(decide({ ...mounted, otherCopies: 0 }).kind).toBe("refuse");
  });

  it("beside the data does not exist where the primary has tablespaces", () => {
    expect(decide({ ...left, source: { oldestLsn: "0/6000000", tablespaces: ["/srv/fast"] } })).toEqual({
      kind: "refuse",
      text: `${reason}, and pg2 has tablespaces (/srv/fast), which a clone beside the old data would overwrite. Nothing is done to it. Empty its data directory and those of its tablespaces by hand, and remove its marker: then \`pulumi up\` clones it.`,
    });
  });
});

describe("who is stray", () => {
  const receiver = { status: "streaming", senderHost: "203.0.113.12", senderPort: 5432, timeline: 1 };
  const leading = primary("pg2", { postgres: { timeline: 2 } });
  const names = (...observations: MemberObservation[]) =>
    strayMembers("pg2", [leading, ...observations]).map(({ member }) => member);

  it("who is stopped, and who runs as a standby without streaming", () => {
    expect(names(stopped("pg1"), standby("pg3", "pg2", { postgres: { walReceiver: undefined } }))).toEqual([
      "pg1",
      "pg3",
    ]);
    expect(names(stopped("pg1", { local: { unit: "failed" } }))).toEqual(["pg1"]);
    expect(names(stopped("pg1", { local: { unit: "activating" } }))).toEqual(["pg1"]);
  });

  it("who streams what the primary wrote before it was promoted: so does one that has parted from it, for a moment at each attempt", () => {
    expect(names(standby("pg1", "pg2", { postgres: { timeline: 1, walReceiver: receiver } }))).toEqual(["pg1"]);
  });

  it("who asks for the rest of a record, and is sent nothing: PostgreSQL calls that streaming", () => {
    const asked = (state: string, status: string) => {
      const sending = primary("pg2", { postgres: { timeline: 2, walSenders: [sender("pg3", { state })] } });
      const walReceiver = { ...receiver, status, timeline: 2 };
      const follower = standby("pg3", "pg2", { postgres: { timeline: 2, walReceiver } });
      return strayMembers("pg2", [sending, follower]).map(({ member }) => member);
    };
    expect(asked("startup", "streaming")).toEqual(["pg3"]);
    expect(asked("startup", "asking")).toEqual(["pg3"]);
    expect(asked("catchup", "streaming")).toEqual([]);
    expect(asked("streaming", "streaming")).toEqual([]);
  });

  it("who was left by a rewind or a swap, whatever lies there", () => {
    const marker = { cluster: "orders", member: "pg1", dataDirectory: "/data" } as const;
    expect(names(stopped("pg1", { local: { marker: { ...marker, state: "rewinding" } } }))).toEqual(["pg1"]);
    const missing = { marker: { ...marker, state: "swapping" }, dataDirectory: "missing" } as const;
    expect(names(stopped("pg1", { local: missing }))).toEqual(["pg1"]);
  });

  it("nobody who streams, is writable, cannot be reached, runs without an answer, or has no finished data", () => {
    const marker = { cluster: "orders", member: "pg1", dataDirectory: "/data" } as const;
    const onSecond = { postgres: { timeline: 2, walReceiver: { ...receiver, timeline: 2 } } };
    expect(names(standby("pg1", "pg2", onSecond), standby("pg3", "pg1", onSecond))).toEqual([]);
    expect(names(primary("pg1"), unreachable("pg3"))).toEqual([]);
    expect(names(stopped("pg1", { local: { unit: "active" } }))).toEqual([]);
    expect(names(stopped("pg1", { local: { marker: { ...marker, state: "cloning" } } }))).toEqual([]);
    expect(names(stopped("pg1", { local: { marker: undefined } }))).toEqual([]);
    expect(names(stopped("pg1", { local: { dataDirectory: "empty" } }))).toEqual([]);
  });
});

describe("the plans of a cluster", () => {
  const leading = primary("pg2", { postgres: { timeline: 2 } });

  it("name every stray member, and nobody else", () => {
    const observations = [
      { ...leading, source: source() },
      { ...stopped("pg1"), stray: stray() },
      standby("pg3", "pg2", { postgres: { timeline: 2 } }),
    ] as MemberObservation[];
    expect(planRejoins(group({ primary: "pg2" }), "pg2", observations)).toEqual({
      pg1: { kind: "rewind", own, text: `${diverged} will be kept aside and rewound` },
    });
  });

  it("are not made before the primary was asked what it can give", () => {
    expect(planRejoins(group({ primary: "pg2" }), "pg2", [leading, stopped("pg1")])).toEqual({});
  });
});

describe("what is wrong with a stray member", () => {
  it("is where it diverged, or that its WAL is gone; otherwise its health says it", () => {
    expect(strayProblem(facts())).toBe("diverged from pg2 at 0/5000148 (timeline 1)");
    expect(strayProblem(facts({ stray: notDiverged, source: { oldestLsn: "0/6000000" } }))).toBe(
      "pg2 no longer has the WAL that it needs",
    );
    expect(strayProblem(facts({ stray: notDiverged }))).toBeUndefined();
    expect(strayProblem(facts({ state: "rewinding" }))).toBeUndefined();
    expect(strayProblem({ ...facts(), stray: undefined })).toBeUndefined();
  });
});
