import type { Fault } from "./fault.ts";
import catalogue from "./parameterCatalogue.json" with { type: "json" };

/** When a changed value takes effect, in PostgreSQL's own words (pg_settings.context). */
export type ParameterContext =
  | "internal"
  | "postmaster"
  | "sighup"
  | "superuser-backend"
  | "backend"
  | "superuser"
  | "user";

interface CatalogueEntry {
  readonly context: string;
  /** First and last major version that has it; without them, all that we support (some came with a minor version). */
  readonly since?: number;
  readonly until?: number;
  /** Another context from a later major version on. */
  readonly changed?: { readonly since: number; readonly context: string };
}

const entries = catalogue as Readonly<Record<string, CatalogueEntry>>;

/** Settings that the cluster's own working rests on; each with the key that decides it instead. */
const fixed: Readonly<Record<string, string>> = {
  allow_alter_system: "nothing: drift made by ALTER SYSTEM is shown and repaired",
  cluster_name: "the member's name",
  config_file: "the member's place",
  data_directory: "dataDirectory",
  external_pid_file: "the member's place",
  hba_file: "clientNetworks",
  hot_standby: "the cluster: standbys always answer reads",
  ident_file: "clientNetworks",
  listen_addresses: "pgha:hosts",
  log_directory: "the member's place",
  logging_collector: "the cluster: it is always on",
  max_slot_wal_keep_size: "slotSizeLimit",
  password_encryption: "the cluster: scram-sha-256 only",
  port: "members.NAME.port",
  primary_conninfo: "the cluster's roles",
  primary_slot_name: "the cluster's roles",
  promote_trigger_file: "the cluster's roles",
  recovery_target: "the cluster's roles",
  recovery_target_action: "the cluster's roles",
  recovery_target_inclusive: "the cluster's roles",
  recovery_target_lsn: "the cluster's roles",
  recovery_target_name: "the cluster's roles",
  recovery_target_time: "the cluster's roles",
  recovery_target_timeline: "the cluster's roles",
  recovery_target_xid: "the cluster's roles",
  restart_after_crash: "the cluster: a crashed backend never ends the instance",
  synchronous_standby_names: "synchronous",
  unix_socket_directories: "the cluster: the provider connects there",
};

/**
 * When a changed value of this parameter takes effect; undefined for one of an extension ("a.b") that we cannot know.
 * Without a version the oldest one's answer, which is never the milder one.
 */
export function parameterContext(name: string, postgresVersion = 0): ParameterContext | undefined {
  const entry = entries[name.toLowerCase()];
  const changed = entry?.changed;
  const context = changed !== undefined && postgresVersion >= changed.since ? changed.context : entry?.context;
  return context as ParameterContext | undefined;
}

/** Does a change of this parameter need a restart of PostgreSQL? Unknown ones of extensions are reloaded, and read back. */
export function needsRestart(name: string, postgresVersion?: number): boolean {
  return parameterContext(name, postgresVersion) === "postmaster";
}

export function parameterFaults(
  parameters: Readonly<Record<string, string | number | boolean>>,
  postgresVersion: number,
  path: readonly string[],
): Fault[] {
  const seen = new Map<string, string>();
  return Object.entries(parameters).flatMap(([name, value]): Fault[] => {
    const at = [...path, name];
    const first = seen.get(name.toLowerCase());
    seen.set(name.toLowerCase(), name);
    if (first !== undefined) {
      return [
        {
          path: at,
          found: `the parameter ${first} for a second time`,
          expected: "each parameter once",
          remedy: "Remove one of the two lines.",
        },
      ];
    }
    const owner = fixed[name.toLowerCase()];
    if (owner !== undefined) {
      return [
        {
          path: at,
          found: "a parameter that is fixed here",
          expected: `no such line: it is decided by ${owner}`,
          remedy: "Remove it.",
        },
      ];
    }
    if (/[\n\r\0]/.test(String(value))) {
      return [{ path: at, found: "a value of several lines", expected: "one line", remedy: "Correct the value." }];
    }
    if (/^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_.]*$/i.test(name)) return [];
    const entry = entries[name.toLowerCase()];
    const known =
      entry !== undefined && (entry.since ?? 0) <= postgresVersion && postgresVersion <= (entry.until ?? 9999);
    if (!known) {
      return [
        {
          path: at,
          found: `a parameter that PostgreSQL ${postgresVersion} does not have`,
          expected: `a parameter of PostgreSQL ${postgresVersion}`,
          remedy: versionHint(entry) ?? "Correct its spelling or remove it.",
        },
      ];
    }
    if (entry.context === "internal") {
      return [
        {
          path: at,
          found: "a parameter that PostgreSQL only shows",
          expected: "one that can be set",
          remedy: "Remove it.",
        },
      ];
    }
    return [];
  });
}

function versionHint(entry: CatalogueEntry | undefined): string | undefined {
  if (entry?.since !== undefined) return `It came with PostgreSQL ${entry.since}: remove it.`;
  if (entry?.until !== undefined) return `It went after PostgreSQL ${entry.until}: remove it.`;
  return undefined;
}

const byteUnits: Readonly<Record<string, number>> = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };
const millisecondUnits: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A row of pg_settings, as far as comparing needs it. */
export interface LiveSetting {
  readonly setting: string;
  /** "kB", "8kB", "ms", … or null. */
  readonly unit: string | null;
  /** "bool", "integer", "real", "string", "enum". */
  readonly vartype: string;
}

/** Does the live value mean what was declared? Compared as PostgreSQL reads it: units, booleans, case of enums. */
export function sameSetting(declared: string, live: LiveSetting): boolean {
  const wanted = declared.trim();
  if (live.vartype === "bool") return booleanOf(wanted) === booleanOf(live.setting);
  if (live.vartype === "enum") return sameChoice(wanted.toLowerCase(), live.setting.toLowerCase());
  if (live.vartype === "string") return listForm(wanted) === listForm(live.setting);
  const base = unitFactor(live.unit);
  const wantedNumber = numberOf(wanted, base);
  const liveNumber = Number(live.setting) * (base?.factor ?? 1);
  if (wantedNumber === undefined) return wanted === live.setting;
  // PostgreSQL rounds a value to its parameter's own unit.
  const tolerance = live.vartype === "integer" ? (base?.factor ?? 1) / 2 : Math.abs(liveNumber) * 1e-9;
  return Math.abs(wantedNumber - liveNumber) <= tolerance;
}

/** Other words for a choice that PostgreSQL takes, but never shows. */
const synonyms: Readonly<Record<string, string>> = {
  archive: "replica",
  debug: "debug2",
  hot_standby: "replica",
};

function sameChoice(wanted: string, live: string): boolean {
  const boolean = booleanOf(wanted);
  if (boolean === undefined) return (synonyms[wanted] ?? wanted) === live;
  // Many choices are "on", "off" and something more; wal_compression shows its "on" as pglz.
  return booleanOf(live) === boolean || (boolean && live === "pglz");
}

/** A live value as people would write it: "200", "64MB", "on". */
export function formatSetting(live: LiveSetting): string {
  const base = unitFactor(live.unit);
  if (base === undefined) return live.setting;
  const amount = Number(live.setting) * base.factor;
  if (!Number.isFinite(amount) || amount <= 0) return live.setting;
  const units = Object.entries(base.units).sort((a, b) => b[1] - a[1]);
  const fitting = units.find(([, factor]) => amount >= factor && Number.isInteger(amount / factor));
  return fitting === undefined ? `${live.setting}${live.unit}` : `${amount / fitting[1]}${fitting[0]}`;
}

function unitFactor(unit: string | null): { factor: number; units: Readonly<Record<string, number>> } | undefined {
  const match = unit === null ? null : /^([0-9]*)([A-Za-z]+)$/.exec(unit);
  if (match === null) return undefined;
  const multiple = match[1] === "" ? 1 : Number(match[1]);
  const name = match[2] ?? "";
  if (name in byteUnits) return { factor: multiple * (byteUnits[name] ?? 1), units: byteUnits };
  if (name in millisecondUnits) return { factor: multiple * (millisecondUnits[name] ?? 1), units: millisecondUnits };
  return undefined;
}

function numberOf(
  text: string,
  base: { factor: number; units: Readonly<Record<string, number>> } | undefined,
): number | undefined {
  const match = /^(-?[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([A-Za-z]*)$/i.exec(text);
  if (match === null) return undefined;
  const amount = Number(match[1]);
  const unit = match[2] ?? "";
  if (unit === "") return amount * (amount === -1 && base !== undefined ? base.factor : (base?.factor ?? 1));
  const factor = base?.units[unit];
  return factor === undefined ? undefined : amount * factor;
}

/** What PostgreSQL takes a text for where it wants a boolean; undefined when it takes it for none. */
export function booleanOf(text: string): boolean | undefined {
  const value = text.toLowerCase();
  if (["on", "true", "yes", "1", "t", "y"].includes(value)) return true;
  if (["off", "false", "no", "0", "f", "n"].includes(value)) return false;
  return undefined;
}

function listForm(text: string): string {
  return text
    .replaceAll(/\s*,\s*/g, ",")
    .replaceAll('"', "")
    .trim();
}
