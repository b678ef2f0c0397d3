import { z } from "zod";
import { type ClusterDeclaration, type Limits, limitsSchema, type MemberDeclaration } from "./declaration.ts";
import { duration } from "./duration.ts";
import { type MaintenanceWindow, maintenanceWindowSchema } from "./maintenanceWindow.ts";
import type { Endpoint } from "./observedPrimary.ts";
import { pacemakerNames } from "./pacemaker/names.ts";
import { declaredPgsqlSchema } from "./pacemaker/pgsqlParameters.ts";
import type { ClusterShape } from "./rendering.ts";

/**
 * One cluster as the resource ReplicationGroup gets it: the declaration with every default filled in, so that the
 * provider never needs the stack file. Members are an object, so that a diff names the member that changed.
 */
export interface Group extends ClusterShape {
  /** The declared primary. */
  readonly primary: string;
  /** As declared, e.g. "16MB". Fixed at creation. */
  readonly walSegmentSize: string;
  /** Who fails over when a host dies. */
  readonly failover: FailoverManager;
  /** What happens when another member than the declared one is primary. */
  readonly onDrift: "adopt" | "fail" | "switchBack";
  /** As declared, e.g. "10min". Counts under `switchBack` only, and so does the window. */
  readonly switchBackAfter: string;
  /** When it may be switched back; undefined: at any time. */
  readonly maintenanceWindow?: MaintenanceWindow | undefined;
  /** How a member comes back that no longer follows the primary. */
  readonly rejoin: "auto" | "rewind-only" | "manual";
  /** What `pulumi destroy` does with service and data. Counts from the last `up`. */
  readonly onDestroy: "keep" | "stop" | "erase";
  /** Slots that a switchover may lose. */
  readonly disposableSlots: readonly string[];
  /** What a planned switchover tolerates. */
  readonly limits: Limits;
}

const pacemakerInputs = {
  /** Corosync and Pacemaker. */
  manager: z.literal("pacemaker"),
  /** Name of the Corosync cluster. */
  corosync: z.string(),
};

const failoverInputs = z.union([
  z.object({
    /** Nobody. */
    manager: z.literal("none"),
  }),
  z.object({
    ...pacemakerInputs,
    /** The resource agent ocf:heartbeat:pgsqlms. */
    agent: z.literal("paf"),
    /** A former primary comes back when its host boots, without `pulumi up`. Default: it does not. */
    autoRejoin: z.literal(true).optional(),
  }),
  z.object({
    ...pacemakerInputs,
    /** The resource agent ocf:heartbeat:pgsql. */
    agent: z.literal("pgsql"),
    /** Its parameters. */
    pgsql: declaredPgsqlSchema,
  }),
]);

const virtualIpInputs = z.object({
  /** Without its prefix. */
  address: z.string(),
  /** Bits of its network. */
  prefix: z.number(),
  /** The interface that carries it. Default: the one that has an address in the same network. */
  nic: z.string().optional(),
});

const memberInputs = z.object({
  /** Name of the host in the stack file. */
  host: z.string(),
  /** TCP port of PostgreSQL. */
  port: z.number(),
  /** PGDATA, absolute. */
  dataDirectory: z.string(),
  /** Where pg_wal lies, absolute. Default: inside PGDATA. */
  walDirectory: z.string().optional(),
  /** May it become primary, and does it count for synchronous commit? */
  candidate: z.boolean(),
  /** IP address where the other members reach it. */
  replicationAddress: z.string(),
  /** IP address where clients reach it. */
  serviceAddress: z.string(),
  /** Port of its host's sshd. Default 22, for a state of an earlier version. */
  sshPort: z.number().default(22),
  /** Its host's public key. Default "", for a state of an earlier version. */
  hostKey: z.string().default(""),
});

/** The inputs of ReplicationGroup. Passwords are top-level and secret; absent ones are generated at creation. */
export const groupInputs = z.object({
  /** Name of the cluster, and the resource's id. Another one is another cluster: never replaced. */
  cluster: z.string(),
  /** Major version. Fixed at creation. */
  postgresVersion: z.number(),
  /** By name. A new one is cloned, one that is gone is stopped where it can be reached: its data stays. */
  members: z.record(z.string(), memberInputs),
  /** The declared primary. A change is a planned switchover, or acknowledges a failover. */
  primary: z.string(),
  /** For how many standbys a commit waits; see `Synchronous`. */
  synchronous: z.union([
    z.literal("off"),
    z.object({
      /** ANY k. */
      quorum: z.number(),
    }),
    z.object({
      /** FIRST k. */
      priority: z.number(),
    }),
  ]),
  /** After so long without enough standbys commits go on. Default: never. */
  relaxAfterSeconds: z.number().optional(),
  /** Settings of postgresql.conf as text. Reloaded; one that needs a restart is refused on a running cluster. */
  parameters: z.record(z.string(), z.string()),
  /** Networks whose clients may connect, with scram-sha-256. */
  clientNetworks: z.array(z.string()),
  /** "1MB" to "1024MB". Fixed at creation. */
  walSegmentSize: z.string(),
  /** How much WAL a slot holds back for a member that is away, e.g. "10GB". */
  slotSizeLimit: z.string(),
  /** Operating-system users that may be postgres on the Unix socket, besides root and postgres. */
  socketUsers: z.array(z.string()),
  /** Who fails over when a host dies. Default: nobody, for a state of an earlier version. */
  failover: failoverInputs.default({ manager: "none" }),
  /** Addresses that move with the primary, by what they are for. Default: none. */
  virtualIps: z.record(z.string(), virtualIpInputs).default({}),
  /** What happens when another member than the declared one is primary. */
  onDrift: z.enum(["adopt", "fail", "switchBack"]),
  /** How long the declared member must have streamed before it is switched back to, e.g. "10min". */
  switchBackAfter: duration,
  /** When it may be switched back. Default: at any time. */
  maintenanceWindow: maintenanceWindowSchema.optional(),
  /** How a member comes back that no longer follows the primary. */
  rejoin: z.enum(["auto", "rewind-only", "manual"]),
  /** What `pulumi destroy` does with service and data. Counts from the last `up`. */
  onDestroy: z.enum(["keep", "stop", "erase"]),
  /** The cluster's name once more; without it onDestroy: erase erases nothing. */
  eraseConfirmation: z.string().optional(),
  /** Replication slots that a switchover may lose. */
  disposableSlots: z.array(z.string()).readonly().default([]),
  /** What a planned switchover tolerates. */
  limits: limitsSchema,
  /** Of the role postgres. Default: generated at creation. A changed one is set on the primary. */
  superuserPassword: z.string().min(1).optional(),
  /** Of the role with which the members follow each other. Default: generated at creation. */
  replicationPassword: z.string().min(1).optional(),
});

/** Who fails over, with every default filled in. */
export type FailoverManager = z.infer<typeof failoverInputs>;

/** The inputs of ReplicationGroup, parsed. */
export type GroupInputs = z.infer<typeof groupInputs>;

export function groupOf(inputs: GroupInputs): Group {
  const { members, ...rest } = inputs;
  return {
    ...rest,
    members: Object.entries(members).map(
      ([name, { walDirectory, ...member }]): MemberDeclaration => ({
        name,
        ...member,
        ...(walDirectory === undefined ? {} : { walDirectory }),
      }),
    ),
  };
}

/** The other way: what the component hands to the resource. */
export function inputsOfCluster(
  cluster: ClusterDeclaration,
  socketUsers: readonly string[],
): Omit<GroupInputs, "superuserPassword" | "replicationPassword"> {
  return {
    cluster: cluster.name,
    postgresVersion: cluster.postgresVersion,
    members: Object.fromEntries(cluster.members.map(({ name, ...member }) => [name, member])),
    primary: cluster.primary,
    synchronous: cluster.synchronous,
    ...(cluster.relaxAfterSeconds === undefined ? {} : { relaxAfterSeconds: cluster.relaxAfterSeconds }),
    parameters: { ...cluster.parameters },
    clientNetworks: [...cluster.clientNetworks],
    walSegmentSize: cluster.walSegmentSize,
    slotSizeLimit: cluster.slotSizeLimit,
    socketUsers: [...socketUsers],
    failover: cluster.failover,
    virtualIps: { ...cluster.virtualIps },
    onDrift: cluster.onDrift,
    switchBackAfter: cluster.switchBackAfter,
    ...(cluster.maintenanceWindow === undefined ? {} : { maintenanceWindow: cluster.maintenanceWindow }),
    rejoin: cluster.rejoin,
    onDestroy: cluster.onDestroy,
    ...(cluster.eraseConfirmation === undefined ? {} : { eraseConfirmation: cluster.eraseConfirmation }),
    disposableSlots: [...cluster.disposableSlots],
    limits: cluster.limits,
  };
}

export function memberOf(group: Pick<Group, "members" | "cluster">, name: string): MemberDeclaration {
  const member = group.members.find((candidate) => candidate.name === name);
  if (member === undefined) throw new Error(`${name} is not a member of ${group.cluster}`);
  return member;
}

/** Where every member is reached by the others: what tells from whom a standby streams. */
export function endpointsOf(group: Pick<Group, "members" | "cluster" | "failover">): Endpoint[] {
  const { clone } = pacemakerNames(group.cluster);
  return group.members.map(({ name, host, replicationAddress, port }) => ({
    ...{ member: name, replicationAddress, port },
    pacemaker: group.failover.manager === "pacemaker" ? { clone, node: host } : undefined,
  }));
}

/**
 * Who besides the primary has the data that this member holds: declared members among those that stream from the primary. A
 * backup, pg_receivewal or subscription streams as well, and is nobody that could take over.
 */
export function otherCopies(
  group: Pick<Group, "members">,
  member: string,
  primary: string,
  streaming: readonly string[],
): string[] {
  return othersOf(group, member).flatMap(({ name }) => (name !== primary && streaming.includes(name) ? [name] : []));
}

export function othersOf(group: Pick<Group, "members">, name: string): MemberDeclaration[] {
  return group.members.filter((member) => member.name !== name);
}
