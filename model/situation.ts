import type { ObservedPrimary } from "./observedPrimary.ts";

/** The last declared primary that was carried out, acknowledged or recorded. */
export interface Applied {
  readonly member: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
}

export interface Facts {
  /** What the stack file says now. */
  readonly declared: string;
  /** Missing when the state was lost or imported. */
  readonly applied?: Applied | undefined;
  readonly observed: ObservedPrimary;
  /** What a member's journal or marker says was begun and not ended; shown to people. */
  readonly unfinished?: string | undefined;
  readonly onDrift: "adopt" | "fail";
}

/** What is to be done about who is primary, and the sentence that people read. Nothing else decides it. */
export type Situation =
  | { readonly kind: "create"; readonly text: string }
  | { readonly kind: "finish"; readonly text: string }
  | { readonly kind: "stop"; readonly text: string }
  | { readonly kind: "unknown"; readonly text: string }
  | { readonly kind: "record"; readonly text: string }
  | { readonly kind: "unchanged"; readonly text: string }
  | { readonly kind: "drift"; readonly text: string }
  | { readonly kind: "acknowledge"; readonly text: string }
  | { readonly kind: "switchover"; readonly from: string; readonly to: string; readonly text: string };

interface Row {
  readonly when: (facts: Facts, observed: string | undefined) => boolean;
  readonly decide: (facts: Facts, observed: string) => Situation;
}

/** The table of the one idea: the first row that matches wins. */
const table: readonly Row[] = [
  {
    when: ({ observed, applied, unfinished }) =>
      observed.kind === "nothing" && applied === undefined && unfinished === undefined,
    decide: ({ declared }) => ({ kind: "create", text: `create: initdb on ${declared}, clone the others` }),
  },
  {
    when: ({ observed }) => observed.kind === "foreign",
    decide: ({ observed }) =>
      stop(
        `members belong to different databases: ${observed.kind === "foreign" ? observed.text : ""}.`,
        "Take the foreign member out of members:, or give it an empty data directory.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "several",
    decide: ({ observed }) =>
      stop(
        `more than one member is writable: ${observed.kind === "several" ? observed.members.join(", ") : ""}.`,
        "Decide which one holds the right data, stop the other one on its host, then run `pulumi up` again.",
      ),
  },
  {
    when: ({ unfinished }) => unfinished !== undefined,
    decide: ({ unfinished }) => ({ kind: "finish", text: `unfinished: ${unfinished}` }),
  },
  {
    when: ({ observed }) => observed.kind === "nothing",
    decide: ({ applied }) =>
      stop(
        `every member is empty, but ${applied?.member} was primary of system ${applied?.systemIdentifier}.`,
        "Mount the data volumes. If the data is really gone, remove the resource from the state (`pulumi state delete`) and run `pulumi up`.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "elsewhere",
    decide: ({ observed }) =>
      stop(
        `no declared member is writable: ${observed.kind === "elsewhere" ? observed.text : ""}.`,
        "Promote nobody while it runs: two would be writable. If it is the primary, declare it under members: and primary: again, and switch over before you take it out. If it is to go at once, stop it for good on its host, promote one of these (`pg_ctl promote`), then run `pulumi up` again.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "none",
    decide: () =>
      stop(
        "no member is writable, and none is surely the primary.",
        "Start or promote the right one on its host (`pg_ctl promote`), then run `pulumi up` again.",
      ),
  },
  {
    when: ({ observed, applied }) =>
      applied !== undefined &&
      (observed.kind === "known" || observed.kind === "stopped") &&
      observed.systemIdentifier !== applied.systemIdentifier,
    decide: ({ observed, applied }) =>
      stop(
        `the members hold another database (system identifier ${"systemIdentifier" in observed ? observed.systemIdentifier : ""}) than the one recorded (${applied?.systemIdentifier}).`,
        "Check the addresses of pgha:hosts. To take over what runs there, remove the resource from the state (`pulumi state delete`) and run `pulumi up`.",
      ),
  },
  {
    when: ({ observed, declared, applied }) => observed.kind === "unknown" && applied?.member === declared,
    decide: ({ observed }) => ({
      kind: "unknown",
      text: `who is primary cannot be told: ${observed.kind === "unknown" ? observed.reason : ""}.\n  Nothing is changed that depends on it.`,
    }),
  },
  {
    when: ({ observed }) => observed.kind === "unknown",
    decide: ({ observed }) =>
      stop(
        `who is primary cannot be told: ${observed.kind === "unknown" ? observed.reason : ""}.`,
        "Bring the members back, or take a dead one out of members: (that is your word that it is fenced).",
      ),
  },
  {
    when: ({ applied }) => applied === undefined,
    decide: ({ declared }, observed) => ({
      kind: "record",
      text:
        declared === observed
          ? `recorded: ${observed} is primary, as declared`
          : `recorded: the declared primary is ${declared}, but ${observed} is; nothing is switched`,
    }),
  },
  {
    when: ({ declared, applied }, observed) => declared === applied?.member && declared === observed,
    decide: (_, observed) => ({ kind: "unchanged", text: `${observed} is primary, as declared` }),
  },
  {
    when: ({ declared, applied, onDrift }) => declared === applied?.member && onDrift === "adopt",
    decide: ({ declared }, observed) => ({
      kind: "drift",
      text: `a failover happened: ${observed} is primary, declared is ${declared}.\n  Adopted: nothing is switched. To acknowledge it: primary: ${observed}.`,
    }),
  },
  {
    when: ({ declared, applied }) => declared === applied?.member,
    decide: ({ declared }, observed) =>
      stop(
        `a failover happened: ${observed} is primary, declared is ${declared}.`,
        `To acknowledge it: primary: ${observed}. To carry on with a warning: onDrift: adopt.`,
      ),
  },
  {
    when: ({ declared }, observed) => declared === observed,
    decide: ({ applied }, observed) => ({
      kind: "acknowledge",
      text: `acknowledged: ${observed} is already primary (recorded was ${applied?.member}); no host is touched`,
    }),
  },
  {
    when: ({ applied }, observed) => applied?.member === observed,
    decide: ({ declared }, observed) => ({
      kind: "switchover",
      from: observed,
      to: declared,
      text: `planned switchover ${observed} -> ${declared}`,
    }),
  },
  {
    when: () => true,
    decide: ({ declared, applied }, observed) =>
      stop(
        `primary: changed from ${applied?.member} to ${declared}, but meanwhile ${observed} became primary.`,
        `To acknowledge that: primary: ${observed}. To switch to ${declared} after all: first \`pulumi up\` with primary: ${observed}, then with primary: ${declared}.`,
      ),
  },
];

function stop(what: string, wayOut: string): Situation {
  return { kind: "stop", text: `${what}\n  Nothing was touched. ${wayOut}` };
}

export function situationOf(facts: Facts): Situation {
  const { observed } = facts;
  const member = observed.kind === "known" || observed.kind === "stopped" ? observed.member : undefined;
  const row = table.find((candidate) => candidate.when(facts, member));
  if (row === undefined) throw new Error("the table has a last row that always matches");
  return row.decide(facts, member ?? "");
}
