import type { ControlData, LocalFacts, MemberObservation, PostgresFacts } from "../../model/observation.ts";
import type { Endpoint } from "../../model/observedPrimary.ts";

/** System identifier of every member here that does not say otherwise. */
export const systemIdentifier = "7000000000000000001";

/** pg1 to pg9 on the replication network, each on port 5432. */
export function endpoints(...members: readonly string[]): Endpoint[] {
  return members.map((member) => ({ member, replicationAddress: addressOf(member), port: 5432 }));
}

/** "pg2" -> "203.0.113.12". */
export function addressOf(member: string): string {
  return `203.0.113.1${member.slice(2)}`;
}

type ReachedOverrides = {
  readonly local?: Partial<LocalFacts>;
  readonly control?: Partial<ControlData>;
  readonly postgres?: Partial<PostgresFacts>;
};

/** A running primary of cluster orders on timeline 1. */
export function primary(member: string, overrides: ReachedOverrides = {}): MemberObservation & { reached: true } {
  const timeline = overrides.postgres?.timeline ?? 1;
  return {
    member,
    reached: true,
    local: local(member, { control: { timeline }, ...overrides }),
    postgres: postgres({ timeline, ...overrides.postgres }),
  };
}

/** A running standby that streams from `source` on timeline 1. */
export function standby(
  member: string,
  source: string,
  overrides: ReachedOverrides = {},
): MemberObservation & { reached: true } {
  const timeline = overrides.postgres?.timeline ?? 1;
  return {
    member,
    reached: true,
    local: local(member, {
      local: { standbySignal: true, ...overrides.local },
      control: { state: "in archive recovery", timeline, ...overrides.control },
    }),
    postgres: postgres({
      inRecovery: true,
      timeline,
      walReceiver: { status: "streaming", senderHost: addressOf(source), senderPort: 5432, timeline },
      ...overrides.postgres,
    }),
  };
}

/** Its host answers, its data is there, PostgreSQL does not run. Without overrides: a primary that was shut down. */
export function stopped(
  member: string,
  overrides: Omit<ReachedOverrides, "postgres"> = {},
): MemberObservation & { reached: true } {
  return {
    member,
    reached: true,
    local: local(member, {
      local: { unit: "inactive", ...overrides.local },
      control: { state: "shut down", ...overrides.control },
    }),
  };
}

/** A host that was never used. */
export function empty(member: string, overrides: Partial<LocalFacts> = {}): MemberObservation & { reached: true } {
  const { marker: _marker, controlData: _control, ...bare } = local(member, {});
  return {
    member,
    reached: true,
    local: { ...bare, dataDirectory: "missing", unit: "absent", unitEnabled: false, ...overrides },
  };
}

export function unreachable(member: string): MemberObservation {
  return { member, reached: false, reason: "no answer within 8 s" };
}

function channelKeyOf(member: string): string {
  return `ssh-ed25519 AAAA${member} pgha orders ${member}\n`;
}

function local(member: string, overrides: ReachedOverrides): LocalFacts {
  const dataDirectory = `/var/lib/postgresql/17/orders-${member}`;
  return {
    marker: { cluster: "orders", member, state: "ready", systemIdentifier, dataDirectory },
    dataDirectory: "data",
    standbySignal: false,
    controlData: {
      state: "in production",
      systemIdentifier,
      timeline: 1,
      checkpointLsn: "0/3000060",
      ...overrides.control,
    },
    unit: "active",
    unitEnabled: true,
    files: {},
    channelKey: channelKeyOf(member),
    authorized: ["pg1", "pg2", "pg3", "pg4", "pg5"].map(channelKeyOf).join(""),
    freeBytes: 10 * 1024 ** 3,
    walFreeBytes: 10 * 1024 ** 3,
    clock: { aheadSeconds: 0, uncertainSeconds: 0.1 },
    failoverManagers: [],
    lock: { epoch: 0, holder: "", since: "", alive: false },
    ...overrides.local,
  };
}

function postgres(overrides: Partial<PostgresFacts>): PostgresFacts {
  return {
    inRecovery: false,
    systemIdentifier,
    timeline: 1,
    version: 170_012,
    lsn: "0/4000000",
    replayPaused: false,
    walSenders: [],
    slots: [],
    settings: {},
    alterSystem: [],
    roles: ["postgres", "replicator"],
    ...overrides,
  };
}
