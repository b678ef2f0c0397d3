import type { PropertyChange } from "./changes.ts";
import type { GroupInputs } from "./group.ts";
import type { ObservedPrimary } from "./observedPrimary.ts";
import { pacemakerNames } from "./pacemaker/names.ts";
import { formatPropertyPath, type PropertyPath } from "./propertyPath.ts";
import { type Applied, type Facts, type Situation, situationOf } from "./situation.ts";

/** Files of one member, by short name: "postgresql.conf" -> text. */
export type Configuration = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What check hands on: the declaration, and the files that follow from it, so that a diff can show their lines. */
export interface DeclaredGroup extends GroupInputs {
  readonly configuration: Configuration;
}

/** What read saw. Nothing volatile: no LSN, no lag, no time. */
export interface GroupState {
  /** The observed primary; the last known one while who is primary cannot be told. */
  readonly primary: string;
  readonly applied?: Applied | undefined;
  readonly observed: ObservedPrimary;
  readonly unfinished?: string | undefined;
  /** Under `onDrift: switchBack`: is a switchover back to the declared member due? By the rule of the last `up`. */
  readonly switchBackDue?: boolean | undefined;
  /** What it waits for, when another member is primary and it is not due. */
  readonly switchBackWaitsFor?: string | undefined;
  /** Why the failover manager still leaves the cluster alone, when an `up` that let him stand back was cut off. */
  readonly standsBack?: string | undefined;
  readonly unhealthy?: Readonly<Record<string, string>> | undefined;
  /** Slots named as ours, for no member, with which somebody streams all the same. Told, but no change. */
  readonly slotsInUse?: Readonly<Record<string, string>> | undefined;
  /** Members that have hardly room left. Told, but no change: only an operator can make room. */
  readonly fullVolumes?: Readonly<Record<string, string>> | undefined;
  /** Standbys that an operator keeps stopped: a host in standby, a ban, his maintenance. Told, but no change. */
  readonly stoppedByOrder?: Readonly<Record<string, string>> | undefined;
  /** Who goes on without standbys, by onLoss: relax. Told, but no change. */
  readonly relaxed?: Readonly<Record<string, string>> | undefined;
  /** Members whose host could not be reached, with the reason. Told, but no change. */
  readonly unreachable?: Readonly<Record<string, string>> | undefined;
  /** Members whose host offered another key than the declared one, with both. A change, so that preview and `up` stop. */
  readonly wrongHostKeys?: Readonly<Record<string, string>> | undefined;
  /** By member and parameter: what ALTER SYSTEM set. Never its value: it may hold a password, and this is state. */
  readonly alterSystem?: Readonly<Record<string, Readonly<Record<string, "set">>>> | undefined;
  readonly configuration: Configuration;
}

type Passwords = { readonly [password in (typeof passwords)[number]]?: string | undefined };

export function factsOf(news: DeclaredGroup, olds: DeclaredGroup | undefined, state: GroupState & Passwords): Facts {
  const { declared, repairs } = otherChanges(news, olds, state);
  return {
    cluster: news.cluster,
    declared: news.primary,
    applied: state.applied,
    observed: state.observed,
    unfinished: state.unfinished,
    onDrift: news.onDrift,
    managedClone: news.failover.manager === "pacemaker" ? pacemakerNames(news.cluster).clone : undefined,
    relaxed: state.relaxed,
    switchBack: switchBackFacts(news, olds, state),
    otherChanges: { declared: Object.keys(declared), repairs: Object.keys(repairs) },
  };
}

/** The keys by which read judged whether a switchover back is due. It had those of the last `up`. */
const switchBackRule = ["onDrift", "switchBackAfter", "maintenanceWindow"] as const;

/** A changed rule counts from the `up` that declares it: what moves a primary is never decided by a rule nobody has seen yet. */
function switchBackFacts(news: DeclaredGroup, olds: DeclaredGroup | undefined, state: GroupState): Facts["switchBack"] {
  if (news.onDrift !== "switchBack") return undefined;
  const changed = switchBackRule.some((name) => JSON.stringify(olds?.[name]) !== JSON.stringify(news[name]));
  if (changed || state.switchBackDue === undefined) {
    return { due: false, waitsFor: "the `pulumi up` after this one: its rule is new" };
  }
  const { switchBackDue: due, switchBackWaitsFor: waitsFor } = state;
  return { due, ...(waitsFor === undefined ? {} : { waitsFor }) };
}

/** Declared properties whose change is compared with what was declared before; the rest is compared with the hosts. */
const compared = [
  "postgresVersion",
  "members",
  "synchronous",
  "relaxAfterSeconds",
  "parameters",
  "clientNetworks",
  "walSegmentSize",
  "slotSizeLimit",
  "socketUsers",
  "failover",
  "virtualIps",
  "onDrift",
  "switchBackAfter",
  "maintenanceWindow",
  "rejoin",
  "onDestroy",
  "eraseConfirmation",
  "disposableSlots",
  "limits",
] as const;

const passwords = ["superuserPassword", "replicationPassword"] as const;

/** What `up` would change, by property path; empty = nothing. Pure: everything it needs was read before. */
export function diffGroup(
  news: DeclaredGroup,
  olds: DeclaredGroup | undefined,
  state: GroupState & Passwords,
): Record<string, PropertyChange> {
  const situation = situationOf(factsOf(news, olds, state));
  const { declared, repairs } = otherChanges(news, olds, state);
  return {
    ...primaryChanges(situation, state),
    ...declared,
    ...Object.fromEntries(
      Object.keys(state.wrongHostKeys ?? {}).map((member) => [
        formatPropertyPath(["wrongHostKeys", member]),
        { kind: "delete" as const },
      ]),
    ),
    ...(state.unfinished === undefined ? {} : { unfinished: { kind: "delete" as const } }),
    ...(situation.kind === "unknown" ? {} : repairs),
  };
}

/** Everything that would change besides who is primary. */
function otherChanges(
  news: DeclaredGroup,
  olds: DeclaredGroup | undefined,
  state: GroupState & Passwords,
): { declared: Record<string, PropertyChange>; repairs: Record<string, PropertyChange> } {
  const declared: Record<string, PropertyChange> = {};
  for (const name of compared) Object.assign(declared, changedPaths(olds?.[name], news[name], [name]));
  const declaredChange = Object.keys(declared).length > 0;
  for (const name of passwords) {
    if (news[name] !== undefined && news[name] !== state[name]) declared[name] = { kind: "update" };
  }
  const repairs: Record<string, PropertyChange> =
    state.standsBack === undefined ? {} : { standsBack: { kind: "delete" } };
  // Read looks at the members of the last `up`: those that are no longer declared are not repaired.
  const isDeclared = (member: string) => member in news.members;
  for (const member of Object.keys(state.unhealthy ?? {}).filter(isDeclared))
    repairs[formatPropertyPath(["unhealthy", member])] = { kind: "delete" };
  for (const [member, settings] of Object.entries(state.alterSystem ?? {})) {
    if (!isDeclared(member)) continue;
    for (const name of Object.keys(settings))
      repairs[formatPropertyPath(["alterSystem", member, name])] = { kind: "delete" };
  }
  Object.assign(repairs, configurationChanges(news, olds, state, declaredChange));
  return { declared, repairs };
}

function primaryChanges(situation: Situation, state: GroupState): Record<string, PropertyChange> {
  switch (situation.kind) {
    case "unchanged":
    case "drift":
    case "unknown":
    case "finish":
      return state.observed.kind === "stopped" ? { observed: { kind: "delete" } } : {};
    case "acknowledge":
      return { primary: { kind: "update", inputDiff: true } };
    case "record":
      return { applied: { kind: "add" } };
    case "create":
    case "switchover":
      return { primary: { kind: "update" } };
    case "stop":
      return state.observed.kind === "known" ? { primary: { kind: "update" } } : { observed: { kind: "delete" } };
  }
}

/** A file that differs from what was declared before was edited by hand; one that only follows a declared change is not shown twice. */
function configurationChanges(
  news: DeclaredGroup,
  olds: DeclaredGroup | undefined,
  state: GroupState,
  declaredChange: boolean,
): Record<string, PropertyChange> {
  const changes: Record<string, PropertyChange> = {};
  for (const [member, files] of Object.entries(news.configuration)) {
    const live = state.configuration[member];
    if (live === undefined) continue; // Its host was not reached: nothing is known of its files.
    for (const [name, text] of Object.entries(files)) {
      if (live[name] === text) continue;
      const editedByHand = live[name] !== olds?.configuration[member]?.[name];
      if (editedByHand || !declaredChange)
        changes[formatPropertyPath(["configuration", member, name])] = { kind: "update" };
    }
  }
  return changes;
}

/** The leaves that differ between two values of the property at `path`, by their paths. */
export function changedPaths(before: unknown, after: unknown, path: PropertyPath): Record<string, PropertyChange> {
  if (JSON.stringify(before) === JSON.stringify(after)) return {};
  if (before === undefined || before === null) return { [formatPropertyPath(path)]: { kind: "add" } };
  if (after === undefined || after === null) return { [formatPropertyPath(path)]: { kind: "delete" } };
  if (!isObject(before) || !isObject(after)) return { [formatPropertyPath(path)]: { kind: "update" } };
  const changes: Record<string, PropertyChange> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    Object.assign(changes, changedPaths(before[key], after[key], [...path, key]));
  }
  return changes;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
