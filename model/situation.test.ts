import { describe, expect, it } from "vitest";
import type { ObservedPrimary } from "./observedPrimary.ts";
import { type Facts, type Situation, situationOf } from "./situation.ts";

const systemIdentifier = "7000000000000000001";

function known(member: string, identifier = systemIdentifier): ObservedPrimary {
  return { kind: "known", member, timeline: 2, systemIdentifier: identifier };
}

function stopped(member: string): ObservedPrimary {
  return { kind: "stopped", member, timeline: 1, systemIdentifier };
}

const none: ObservedPrimary = { kind: "none" };
const nothing: ObservedPrimary = { kind: "nothing" };
const several: ObservedPrimary = { kind: "several", members: ["pg1", "pg2"], ahead: [] };
const severalTimelines: ObservedPrimary = { ...several, ahead: ["pg1"] };
const foreign: ObservedPrimary = { kind: "foreign", text: "pg1 has system identifier 1, pg3 has system identifier 2" };
const elsewhere: ObservedPrimary = {
  kind: "elsewhere",
  text: "pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member",
};
const unknown: ObservedPrimary = { kind: "unknown", reason: "pg2 cannot be reached" };
const behind: ObservedPrimary = {
  kind: "unknown",
  reason: "pg1 is writable on timeline 1, but pg3 has timeline 2: pg1 is a former primary",
  former: "pg1",
};

/** Every `onDrift`, and under `switchBack` both answers to whether it is due. */
const policies = {
  adopt: { onDrift: "adopt" },
  fail: { onDrift: "fail" },
  "switchBack, not due": {
    onDrift: "switchBack",
    switchBack: { due: false, waitsFor: "pg1 to stream from pg2" },
  },
  "switchBack, due": { onDrift: "switchBack", switchBack: { due: true } },
} as const satisfies Readonly<Record<string, Partial<Facts>>>;

type Policy = keyof typeof policies;
const everyPolicy = Object.keys(policies) as Policy[];

interface Given {
  readonly declared?: string;
  /** null: the state was lost or imported. */
  readonly applied?: string | null;
  readonly failedOverFrom?: string;
  readonly observed: ObservedPrimary;
  readonly unfinished?: string;
  readonly managedClone?: string;
  readonly relaxed?: Readonly<Record<string, string>>;
  readonly changed?: readonly string[];
  readonly repairs?: readonly string[];
}

function situation(given: Given, policy: Policy = "adopt"): Situation {
  const { declared = "pg1", applied = "pg1", failedOverFrom, observed, unfinished, changed = [], repairs = [] } = given;
  const { managedClone, relaxed } = given;
  return situationOf({
    managedClone,
    relaxed,
    cluster: "orders",
    declared,
    applied: applied === null ? undefined : { member: applied, systemIdentifier, timeline: 1, failedOverFrom },
    observed,
    unfinished,
    otherChanges: { declared: changed, repairs },
    ...policies[policy],
  });
}

const unfinished = "the switchover pg1 -> pg2, begun 2026-03-01 10:00 by anna@desk";

const unknownWaysOut =
  "  Bring the members back, then run `pulumi up` again.\n" +
  "  One that is dead for good: take it out of members: (that is your word that it is fenced: off, and never writable again).";

const formerWaysOut =
  "  If the others are right: stop pg1 (systemctl stop pgha-orders-pg1.service), promote one of them if none is writable, then `pulumi up`.\n" +
  "  If pg1 is right: take those that are ahead of it out of members:, stop them, then `pulumi up`.";

const keepOrGoBack =
  "  To keep pg2: primary: pg2 (acknowledged, no host is touched).\n" +
  "  To go back: first `pulumi up` with primary: pg2, then with primary: pg1, a planned switchover.";

/** The rows on which onDrift has no say: one answer for all. */
const withoutPolicy: readonly [title: string, given: Given, expected: Situation][] = [
  [
    "every member empty and unmarked: create",
    { applied: null, observed: nothing },
    { kind: "create", text: "create: initdb on pg1, clone the others" },
  ],
  [
    "members of different databases: stop",
    { observed: foreign },
    {
      kind: "stop",
      text:
        "members belong to different databases: pg1 has system identifier 1, pg3 has system identifier 2.\n" +
        "  Nothing was touched.\n" +
        "  If an address leads to another host, or another volume is mounted: correct pgha:hosts, or mount the right one.\n" +
        "  If that data is to be given up: take its member out of members:, or empty its data directory and remove its marker.",
    },
  ],
  [
    "two writable members: stop",
    { observed: several },
    {
      kind: "stop",
      text:
        "more than one member is writable: pg1, pg2.\n" +
        "  Nothing was touched.\n" +
        "  Each may have taken writes that the other does not have. Nobody but you can tell whose are to stay.\n" +
        "  To keep pg1: stop pg2 (systemctl stop pgha-orders-pg2.service), then `pulumi up`.\n" +
        "  To keep pg2: stop pg1 (systemctl stop pgha-orders-pg1.service), then `pulumi up`.",
    },
  ],
  [
    "two writable members, one on a higher timeline: stop, and the other is kept only without it",
    { observed: severalTimelines },
    {
      kind: "stop",
      text:
        "more than one member is writable: pg1, pg2.\n" +
        "  Nothing was touched.\n" +
        "  Each may have taken writes that the other does not have. Nobody but you can tell whose are to stay.\n" +
        "  To keep pg1: stop pg2 (systemctl stop pgha-orders-pg2.service), then `pulumi up`.\n" +
        "  To keep pg2: stop pg1 (systemctl stop pgha-orders-pg1.service), take pg1 out of members: (its timeline is higher), then `pulumi up`.",
    },
  ],
  [
    "something begun and not ended: finish",
    { observed: known("pg2"), unfinished },
    {
      kind: "finish",
      text:
        "unfinished: the switchover pg1 -> pg2, begun 2026-03-01 10:00 by anna@desk\n" +
        "  First this is finished or undone, by what the members say; what else changed comes after it.",
    },
  ],
  [
    "every member empty although there was a primary: stop",
    { observed: nothing },
    {
      kind: "stop",
      text:
        "every member is empty, but pg1 was primary of system 7000000000000000001.\n" +
        "  Nothing was touched.\n" +
        "  Mount the data volumes, then run `pulumi up` again.\n" +
        "  If the data is really gone: take the resource out of the state (`pulumi state delete`); `pulumi up` then makes a new, empty database.",
    },
  ],
  [
    "no writable member, but a primary that is not declared: stop, and warn against promoting",
    { declared: "pg2", observed: elsewhere },
    {
      kind: "stop",
      text:
        "no declared member is writable: pg2 and pg3 stream from 203.0.113.11:5432, which is no declared member.\n" +
        "  Nothing was touched.\n" +
        "  Promote nobody while it runs: two would be writable.\n" +
        "  If it is the primary: declare it under members: and primary: again, and switch over before you take it out.\n" +
        "  If it is to go at once: stop it for good on its host, then `select pg_promote()` in psql (`su postgres -c psql`) on one of these, then `pulumi up`.",
    },
  ],
  [
    "no writable member: stop",
    { observed: none },
    {
      kind: "stop",
      text:
        "no member is writable, and none is surely the primary.\n" +
        "  Nothing was touched.\n" +
        "  `pulumi up` never promotes: it cannot know which writes you can do without.\n" +
        "  Choose the member with the newest data (the highest timeline below, and of those the furthest WAL). On its host: `systemctl start pgha-orders-MEMBER.service`,\n" +
        "  then `select pg_promote()` in psql (`su postgres -c psql`) if it is a standby. Then run `pulumi up` again.",
    },
  ],
  [
    "all members hold another database than the recorded one: stop",
    { observed: known("pg1", "7000000000000000009") },
    {
      kind: "stop",
      text:
        "the members hold another database (system identifier 7000000000000000009) than the one recorded (7000000000000000001).\n" +
        "  Nothing was touched.\n" +
        "  If the addresses lead to other hosts: correct pgha:hosts.\n" +
        "  To take over what runs there: take the resource out of the state (`pulumi state delete`), then `pulumi up`.",
    },
  ],
  [
    "who is primary cannot be told, and its declaration did not change: nothing that depends on it",
    { observed: unknown },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        `  pg2 cannot be reached.\n${unknownWaysOut}`,
    },
  ],
  [
    "no primary is seen, and nobody streams from one: nothing, and how to fail over by hand",
    { observed: { kind: "unknown", reason: "pg1 cannot be reached", missing: { unread: ["pg1"], streaming: [] } } },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        "  pg1 cannot be reached.\n" +
        "  Bring the members back, then run `pulumi up` again.\n" +
        "  To fail over by hand: make sure that pg1 is off and stays off; then `select pg_promote()` in psql (`su postgres -c psql`) on the standby\n" +
        "  with the newest data (of those on the highest timeline the one with the furthest `select pg_last_wal_receive_lsn()`), then `pulumi up`.\n" +
        "  To go on without one for good: take it out of members: (that is your word that it is fenced: off, and never writable again).",
    },
  ],
  [
    "the same under Pacemaker: it promotes by itself, and would undo what is done by hand beside it",
    {
      observed: { kind: "unknown", reason: "pg1 cannot be reached", missing: { unread: ["pg1"], streaming: [] } },
      managedClone: "pgha-orders-clone",
    },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        "  pg1 cannot be reached.\n" +
        "  Bring the members back, then run `pulumi up` again.\n" +
        "  Pacemaker promotes another member by itself, once no acknowledged row can be missing there: `crm_mon -1` and `journalctl -t pgha` on a host tell what it waits for.\n" +
        "  To fail over by hand all the same: first `crm_resource --resource pgha-orders-clone --meta --set-parameter maintenance --parameter-value true`, then make sure that pg1 is off and stays off; then `select pg_promote()` in psql (`su postgres -c psql`) on the standby\n" +
        "  with the newest data (of those on the highest timeline the one with the furthest `select pg_last_wal_receive_lsn()`), then `pulumi up`.\n" +
        "  To go on without one for good: take it out of members: (that is your word that it is fenced: off, and never writable again).",
    },
  ],
  [
    "the missing primary had acknowledged commits alone: it is brought back, and nobody else promoted",
    {
      observed: { kind: "unknown", reason: "pg1 cannot be reached", missing: { unread: ["pg1"], streaming: [] } },
      managedClone: "pgha-orders-clone",
      relaxed: { pg1: "since 2026-01-02T03:04:05Z it acknowledges commits alone" },
    },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        "  pg1 cannot be reached.\n" +
        "  pg1: since 2026-01-02T03:04:05Z it acknowledges commits alone\n" +
        "  Bring pg1 back, and promote nobody else: rows that were acknowledged would be lost.",
    },
  ],
  [
    "a member that could confirm who is primary is stopped: how to start it comes first",
    { observed: { kind: "unknown", reason: "pg3 is writable, but only 1 of 3 members confirm it", stopped: ["pg1"] } },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        "  pg3 is writable, but only 1 of 3 members confirm it.\n" +
        `  Start pg1 on its host: systemctl start pgha-orders-pg1.service\n${unknownWaysOut}`,
    },
  ],
  [
    "the primary cannot be reached from here, but the others stream from it: nothing, and a warning against promoting",
    {
      observed: {
        kind: "unknown",
        reason: "pg1 cannot be reached; pg2 and pg3 still stream from pg1",
        missing: { unread: ["pg1"], streaming: ["pg2", "pg3"] },
      },
    },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        "  pg1 cannot be reached; pg2 and pg3 still stream from pg1.\n" +
        "  Promote nobody: as long as standbys stream, a primary runs, and two would be writable.\n" +
        "  (For some seconds after its host's death it still looks so: preview again.)\n" +
        "  Bring the members back, then run `pulumi up` again.",
    },
  ],
  [
    "the only writable member was left behind by another: nothing, and both ways out",
    { observed: behind },
    {
      kind: "unknown",
      text:
        "who is primary cannot be told; nothing is changed that depends on it\n" +
        `  pg1 is writable on timeline 1, but pg3 has timeline 2: pg1 is a former primary.\n${formerWaysOut}`,
    },
  ],
  [
    "who is primary cannot be told, and its declaration changed: stop",
    { declared: "pg3", observed: unknown },
    {
      kind: "stop",
      text: `who is primary cannot be told: pg2 cannot be reached.\n  Nothing was touched.\n${unknownWaysOut}`,
    },
  ],
  [
    "who is primary cannot be told, and nothing is recorded: stop",
    { applied: null, observed: unknown },
    {
      kind: "stop",
      text: `who is primary cannot be told: pg2 cannot be reached.\n  Nothing was touched.\n${unknownWaysOut}`,
    },
  ],
  [
    "nothing recorded, observed as declared: record",
    { applied: null, observed: known("pg1") },
    {
      kind: "record",
      text:
        "recorded: pg1 is primary, as declared\n" +
        "  This state knew nothing of the cluster. What is there is taken over as it is.",
    },
  ],
  [
    "nothing recorded, another member observed: record, and never switch",
    { applied: null, observed: known("pg2") },
    {
      kind: "record",
      text:
        "recorded: pg2 is primary, the stack file says pg1\n" +
        `  This state knew nothing of the cluster. What is there is taken over as it is: nothing is switched.\n${keepOrGoBack}`,
    },
  ],
  [
    "declared, applied and observed agree: unchanged, whatever the timeline",
    { observed: known("pg1") },
    { kind: "unchanged", text: "pg1 is primary, as declared" },
  ],
  [
    "a primary that is merely not running keeps its place: unchanged",
    { observed: stopped("pg1") },
    { kind: "unchanged", text: "pg1 is primary, as declared" },
  ],
  [
    "the declaration follows a failover: acknowledge",
    { declared: "pg2", observed: known("pg2") },
    { kind: "acknowledge", text: "acknowledged: pg2 is already primary (recorded was pg1); nothing is switched" },
  ],
  [
    "the declaration changed and nothing else did: switchover",
    { declared: "pg2", observed: known("pg1") },
    {
      kind: "switchover",
      from: "pg1",
      to: "pg2",
      text: "planned switchover pg1 -> pg2: the line primary: was changed",
    },
  ],
  [
    "the declaration names again whom an acknowledged failover left: a switchover, with doubt",
    { declared: "pg1", applied: "pg2", failedOverFrom: "pg1", observed: known("pg2") },
    {
      kind: "switchover",
      from: "pg2",
      to: "pg1",
      doubtful: true,
      text:
        "planned switchover pg2 -> pg1: the line primary: was changed\n" +
        "  primary: named pg1 before, until primary: pg2 acknowledged what was found. Is this an old stack file, merged by mistake?\n" +
        "  To keep pg2: primary: pg2.",
    },
  ],
  [
    "the declaration changed and a third member became primary: stop, with the choice",
    { declared: "pg2", observed: known("pg3") },
    {
      kind: "stop",
      text:
        "primary: changed from pg1 to pg2, but meanwhile pg3 became primary.\n" +
        "  Nothing was touched.\n" +
        "  To keep pg3: primary: pg3. Also when an old stack file was merged by mistake.\n" +
        "  To switch to pg2 after all: first `pulumi up` with primary: pg3, then with primary: pg2.",
    },
  ],
];

describe.each(withoutPolicy)("%s", (_, given, expected) => {
  it.each(everyPolicy)("onDrift: %s", (policy) => {
    expect(situation(given, policy)).toEqual(expected);
  });
});

describe("declared and applied agree, another member is primary: drift", () => {
  const drift = (what: string) => ({
    kind: "drift",
    text: `a failover happened: pg2 is primary, the stack file says pg1\n  ${what} Everything else goes on with pg2.\n${keepOrGoBack}`,
  });
  const failed = {
    kind: "stop",
    text:
      "a failover happened: pg2 is primary, the stack file says pg1.\n" +
      "  Nothing was touched.\n" +
      "  It stops here because of onDrift: fail.\n" +
      `${keepOrGoBack}\n` +
      "  To carry on with a warning: onDrift: adopt.",
  };
  const notDue = drift("Not switched back yet (onDrift: switchBack): it waits for pg1 to stream from pg2.");

  it.each<[Policy, unknown]>([
    ["adopt", drift("Adopted: nothing is switched (onDrift: adopt).")],
    ["fail", failed],
    ["switchBack, not due", notDue],
    [
      "switchBack, due",
      {
        kind: "switchover",
        from: "pg2",
        to: "pg1",
        text:
          "planned switchover pg2 -> pg1: back to the declared primary\n" +
          "  A failover had made pg2 primary; onDrift: switchBack takes it back, and nothing else is changed with it.\n" +
          "  To keep pg2 instead: primary: pg2.",
      },
    ],
  ])("onDrift: %s", (policy, expected) => {
    expect(situation({ observed: known("pg2") }, policy)).toEqual(expected);
  });

  it.each<[Policy, unknown]>([
    ["adopt", drift("Adopted: nothing is switched (onDrift: adopt).")],
    ["fail", failed],
    ["switchBack, not due", notDue],
    [
      "switchBack, due",
      {
        kind: "stop",
        text:
          "switching back pg2 -> pg1 is due, and is done alone: the stack file also changed parameters.work_mem, members.pg4.\n" +
          "  Nothing was touched.\n" +
          "  To switch back first: take that change back, run `pulumi up`, then make the change again.\n" +
          "  To make the change first: onDrift: adopt, run `pulumi up`, then onDrift: switchBack.\n" +
          "  To keep pg2: primary: pg2.",
      },
    ],
  ])("with other lines of the group changed, onDrift: %s", (policy, expected) => {
    const changed = ["parameters.work_mem", "members.pg4"];
    expect(situation({ observed: known("pg2"), changed }, policy)).toEqual(expected);
  });

  it.each<[Policy, unknown]>([
    ["adopt", drift("Adopted: nothing is switched (onDrift: adopt).")],
    ["fail", failed],
    ["switchBack, not due", notDue],
    ["switchBack, due", drift("Not switched back yet (onDrift: switchBack): first this is repaired: unhealthy.pg3.")],
  ])("with a member to repair, onDrift: %s", (policy, expected) => {
    expect(situation({ observed: known("pg2"), repairs: ["unhealthy.pg3"] }, policy)).toEqual(expected);
  });

  it("a stopped primary that is not the declared one is not switched back, but started", () => {
    expect(situation({ observed: stopped("pg2") }, "switchBack, not due").kind).toBe("drift");
  });
});

describe("the first row that matches wins", () => {
  it.each<[string, Given, Situation["kind"], string]>([
    ["an unfinished creation goes before create", { applied: null, observed: nothing, unfinished }, "finish", "unfi"],
    ["foreign goes before unfinished", { observed: foreign, unfinished }, "stop", "members belong to different"],
    ["foreign goes before a lost state", { applied: null, observed: foreign }, "stop", "members belong to different"],
    ["several goes before unfinished", { observed: several, unfinished }, "stop", "more than one member is writable"],
    ["several goes before a lost state", { applied: null, observed: several }, "stop", "more than one member is"],
    ["unfinished goes before none", { observed: none, unfinished }, "finish", "unfinished: "],
    ["unfinished goes before unknown", { observed: unknown, unfinished }, "finish", "unfinished: "],
    ["unfinished goes before a switchover", { declared: "pg2", observed: known("pg1"), unfinished }, "finish", "unfi"],
    ["unfinished goes before elsewhere", { observed: elsewhere, unfinished }, "finish", "unfinished: "],
    ["elsewhere goes before a lost state", { applied: null, observed: elsewhere }, "stop", "no declared member is"],
    ["elsewhere goes before a changed declaration", { declared: "pg2", observed: elsewhere }, "stop", "no declared"],
    ["unfinished goes before a lost state", { applied: null, observed: known("pg1"), unfinished }, "finish", "unfi"],
    ["none goes before a lost state", { applied: null, observed: none }, "stop", "no member is writable"],
    ["none goes before a changed declaration", { declared: "pg2", observed: none }, "stop", "no member is writable"],
    [
      "another database goes before drift",
      { observed: known("pg2", "7000000000000000009") },
      "stop",
      "the members hold another database",
    ],
    [
      "another database goes before an acknowledgement",
      { declared: "pg2", observed: known("pg2", "7000000000000000009") },
      "stop",
      "the members hold another database",
    ],
    ["a lost state goes before drift", { applied: null, observed: known("pg2") }, "record", "recorded: pg2 is primary"],
  ])("%s, under every onDrift", (_, given, kind, begin) => {
    for (const policy of everyPolicy) {
      const found = situation(given, policy);
      expect(found.kind).toBe(kind);
      expect(found.text.slice(0, begin.length)).toBe(begin);
    }
  });
});

it("only a changed declaration switches, and under switchBack what is due and alone", () => {
  const observed = [known("pg1"), known("pg2"), stopped("pg1"), stopped("pg2"), none, nothing, several, foreign];
  const switching = [...observed, elsewhere, unknown, behind].flatMap((one) =>
    everyPolicy.flatMap((policy) =>
      [null, "pg1"].flatMap((applied) => {
        const found = situation({ applied, observed: one }, policy);
        return found.kind === "switchover" ? [`${policy}: ${found.from} -> ${found.to}`] : [];
      }),
    ),
  );
  expect(new Set(switching)).toEqual(new Set(["switchBack, due: pg2 -> pg1"]));
});

it("the first line of what is said beside a diff fits on a resource's row", () => {
  for (const policy of everyPolicy) {
    for (const given of [
      { observed: known("pg2") },
      { observed: unknown },
      { applied: null, observed: known("pg2") },
    ]) {
      expect(situation(given, policy).text.split("\n")[0]?.length).toBeLessThanOrEqual(80);
    }
  }
});
