import type { Check } from "../../model/checks/check.ts";
import { checkSwitchover, type Evidence } from "../../model/checks.ts";
import type { Group } from "../../model/group.ts";
import type { Measurement, Measurements, Software } from "../../model/measurement.ts";
import { slotName } from "../../model/names.ts";
import type { LocalFacts, MemberObservation, PostgresFacts, Slot, WalSender } from "../../model/observation.ts";
import type { LiveSetting } from "../../model/parameters.ts";
import { primary, standby } from "./observations.ts";
import { group } from "./shapes.ts";

/** A standby that keeps up, in its own slot. */
export function sender(name: string, overrides: Partial<WalSender> = {}): WalSender {
  return {
    name,
    pid: 4711,
    state: "streaming",
    connectedSeconds: 3600,
    syncState: "async",
    slot: slotName(name),
    logical: false,
    sentLsn: "0/4000000",
    writeLsn: "0/4000000",
    flushLsn: "0/4000000",
    replayLsn: "0/4000000",
    replayLagSeconds: 0,
    silentSeconds: 0,
    ...overrides,
  };
}

export function slot(name: string, overrides: Partial<Slot> = {}): Slot {
  return {
    name,
    kind: "physical",
    active: true,
    temporary: false,
    failover: false,
    synced: false,
    restartLsn: "0/4000000",
    walStatus: "reserved",
    ...overrides,
  };
}

/** Rows of pg_settings, all whole numbers. */
export function integers(values: Readonly<Record<string, number>>): Record<string, LiveSetting> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { setting: String(value), unit: null, vartype: "integer" }]),
  );
}

const settings = {
  ...integers({ max_connections: 100, max_wal_senders: 10, max_replication_slots: 10 }),
  wal_sender_timeout: { setting: "5000", unit: "ms", vartype: "integer" },
};

/** A member on which nothing happens. */
function measurement(overrides: Partial<Measurement> = {}): Measurement {
  return {
    clients: { open: 3, most: 97 },
    transactions: 0,
    longQueries: { count: 0 },
    prepared: { count: 0, oldestSeconds: 0 },
    archiver: { failing: false, waitingFiles: 0 },
    settings: {
      archive_mode: { setting: "off", unit: null, vartype: "enum" },
      wal_level: { setting: "replica", unit: null, vartype: "enum" },
      work_mem: { setting: "4096", unit: "kB", vartype: "integer" },
    },
    preloaded: { shared: [], session: [] },
    pendingRestart: {},
    replayDelaySeconds: 0,
    ...overrides,
  };
}

const software: Software = {
  extensions: [{ name: "plpgsql", version: "1.0", databases: ["app", "postgres"] }],
  offered: { plpgsql: ["1.0"] },
  libraries: [],
  missingLibraries: [],
  unread: {},
};

/** What is otherwise than in three healthy members of which pg1 is primary. */
export interface Given {
  readonly group?: Partial<Group>;
  readonly primary?: Partial<PostgresFacts>;
  readonly primaryHost?: Partial<LocalFacts>;
  readonly target?: Partial<PostgresFacts>;
  readonly targetHost?: Partial<LocalFacts>;
  readonly third?: MemberObservation;
  readonly primaryMeasured?: Partial<Measurement>;
  readonly targetMeasured?: Partial<Measurement>;
  readonly software?: Partial<Software>;
}

/** pg3, a healthy standby of pg1 but for what is given. */
export function thirdStandby(
  postgres: Partial<PostgresFacts> = {},
  local: Partial<LocalFacts> = {},
): MemberObservation {
  return standby("pg3", "pg1", { postgres: { settings, ...postgres }, local });
}

/** Everything known before a switchover pg1 -> pg2. */
export function evidence(given: Given = {}): Evidence {
  const measured: Measurements = {
    primary: measurement(given.primaryMeasured),
    target: measurement(given.targetMeasured),
    software: { ...software, ...given.software },
  };
  const ofPrimary = {
    walSenders: [sender("pg2"), sender("pg3")],
    slots: [slot("pgha_pg2"), slot("pgha_pg3")],
    settings,
    ...given.primary,
  };
  const idle = { active: false, restartLsn: undefined };
  const ofTarget = { slots: [slot("pgha_pg1", idle), slot("pgha_pg3", idle)], settings, ...given.target };
  return {
    group: group(given.group),
    from: "pg1",
    to: "pg2",
    observations: [
      primary("pg1", { postgres: ofPrimary, local: given.primaryHost ?? {} }),
      standby("pg2", "pg1", { postgres: ofTarget, local: given.targetHost ?? {} }),
      given.third ?? thirdStandby(),
    ],
    heldLock: undefined,
    measured,
  };
}

/** The check of that name. */
export function check(name: string, given: Given = {}): Check {
  const found = checkSwitchover(evidence(given)).find((one) => one.name === name);
  if (found === undefined) throw new Error(`no check is called ${name}`);
  return found;
}

/** Every check that is not ok; all the others are. */
export function objections(given: Given): Check[] {
  return checkSwitchover(evidence(given)).filter((one) => one.verdict !== "ok");
}
