import type { Limits, MemberDeclaration } from "../../model/declaration.ts";
import type { Group, GroupInputs } from "../../model/group.ts";

/** pg1 to pg9, each on a host of its own name, with one address to serve and one to replicate. */
export function member(name: string, overrides: Partial<MemberDeclaration> = {}): MemberDeclaration {
  const number = name.slice(-1);
  return {
    name,
    host: name,
    port: 5432,
    dataDirectory: `/var/lib/postgresql/17/orders-${name}`,
    candidate: true,
    replicationAddress: `203.0.113.1${number}`,
    serviceAddress: `198.51.100.1${number}`,
    sshPort: 22,
    hostKey: `ssh-ed25519 AAAAhostkeyof${name}`,
    ...overrides,
  };
}

export const defaultLimits: Limits = {
  lagBytes: 16_777_216,
  lagSeconds: 10,
  transactionSeconds: 60,
  querySeconds: 10,
  senderSeconds: 4,
  archiveFiles: 8,
  walRoomBytes: 268_435_456,
  clockSeconds: 2,
  brokenRings: 0,
  stopSeconds: 30,
};

const declaration = {
  cluster: "orders",
  postgresVersion: 17,
  primary: "pg1",
  synchronous: "off",
  parameters: {},
  clientNetworks: [],
  walSegmentSize: "16MB",
  slotSizeLimit: "10GB",
  socketUsers: ["root"],
  failover: { manager: "none" },
  virtualIps: {},
  onDrift: "adopt",
  switchBackAfter: "10min",
  rejoin: "auto",
  onDestroy: "keep",
  disposableSlots: [],
  limits: defaultLimits,
} satisfies Omit<Group, "members">;

/** Cluster orders: PostgreSQL 17 on pg1 to pg3, pg1 is primary, nothing synchronous. */
export function group(overrides: Partial<Group> = {}): Group {
  return { ...declaration, members: [member("pg1"), member("pg2"), member("pg3")], ...overrides };
}

/** The same, as the resource is given it: members by name, and only those named. */
export function groupInputs(members: readonly string[], overrides: Partial<GroupInputs> = {}): GroupInputs {
  return {
    ...declaration,
    members: Object.fromEntries(members.map((name) => [name, memberInputs(name)])),
    ...overrides,
  };
}

export function memberInputs(name: string): GroupInputs["members"][string] {
  const { name: _, ...inputs } = member(name);
  return inputs;
}
