import { describe, expect, it } from "vitest";
import { type CommitRule, type MemberRules, parseStandbyNames, planRules, standbyNames } from "./commitRule.ts";

const three = ["pg1", "pg2", "pg3"];
const any = (k: number, candidates: readonly string[] = three): CommitRule => ({ mode: "quorum", k, candidates });
const off: CommitRule = { mode: "off", k: 0, candidates: three };

function seen(commits: CommitRule, elections: CommitRule = commits, members: readonly string[] = three): MemberRules[] {
  return members.map((member) => ({ member, reached: true, commits: [commits], elections }));
}

function without(away: string, members: readonly MemberRules[]): MemberRules[] {
  return members.map((one) => (one.member === away ? { member: away, reached: false, commits: [] } : one));
}

it("what is as declared stays so, with nothing to wait for, whoever is away", () => {
  const asDeclared = { now: { commits: any(1), elections: any(1) }, waitsFor: [] };
  expect(planRules(any(1), "pg1", seen(any(1)))).toEqual(asDeclared);
  expect(planRules(any(1), "pg1", without("pg3", seen(any(1))))).toEqual(asDeclared);
  expect(planRules(any(1), "pg1", [])).toEqual(asDeclared);
});

it("commits that are to wait for more do so first; promotions need fewer positions only once standbys have everything", () => {
  expect(planRules(any(2), "pg1", seen(any(1)))).toEqual({
    now: { commits: any(2), elections: any(1) },
    afterwards: any(2),
    waitsFor: [],
  });
});

it("commits that are to wait for fewer do so only after promotions need more positions, and then nothing is left", () => {
  expect(planRules(any(1), "pg1", seen(any(2)))).toEqual({ now: { commits: any(1), elections: any(1) }, waitsFor: [] });
});

it("a candidate that comes counts in promotions first, one that goes counts there until the end", () => {
  const four = [...three, "pg4"];
  expect(planRules(any(1, four), "pg1", seen(any(1)))).toEqual({
    now: { commits: any(1, four), elections: any(1, four) },
    waitsFor: [],
  });
  expect(planRules(any(1), "pg1", seen(any(1, four)))).toEqual({
    now: { commits: any(1), elections: any(1, four) },
    afterwards: any(1),
    waitsFor: [],
  });
});

it("more standbys and other candidates at once go by a rule that is right for both", () => {
  const others = ["pg1", "pg2", "pg4"];
  expect(planRules(any(2, others), "pg1", seen(any(1)))).toEqual({
    now: { commits: any(2, others), elections: any(1, ["pg1", "pg2", "pg3", "pg4"]) },
    afterwards: any(2, others),
    waitsFor: [],
  });
});

it("where commits wait no more, promotions keep their rule until they do; where they begin to, promotions know it first", () => {
  expect(planRules(off, "pg1", seen(any(1)))).toEqual({
    now: { commits: off, elections: any(1) },
    afterwards: off,
    waitsFor: [],
  });
  expect(planRules(any(1), "pg1", seen(off))).toEqual({ now: { commits: any(1), elections: any(1) }, waitsFor: [] });
});

it("a change that was cut off after the primary's setting is not taken for proved", () => {
  expect(planRules(any(2), "pg1", seen(any(2), any(1)))).toEqual({
    now: { commits: any(2), elections: any(1) },
    afterwards: any(2),
    waitsFor: [],
  });
});

it("what a primary runs with counts as well as what its file says", () => {
  const [one, ...others] = seen(any(2));
  const running = { ...one, commits: [any(2), any(1)] } as MemberRules;
  expect(planRules(any(2), "pg1", [running, ...others])).toEqual({
    now: { commits: any(2), elections: any(1) },
    afterwards: any(2),
    waitsFor: [],
  });
});

describe("a member that is not reached may be promoted by the old rule", () => {
  it("so commits go on by it", () => {
    for (const [before, after] of [
      [any(2), any(1)],
      [any(1), any(2)],
    ] as const) {
      expect(planRules(after, "pg1", without("pg3", seen(before)))).toEqual({
        now: { commits: before, elections: before },
        waitsFor: ["pg3"],
      });
    }
  });

  it("so commits do not begin to wait by one that it does not know", () => {
    expect(planRules(any(1), "pg1", without("pg3", seen(off)))).toEqual({
      now: { commits: off, elections: any(1) },
      waitsFor: ["pg3"],
    });
  });

  it("but may stop waiting at once: then only promotions keep their rule", () => {
    expect(planRules(off, "pg1", without("pg3", seen(any(1))))).toEqual({
      now: { commits: off, elections: any(1) },
      waitsFor: ["pg3"],
    });
  });

  it("and keeps nothing back where it is no candidate", () => {
    const two = ["pg1", "pg2"];
    const none: CommitRule = { ...off, candidates: two };
    expect(planRules(none, "pg1", without("pg3", seen(any(1, two))))).toEqual({
      now: { commits: none, elections: any(1, two) },
      afterwards: none,
      waitsFor: [],
    });
  });
});

it("a primary that is no candidate any more has rows that the candidates alone need not have", () => {
  expect(planRules(any(1, ["pg1", "pg3"]), "pg2", seen(any(1)))).toEqual({
    now: { commits: any(1, ["pg1", "pg3"]), elections: any(1) },
    waitsFor: ["pg2"],
  });
});

it("what PostgreSQL is told can be read again; what others wrote is nobody's", () => {
  expect(standbyNames({ mode: "priority", k: 2, candidates: three })).toBe('FIRST 2 ("pg1", "pg2", "pg3")');
  for (const rule of [any(1), any(2), { mode: "priority", k: 2, candidates: three } as const]) {
    expect(parseStandbyNames(standbyNames(rule))).toEqual(rule);
  }
  expect(parseStandbyNames("")).toEqual({ mode: "off", k: 0, candidates: [] });
  for (const foreign of ["*", "pg2", "ANY 0 (pg1)", "2 (a, b)"]) expect(parseStandbyNames(foreign)).toBeUndefined();
});

/* Who has an acknowledged row, and whose positions a promotion may do with, as agent/elect.py decides. */
function subsets(names: readonly string[], size: number): string[][] {
  if (size === 0) return [[]];
  return names.flatMap((name, index) => subsets(names.slice(index + 1), size - 1).map((rest) => [name, ...rest]));
}

function losesARow(commits: CommitRule, elections: CommitRule, primary: string): boolean {
  if (commits.k === 0) return false;
  if (elections.k === 0) return true;
  const holders = subsets(
    commits.candidates.filter((name) => name !== primary),
    commits.k,
  ).map((names) => [primary, ...names]);
  const asked = subsets(elections.candidates, Math.max(1, elections.candidates.length - elections.k));
  return asked.some((names) => holders.some((having) => !having.some((name) => names.includes(name))));
}

const rules = [
  off,
  ...[three, ["pg1", "pg2"], ["pg1", "pg2", "pg4"], [...three, "pg4"]].flatMap((candidates) =>
    [1, 2, 3].filter((k) => k < candidates.length).map((k) => any(k, candidates)),
  ),
];
const changes = rules.flatMap((before) => rules.map((after) => ({ before, after })));

it("no order of the steps loses a row, whatever the rules before and after, also where one is not reached", () => {
  for (const { before, after } of changes) {
    for (const members of [seen(before), without("pg3", seen(before))]) {
      const { now, afterwards } = planRules(after, "pg1", members);
      // One that is not reached goes on by the old rule, if it may be promoted by that at all.
      const isLeft = members.some(({ member, reached }) => !reached && before.candidates.includes(member));
      const electors = isLeft ? [before, now.elections] : [now.elections];
      expect(losesARow(before, now.elections, "pg1")).toBe(false);
      for (const elections of electors) {
        const loses = losesARow(now.commits, elections, "pg1");
        expect({ before, after, elections, loses }).toEqual({ before, after, elections, loses: false });
      }
      if (afterwards !== undefined) expect(losesARow(now.commits, afterwards, "pg1")).toBe(false);
    }
  }
});

it("without the order a row would be lost", () => {
  expect(losesARow(any(1), any(2), "pg1")).toBe(true);
  expect(losesARow(any(1), any(1, ["pg1", "pg2"]), "pg1")).toBe(true);
  expect(losesARow(any(1), any(1), "pg1")).toBe(false);
});
