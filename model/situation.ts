import { memberPaths } from "./names.ts";
import { namedPrimary, type ObservedPrimary } from "./observedPrimary.ts";
import type { SwitchBack } from "./switchBack.ts";

/** The last declared primary that was carried out, acknowledged or recorded. */
export interface Applied {
  readonly member: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Who was declared before a failover that was then acknowledged: an old stack file would name it again. */
  readonly failedOverFrom?: string | undefined;
}

/** What one update would change in the group besides who is primary, as property paths. */
export interface OtherChanges {
  /** Lines of the stack file that changed. */
  readonly declared: readonly string[];
  /** What differs on the hosts and would be repaired. */
  readonly repairs: readonly string[];
}

export interface Facts {
  readonly cluster: string;
  /** What the stack file says now. */
  readonly declared: string;
  /** Missing when the state was lost or imported. */
  readonly applied?: Applied | undefined;
  readonly observed: ObservedPrimary;
  /** What a member's journal or marker says was begun and not ended; shown to people. */
  readonly unfinished?: string | undefined;
  readonly onDrift: "adopt" | "fail" | "switchBack";
  /** The clone of it that Pacemaker manages; undefined where nobody fails over. */
  readonly managedClone?: string | undefined;
  /** By member: since when it acknowledged commits alone, which nobody else has. */
  readonly relaxed?: Readonly<Record<string, string>> | undefined;
  /** Only where `switchBack` has something to switch back. */
  readonly switchBack?: SwitchBack | undefined;
  readonly otherChanges: OtherChanges;
}

/**
 * What is to be done about who is primary, and what people read: what happened, what will be done, and what they can do.
 * Nothing else decides it. The first line stands alone on the resource's row.
 */
export type Situation =
  | { readonly kind: "create"; readonly text: string }
  | { readonly kind: "finish"; readonly text: string }
  | { readonly kind: "stop"; readonly text: string }
  | { readonly kind: "unknown"; readonly text: string }
  | { readonly kind: "record"; readonly text: string }
  | { readonly kind: "unchanged"; readonly text: string }
  | { readonly kind: "drift"; readonly text: string }
  | { readonly kind: "acknowledge"; readonly text: string }
  | {
      readonly kind: "switchover";
      readonly from: string;
      readonly to: string;
      readonly text: string;
      /** Something speaks for a mistake: the text says what. */
      readonly doubtful?: true;
    };

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
        "If an address leads to another host, or another volume is mounted: correct pgha:hosts, or mount the right one.",
        "If that data is to be given up: take its member out of members:, or empty its data directory and remove its marker.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "several",
    decide: ({ observed, cluster }) => {
      const { members, ahead } = observed.kind === "several" ? observed : { members: [], ahead: [] };
      return stop(
        `more than one member is writable: ${members.join(", ")}.`,
        "Each may have taken writes that the other does not have. Nobody but you can tell whose are to stay.",
        ...members.map((one) => wayToKeep(one, members, ahead, cluster)),
      );
    },
  },
  {
    when: ({ unfinished }) => unfinished !== undefined,
    decide: ({ unfinished }) => ({
      kind: "finish",
      text: `unfinished: ${unfinished}\n  First this is finished or undone, by what the members say; what else changed comes after it.`,
    }),
  },
  {
    when: ({ observed }) => observed.kind === "nothing",
    decide: ({ applied }) =>
      stop(
        `every member is empty, but ${applied?.member} was primary of system ${applied?.systemIdentifier}.`,
        "Mount the data volumes, then run `pulumi up` again.",
        "If the data is really gone: take the resource out of the state (`pulumi state delete`); `pulumi up` then makes a new, empty database.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "elsewhere",
    decide: ({ observed }) =>
      stop(
        `no declared member is writable: ${observed.kind === "elsewhere" ? observed.text : ""}.`,
        "Promote nobody while it runs: two would be writable.",
        "If it is the primary: declare it under members: and primary: again, and switch over before you take it out.",
        "If it is to go at once: stop it for good on its host, then `select pg_promote()` in psql (`su postgres -c psql`) on one of these, then `pulumi up`.",
      ),
  },
  {
    when: ({ observed }) => observed.kind === "none",
    decide: ({ cluster, managedClone, relaxed = {} }) =>
      stop(
        "no member is writable, and none is surely the primary.",
        ...(managedClone === undefined ? [] : [promotesByItself]),
        ...waysOutOfRelaxed(relaxed),
        "`pulumi up` never promotes: it cannot know which writes you can do without.",
        ...(managedClone === undefined
          ? []
          : [`Only where it refuses, and never beside it: first ${maintenanceCommand(managedClone)}. Then:`]),
        `Choose the member with the newest data (the highest timeline below, and of those the furthest WAL). On its host: \`systemctl start ${memberPaths(cluster, "MEMBER").unit}\`,`,
        "then `select pg_promote()` in psql (`su postgres -c psql`) if it is a standby. Then run `pulumi up` again.",
      ),
  },
  {
    when: ({ observed, applied }) => {
      const primary = namedPrimary(observed);
      return applied !== undefined && primary !== undefined && primary.systemIdentifier !== applied.systemIdentifier;
    },
    decide: ({ observed, applied }) =>
      stop(
        `the members hold another database (system identifier ${namedPrimary(observed)?.systemIdentifier}) than the one recorded (${applied?.systemIdentifier}).`,
        "If the addresses lead to other hosts: correct pgha:hosts.",
        "To take over what runs there: take the resource out of the state (`pulumi state delete`), then `pulumi up`.",
      ),
  },
  {
    when: ({ observed, declared, applied }) => observed.kind === "unknown" && applied?.member === declared,
    decide: ({ observed, ...facts }) => ({
      kind: "unknown",
      text: [
        "who is primary cannot be told; nothing is changed that depends on it",
        `  ${observed.kind === "unknown" ? observed.reason : ""}.`,
        ...waysOutOfUnknown(observed, facts).map((line) => `  ${line}`),
      ].join("\n"),
    }),
  },
  {
    when: ({ observed }) => observed.kind === "unknown",
    decide: ({ observed, ...facts }) =>
      stop(
        `who is primary cannot be told: ${observed.kind === "unknown" ? observed.reason : ""}.`,
        ...waysOutOfUnknown(observed, facts),
      ),
  },
  {
    when: ({ applied }) => applied === undefined,
    decide: ({ declared }, observed) => ({
      kind: "record",
      text:
        declared === observed
          ? `recorded: ${observed} is primary, as declared\n  This state knew nothing of the cluster. What is there is taken over as it is.`
          : [
              `recorded: ${observed} is primary, the stack file says ${declared}`,
              "  This state knew nothing of the cluster. What is there is taken over as it is: nothing is switched.",
              ...keepOrGoBack(declared, observed),
            ].join("\n"),
    }),
  },
  {
    when: ({ declared, applied }, observed) => declared === applied?.member && declared === observed,
    decide: (_, observed) => ({ kind: "unchanged", text: `${observed} is primary, as declared` }),
  },
  {
    when: ({ declared, applied, onDrift }) => declared === applied?.member && onDrift === "adopt",
    decide: ({ declared }, observed) => drift(declared, observed, "Adopted: nothing is switched (onDrift: adopt)."),
  },
  {
    when: ({ declared, applied, onDrift }) => declared === applied?.member && onDrift === "fail",
    decide: ({ declared }, observed) =>
      stop(
        `a failover happened: ${observed} is primary, the stack file says ${declared}.`,
        "It stops here because of onDrift: fail.",
        ...keepOrGoBack(declared, observed).map((line) => line.trimStart()),
        "To carry on with a warning: onDrift: adopt.",
      ),
  },
  {
    when: ({ declared, applied, switchBack }) => declared === applied?.member && switchBack?.due !== true,
    decide: ({ declared, switchBack }, observed) =>
      drift(
        declared,
        observed,
        `Not switched back yet (onDrift: switchBack): it waits for ${switchBack?.waitsFor ?? "the next look"}.`,
      ),
  },
  {
    when: ({ declared, applied, otherChanges }) => declared === applied?.member && otherChanges.declared.length > 0,
    decide: ({ declared, otherChanges }, observed) =>
      stop(
        `switching back ${observed} -> ${declared} is due, and is done alone: the stack file also changed ${otherChanges.declared.join(", ")}.`,
        "To switch back first: take that change back, run `pulumi up`, then make the change again.",
        `To make the change first: onDrift: adopt, run \`pulumi up\`, then onDrift: switchBack.`,
        `To keep ${observed}: primary: ${observed}.`,
      ),
  },
  {
    when: ({ declared, applied, otherChanges }) => declared === applied?.member && otherChanges.repairs.length > 0,
    decide: ({ declared, otherChanges }, observed) =>
      drift(
        declared,
        observed,
        `Not switched back yet (onDrift: switchBack): first this is repaired: ${otherChanges.repairs.join(", ")}.`,
      ),
  },
  {
    when: ({ declared, applied }) => declared === applied?.member,
    decide: ({ declared }, observed) => ({
      kind: "switchover",
      from: observed,
      to: declared,
      text: [
        `planned switchover ${observed} -> ${declared}: back to the declared primary`,
        `  A failover had made ${observed} primary; onDrift: switchBack takes it back, and nothing else is changed with it.`,
        `  To keep ${observed} instead: primary: ${observed}.`,
      ].join("\n"),
    }),
  },
  {
    when: ({ declared }, observed) => declared === observed,
    decide: ({ applied }, observed) => ({
      kind: "acknowledge",
      text: `acknowledged: ${observed} is already primary (recorded was ${applied?.member}); nothing is switched`,
    }),
  },
  {
    when: ({ applied }, observed) => applied?.member === observed,
    decide: ({ declared, applied }, observed) => plannedSwitchover(observed, declared, applied),
  },
  {
    when: () => true,
    decide: ({ declared, applied }, observed) =>
      stop(
        `primary: changed from ${applied?.member} to ${declared}, but meanwhile ${observed} became primary.`,
        `To keep ${observed}: primary: ${observed}. Also when an old stack file was merged by mistake.`,
        `To switch to ${declared} after all: first \`pulumi up\` with primary: ${observed}, then with primary: ${declared}.`,
      ),
  },
];

function stop(what: string, ...waysOut: readonly string[]): Situation {
  return { kind: "stop", text: [`${what}\n  Nothing was touched.`, ...waysOut].join("\n  ") };
}

function drift(declared: string, observed: string, what: string): Situation {
  return {
    kind: "drift",
    text: [
      `a failover happened: ${observed} is primary, the stack file says ${declared}`,
      `  ${what} Everything else goes on with ${observed}.`,
      ...keepOrGoBack(declared, observed),
    ].join("\n"),
  };
}

function keepOrGoBack(declared: string, observed: string): string[] {
  return [
    `  To keep ${observed}: primary: ${observed} (acknowledged, no host is touched).`,
    `  To go back: first \`pulumi up\` with primary: ${observed}, then with primary: ${declared}, a planned switchover.`,
  ];
}

function plannedSwitchover(from: string, to: string, applied: Applied | undefined): Situation {
  const heading = `planned switchover ${from} -> ${to}: the line primary: was changed`;
  if (applied?.failedOverFrom !== to) return { kind: "switchover", from, to, text: heading };
  return {
    kind: "switchover",
    from,
    to,
    doubtful: true,
    text: [
      heading,
      `  primary: named ${to} before, until primary: ${from} acknowledged what was found. Is this an old stack file, merged by mistake?`,
      `  To keep ${from}: primary: ${from}.`,
    ].join("\n"),
  };
}

function maintenanceCommand(clone: string): string {
  return `\`crm_resource --resource ${clone} --meta --set-parameter maintenance --parameter-value true\``;
}

const promotesByItself =
  "Pacemaker promotes another member by itself, once no acknowledged row can be missing there: `crm_mon -1` and `journalctl -t pgha` on a host tell what it waits for.";

/** Whoever has acknowledged rows that nobody else has is the only one that may be promoted. */
function waysOutOfRelaxed(relaxed: Readonly<Record<string, string>>): string[] {
  const lines = Object.entries(relaxed).map(([member, text]) => `${member}: ${text}`);
  if (lines.length === 0) return [];
  const names = Object.keys(relaxed).join(" and ");
  return [...lines, `Bring ${names} back, and promote nobody else: rows that were acknowledged would be lost.`];
}

function waysOutOfUnknown(
  observed: ObservedPrimary,
  { cluster, managedClone, relaxed = {} }: Pick<Facts, "cluster" | "managedClone" | "relaxed">,
): string[] {
  const { former, missing, stopped = [] } = observed.kind === "unknown" ? observed : {};
  // Its boot gate keeps a former primary from coming back as one.
  const start = stopped.map((member) => `Start ${member} on its host: ${startCommand(cluster, member)}`);
  if (former !== undefined) {
    return [
      `If the others are right: stop ${former} (${stopCommand(cluster, former)}), promote one of them if none is writable, then \`pulumi up\`.`,
      `If ${former} is right: take those that are ahead of it out of members:, stop them, then \`pulumi up\`.`,
    ];
  }
  const bringBack = "Bring the members back, then run `pulumi up` again.";
  if (missing !== undefined && missing.streaming.length > 0) {
    return [
      "Promote nobody: as long as standbys stream, a primary runs, and two would be writable.",
      "(For some seconds after its host's death it still looks so: preview again.)",
      ...start,
      bringBack,
    ];
  }
  if (Object.keys(relaxed).length > 0) return [...waysOutOfRelaxed(relaxed), ...start];
  const fenced = "that is your word that it is fenced: off, and never writable again";
  if (missing !== undefined) {
    const byHand =
      managedClone === undefined
        ? "To fail over by hand:"
        : `To fail over by hand all the same: first ${maintenanceCommand(managedClone)}, then`;
    const away = `${missing.unread.join(" and ")} ${missing.unread.length === 1 ? "is off and stays" : "are off and stay"} off`;
    return [
      ...start,
      bringBack,
      ...(managedClone === undefined ? [] : [promotesByItself]),
      `${byHand} make sure that ${away}; then \`select pg_promote()\` in psql (\`su postgres -c psql\`) on the standby`,
      "with the newest data (of those on the highest timeline the one with the furthest `select pg_last_wal_receive_lsn()`), then `pulumi up`.",
      `To go on without one for good: take it out of members: (${fenced}).`,
    ];
  }
  return [...start, bringBack, `One that is dead for good: take it out of members: (${fenced}).`];
}

/** Of several that are writable. One that others have left behind is not named as long as those are members. */
function wayToKeep(kept: string, writable: readonly string[], ahead: readonly string[], cluster: string): string {
  const others = writable.filter((other) => other !== kept);
  const steps = [`stop ${others.join(" and ")} (${others.map((other) => stopCommand(cluster, other)).join("; ")})`];
  if (ahead.length > 0 && !ahead.includes(kept)) {
    steps.push(
      `take ${ahead.join(" and ")} out of members: (${ahead.length === 1 ? "its" : "their"} timeline is higher)`,
    );
  }
  return `To keep ${kept}: ${steps.join(", ")}, then \`pulumi up\`.`;
}

function startCommand(cluster: string, member: string): string {
  return `systemctl start ${memberPaths(cluster, member).unit}`;
}

function stopCommand(cluster: string, member: string): string {
  return `systemctl stop ${memberPaths(cluster, member).unit}`;
}

export function situationOf(facts: Facts): Situation {
  const { observed } = facts;
  const member = namedPrimary(observed)?.member;
  const row = table.find((candidate) => candidate.when(facts, member));
  if (row === undefined) throw new Error("the table has a last row that always matches");
  return row.decide(facts, member ?? "");
}
