import type { Plain, PropertyChange } from "./changes.ts";
import type { GroupInputs } from "./group.ts";
import type { ObservedPrimary } from "./observedPrimary.ts";
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
  readonly unhealthy?: Readonly<Record<string, string>> | undefined;
  /** Members whose host could not be reached, with the reason. Told, but no change. */
  readonly unreachable?: Readonly<Record<string, string>> | undefined;
  /** By member and parameter: what ALTER SYSTEM set. Never its value: it may hold a password, and this is state. */
  readonly alterSystem?: Readonly<Record<string, Readonly<Record<string, "set">>>> | undefined;
  readonly configuration: Configuration;
}

export function factsOf(news: DeclaredGroup, state: GroupState): Facts {
  return {
    declared: news.primary,
    applied: state.applied,
    observed: state.observed,
    unfinished: state.unfinished,
    onDrift: news.onDrift,
  };
}

/** Declared properties whose change is compared with what was declared before; the rest is compared with the hosts. */
const compared = [
  "postgresVersion",
  "members",
  "synchronous",
  "parameters",
  "clientNetworks",
  "walSegmentSize",
  "slotSizeLimit",
  "socketUsers",
  "onDrift",
  "onDestroy",
  "eraseConfirmation",
  "limits",
] as const;

const passwords = ["superuserPassword", "replicationPassword"] as const;

/** What `up` would change, by property path; empty = nothing. Pure: everything it needs was read before. */
export function diffGroup(
  news: DeclaredGroup,
  olds: DeclaredGroup | undefined,
  state: GroupState & { [password in (typeof passwords)[number]]?: string | undefined },
): Record<string, PropertyChange> {
  const changes: Record<string, PropertyChange> = {};
  const situation = situationOf(factsOf(news, state));
  Object.assign(changes, primaryChanges(situation, state));
  for (const name of compared) Object.assign(changes, changedPaths(olds?.[name] as Plain, news[name] as Plain, name));
  const declaredChange = Object.keys(changes).length > 0;
  for (const name of passwords) {
    if (news[name] !== undefined && news[name] !== state[name]) changes[name] = { kind: "update" };
  }
  if (state.unfinished !== undefined) changes.unfinished = { kind: "delete" };
  if (situation.kind === "unknown") return changes;
  for (const member of Object.keys(state.unhealthy ?? {})) changes[`unhealthy.${member}`] = { kind: "delete" };
  for (const [member, settings] of Object.entries(state.alterSystem ?? {})) {
    for (const name of Object.keys(settings)) changes[path("alterSystem", member, name)] = { kind: "delete" };
  }
  Object.assign(changes, configurationChanges(news, olds, state, declaredChange));
  return changes;
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
      if (editedByHand || !declaredChange) changes[path("configuration", member, name)] = { kind: "update" };
    }
  }
  return changes;
}

/** 'parameters.work_mem', or 'parameters["pg_stat_statements.max"]' for keys that are no plain names. */
export function path(...keys: readonly string[]): string {
  return keys
    .map((key, index) => (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) ? `${index === 0 ? "" : "."}${key}` : `["${key}"]`))
    .join("");
}

/** The leaves that differ between two values of one property. */
export function changedPaths(
  before: Plain | undefined,
  after: Plain | undefined,
  name: string,
): Record<string, PropertyChange> {
  if (JSON.stringify(before) === JSON.stringify(after)) return {};
  if (before === undefined || before === null) return { [name]: { kind: "add" } };
  if (after === undefined || after === null) return { [name]: { kind: "delete" } };
  if (!isObject(before) || !isObject(after)) return { [name]: { kind: "update" } };
  const changes: Record<string, PropertyChange> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const child = /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) ? `${name}.${key}` : `${name}["${key}"]`;
    Object.assign(changes, changedPaths(before[key], after[key], child));
  }
  return changes;
}

function isObject(value: Plain): value is { [key: string]: Plain } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
