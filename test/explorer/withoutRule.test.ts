import { expect, test } from "vitest";
import type { LocalFacts, MemberObservation } from "../../model/observation.ts";
import { type Rules, realRules } from "./rules.ts";
import { exploreAll, type Scope, violationText } from "./search.ts";

/*
 * Each rule of the ticket, taken out: then the explorer finds what the rule prevents. What is searched here with the rule
 * is searched without a finding as well, so that it is the rule that makes the difference.
 */

const reads = ["lock", "look"].flatMap((what) => ["pg1", "pg2", "pg3"].map((on) => `up 1: ${what} (${on})`));
const armed = [
  ...["up 1 begins", ...reads, "up 1: write the journal (pg1)", "up 1: write the journal (pg2)"],
  ...["up 1: arm the target", "up 1: arm the old primary"],
];
const stopped = [
  ...[...armed, "up 1: go", "pg1 makes itself a standby", "pg1 is told to stop", "pg1 writes its shutdown checkpoint"],
  ...["pg2 receives X", "pg3 receives X", "pg1 ends its postmaster", "pg1 sends the ticket"],
];
const handedIn = [...stopped, "pg2 hears ticket"];

const twoWritable = "pg1 and pg2 are writable";
const nobody = "the hosts alone end with 0 writable members";

type Change = (rules: Rules) => Partial<Rules>;
interface Case {
  readonly rule: string;
  readonly without: Change;
  readonly budget: Scope["budget"];
  readonly found: string;
  readonly after?: readonly string[];
}

const cases: readonly Case[] = [
  {
    rule: "a ticket is consumed only while it is armed",
    without: ({ mayConsume }) => ({
      mayConsume: (ticket, ...rest) => mayConsume(ticket && { ...ticket, state: "armed" }, ...rest),
    }),
    budget: { ups: 1, impatience: 1 },
    found: twoWritable,
  },
  {
    rule: "a ticket lives for 5 s: its host may have stood still meanwhile, and been given up",
    without: ({ mayConsume }) => ({
      mayConsume: (ticket, lock, epoch) => mayConsume(ticket, { ...lock, alive: true }, epoch, false),
    }),
    budget: { ups: 2, freezes: 1, humans: 1, deaths: 1, impatience: 1 },
    found: twoWritable,
    after: [...handedIn, "pg2 stands still", "pg1 hears nothing", "up 1 dies", "somebody takes pg2"],
  },
  {
    rule: "the clock is looked at again once the consumed ticket is on the disk: its host may have stood still within that",
    without: () => ({ clockAfterConsuming: false }),
    budget: { ups: 2, freezes: 1, humans: 1, deaths: 1, impatience: 1 },
    found: twoWritable,
    after: [...handedIn, "pg2 consumes", "pg2 stands still", "pg1 hears nothing", "up 1 dies", "somebody takes pg2"],
  },
  {
    rule: "a target whose process was started again promotes only with the old primary's word",
    without: () => ({ targetAsksAgain: false }),
    budget: { ups: 2, freezes: 1, humans: 1, deaths: 1, kills: 1 },
    found: twoWritable,
    after: [
      ...[...handedIn, "pg2 consumes", 'pg2\'s unit "take 1" is killed', "pg2 stands still", "pg1 hears nothing"],
      ...["up 1 dies", "somebody takes pg2"],
    ],
  },
  {
    rule: "the old primary gives no word while somebody holds the cluster who may bring it back, or while it is brought back",
    without: ({ givesItsWord }) => ({
      givesItsWord: (found, lock, epoch) =>
        givesItsWord(found && { epoch, state: found.state, thisBoot: true }, { ...lock, alive: false }, epoch),
    }),
    budget: { ups: 2, freezes: 1, humans: 1, deaths: 1, impatience: 1 },
    found: twoWritable,
    after: [...handedIn, "pg2 consumes", "pg2 stands still", "pg1 hears nothing", "up 1 dies", "somebody takes pg2"],
  },
  {
    rule: "the target has all of the old primary's WAL",
    without: () => ({ walIsProved: false }),
    budget: { ups: 1, rows: 1 },
    found: "pg2 is writable without the acknowledged row a",
  },
  {
    rule: "a refusal revokes",
    without: () => ({ refusalRevokes: false }),
    budget: { ups: 1, impatience: 1 },
    found: twoWritable,
  },
  {
    rule: "one that was consumed is not revoked",
    without: ({ afterRevocation }) => ({
      afterRevocation: (ticket, handover, own) =>
        ticket?.epoch === handover.epoch ? "revoked" : afterRevocation(ticket, handover, own),
    }),
    budget: { ups: 1, impatience: 1 },
    found: twoWritable,
  },
  {
    rule: "a target on a higher timeline never lets the old primary come back",
    without: ({ afterRevocation }) => ({
      afterRevocation: (ticket, handover, own) =>
        afterRevocation(ticket, handover, { ...own, timeline: handover.timeline }),
    }),
    budget: { ups: 1, powerCuts: 1, humans: 1 },
    found: "pg1 and pg3 are writable",
    after: [...stopped.slice(0, -1), "pg1 loses power"],
  },
  {
    rule: "no answer keeps the old primary down",
    without: () => ({ silenceKeepsDown: false }),
    budget: { ups: 1, impatience: 1 },
    found: twoWritable,
  },
  {
    rule: "the primary is stopped only under the living lock of its epoch",
    without: ({ mayGo }) => ({ mayGo: (host, epoch) => mayGo({ ...host, lock: { epoch, alive: true } }, epoch) }),
    budget: { ups: 2, deaths: 1 },
    found: nobody,
    after: [...armed, "up 1 dies, and its order is under way"],
  },
  {
    rule: "the old primary's gate asks the target before anything starts",
    without: () => ({ gateSettles: false }),
    budget: { ups: 1, powerCuts: 1 },
    found: nobody,
  },
  {
    rule: "a target promotes after a boot only with the old primary's word",
    without: () => ({ targetAsksAfterBoot: false }),
    budget: { ups: 2, powerCuts: 1, humans: 1, deaths: 1 },
    found: twoWritable,
    after: [...handedIn, "pg2 consumes", "pg2 loses power", "up 1 dies"],
  },
  {
    rule: "that word is not given once the old primary came back",
    without: () => ({ givesItsWord: () => true }),
    budget: { ups: 2, powerCuts: 1, humans: 1, deaths: 1 },
    found: twoWritable,
    after: [...handedIn, "pg2 consumes", "pg2 loses power", "up 1 dies"],
  },
  {
    rule: "a former primary without a pass asks a majority",
    without: () => ({ gateAsksMajority: false }),
    budget: { powerCuts: 1, humans: 1 },
    found: twoWritable,
  },
  {
    rule: "a former primary stays down where a higher timeline is",
    without: ({ verdict }) => ({
      verdict: (_, answers, members) =>
        verdict(
          9,
          answers.map((answer) => ({ ...answer, inProduction: false })),
          members,
        ),
    }),
    budget: { powerCuts: 1, humans: 1 },
    found: twoWritable,
  },
  {
    rule: "an intended stop ends the pass",
    without: () => ({ stopRemovesPass: false }),
    budget: { humans: 3 },
    found: twoWritable,
  },
  {
    rule: "that the old primary is about to stop is durable before it stops",
    without: ({ durable }) => ({ durable: { ...durable, stopping: false } }),
    budget: { ups: 1, powerCuts: 1 },
    found: nobody,
  },
  {
    rule: "that the old primary is a standby is durable before it stops",
    without: ({ durable }) => ({ durable: { ...durable, standbySignal: false } }),
    budget: { ups: 1, powerCuts: 1 },
    found: twoWritable,
  },
  {
    rule: "that the ticket is consumed is durable before the target promotes",
    without: ({ durable }) => ({ durable: { ...durable, consumed: false } }),
    budget: { ups: 1, powerCuts: 1, kills: 1 },
    found: nobody,
    after: [...handedIn, "pg2 consumes", 'pg2\'s unit "take 1" is killed'],
  },
  {
    rule: "a later orchestrator takes the ticket away first, or at least makes it worthless by its lock",
    without: ({ mayConsume }) => ({
      upRevokesFirst: false,
      mayConsume: (ticket, lock, epoch, isLate) => mayConsume(ticket, { ...lock, epoch }, epoch, isLate),
    }),
    budget: { ups: 2, deaths: 1 },
    found: twoWritable,
    after: [...stopped, "up 1 dies"],
  },
  ...givenUpCases(),
];

/** What an `up` decides when the members do not tell it everything. */
function told(change: (seen: MemberObservation) => MemberObservation | undefined): Change {
  return ({ recoveryOf }) => ({
    recoveryOf: (journal, observations) =>
      recoveryOf(
        journal,
        observations.flatMap((seen) => change(seen) ?? []),
      ),
  });
}

function withLocal(seen: MemberObservation, local: Partial<LocalFacts>): MemberObservation {
  return seen.reached ? { ...seen, local: { ...seen.local, ...local } } : seen;
}

/** The target consumed its ticket and was taken out of members:, the old primary came back, and the target was put back. */
function givenUpCases(): Case[] {
  const given = [
    ...[...handedIn, "pg2 consumes", "up 1 dies", "somebody switches pg2 off"],
    ...["the lock 1 runs out on pg1", "the lock 1 runs out on pg3", "up 2 begins"],
    ...["up 2: lock (pg1)", "up 2: lock (pg3)", "up 2: look (pg1)", "up 2: look (pg3)"],
    ...["up 2: record as given up (pg1)", "up 2: record as given up (pg3)", "up 2: bring back (pg1)"],
    ...["pg1 takes over", "pg1 is stopped", "pg1 is no standby", "pg1 may come back", "pg1 is started"],
    ...["pg1 starts as primary", "up 2: await the return", "up 2: await service", "up 2: forget (pg1)"],
    ...["up 2: forget (pg3)", "up 2: release (pg1)", "up 2: release (pg3)", "a client writes a", "pg3 receives a"],
  ];
  const pg2Runs = ["pg2 boots", "pg2 starts as standby"];
  const putBack = [...given, "somebody puts pg2 back", ...pg2Runs];
  const handedOn = [
    ...["up 3 begins", "up 3: lock (pg1)", "up 3: lock (pg3)", "up 3: look (pg1)", "up 3: look (pg3)"],
    ...["up 3: write the journal (pg1)", "up 3: write the journal (pg3)", "up 3: arm the target"],
    ...["up 3: arm the old primary", "up 3: go", "pg1 makes itself a standby", "pg1 is told to stop"],
    ...["pg1 writes its shutdown checkpoint", "pg3 receives X", "pg1 ends its postmaster", "pg1 sends the ticket"],
    ...["pg3 hears ticket", "pg3 consumes", "pg3 promotes", "pg3 is writable", "pg3 records"],
    ...["pg1 hears consumed"],
    ...["pg1 gives its place up", "pg1 is started", "pg1 starts as standby", "up 3: await the outcome"],
    ...["up 3: await writable", "pg1 receives", "up 3: await streaming", "up 3: forget (pg1)", "up 3: forget (pg3)"],
    ...["up 3: release (pg1)", "up 3: release (pg3)"],
  ];
  const budget = { ups: 3, deaths: 1, rows: 1, powerCuts: 1, humans: 2 };
  const lost = "pg2 is writable without the acknowledged row a";
  return [
    {
      rule: "a target never goes forward once the old primary, or a record, says that it came back",
      without: told((seen) => withLocal(seen, { switch: undefined, givenUp: undefined })),
      budget,
      found: lost,
      after: [...putBack, "pg1 loses power", "pg1 boots"],
    },
    {
      rule: "nor as long as the old primary cannot be reached, and nobody recorded it",
      without: told((seen) =>
        seen.reached || seen.member !== "pg1" ? withLocal(seen, { givenUp: undefined }) : undefined,
      ),
      budget,
      found: twoWritable,
      after: [...putBack, "pg2 receives a", "pg1 loses power"],
    },
    {
      rule: "that a target is given up is recorded on every member before the old primary comes back",
      without: told((seen) => withLocal(seen, { givenUp: undefined })),
      budget,
      found: lost,
      after: [...given, "somebody switches pg1 off, takes it out of members: and puts pg2 back", ...pg2Runs],
    },
    {
      rule: "nor goes a target forward once the old primary has handed on, while the new one cannot be read",
      without: told((seen) => {
        if (!seen.reached) return undefined;
        const blind = withLocal(seen, { givenUp: undefined, switch: undefined });
        return blind.reached && blind.postgres ? { ...blind, postgres: { ...blind.postgres, timeline: 1 } } : blind;
      }),
      budget: { ...budget, ups: 4, cuts: 1 },
      found: "pg2 and pg3 are writable",
      after: [...given, ...handedOn, "somebody puts pg2 back", ...pg2Runs],
    },
  ];
}

test.each(cases)("taken out: $rule", { timeout: 120_000 }, ({ without, budget, found, after = [] }) => {
  const scope = { budget, goals: [{ from: 0, to: 1 }, undefined, { from: 0, to: 2 }], ends: found === nobody, after };
  const rules = { ...realRules, ...without(realRules) };
  expect(exploreAll({ ...scope, limit: 20_000 }, rules).violation?.what).toBe(found);
  const withTheRule = exploreAll({ ...scope, limit: 3_000 }).violation;
  expect(withTheRule === undefined ? "nothing" : violationText(withTheRule)).toBe("nothing");
});
