import { z } from "zod";
import type { ClusterDeclaration, Limits, MemberDeclaration, Synchronous } from "./declaration.ts";
import { duration } from "./duration.ts";
import { type MaintenanceWindow, maintenanceWindowSchema } from "./maintenanceWindow.ts";
import type { Endpoint } from "./observedPrimary.ts";
import type { ClusterShape } from "./rendering.ts";

/**
 * One cluster as the resource ReplicationGroup gets it: the declaration with every default filled in, so that the
 * provider never needs the stack file. Members are an object, so that a diff names the member that changed.
 */
export interface Group extends ClusterShape {
  readonly primary: string;
  readonly walSegmentSize: string;
  readonly onDrift: "adopt" | "fail" | "switchBack";
  /** As declared, e.g. "10min". Counts under `switchBack` only, and so does the window. */
  readonly switchBackAfter: string;
  readonly maintenanceWindow?: MaintenanceWindow | undefined;
  readonly onDestroy: "keep" | "stop" | "erase";
  readonly limits: Limits;
}

const memberInputs = z.object({
  host: z.string(),
  port: z.number(),
  dataDirectory: z.string(),
  walDirectory: z.string().optional(),
  candidate: z.boolean(),
  replicationAddress: z.string(),
  serviceAddress: z.string(),
  sshPort: z.number().default(22),
  hostKey: z.string().default(""),
});

/** The inputs of ReplicationGroup. Passwords are top-level and secret; absent ones are generated at creation. */
export const groupInputs = z.object({
  cluster: z.string(),
  postgresVersion: z.number(),
  members: z.record(z.string(), memberInputs),
  primary: z.string(),
  synchronous: z.union([z.literal("off"), z.object({ quorum: z.number() }), z.object({ priority: z.number() })]),
  parameters: z.record(z.string(), z.string()),
  clientNetworks: z.array(z.string()),
  walSegmentSize: z.string(),
  slotSizeLimit: z.string(),
  socketUsers: z.array(z.string()),
  onDrift: z.enum(["adopt", "fail", "switchBack"]),
  switchBackAfter: duration,
  maintenanceWindow: maintenanceWindowSchema.optional(),
  onDestroy: z.enum(["keep", "stop", "erase"]),
  eraseConfirmation: z.string().optional(),
  limits: z.object({
    lagBytes: z.number(),
    lagSeconds: z.number(),
    transactionSeconds: z.number(),
    stopSeconds: z.number(),
  }),
  superuserPassword: z.string().min(1).optional(),
  replicationPassword: z.string().min(1).optional(),
});

export type GroupInputs = z.infer<typeof groupInputs>;

export function groupOf(inputs: GroupInputs): Group {
  const { members, ...rest } = inputs;
  return {
    ...rest,
    synchronous: rest.synchronous as Synchronous,
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
    parameters: { ...cluster.parameters },
    clientNetworks: [...cluster.clientNetworks],
    walSegmentSize: cluster.walSegmentSize,
    slotSizeLimit: cluster.slotSizeLimit,
    socketUsers: [...socketUsers],
    onDrift: cluster.onDrift,
    switchBackAfter: cluster.switchBackAfter,
    ...(cluster.maintenanceWindow === undefined ? {} : { maintenanceWindow: cluster.maintenanceWindow }),
    onDestroy: cluster.onDestroy,
    ...(cluster.eraseConfirmation === undefined ? {} : { eraseConfirmation: cluster.eraseConfirmation }),
    limits: cluster.limits,
  };
}

export function memberOf(group: Pick<Group, "members" | "cluster">, name: string): MemberDeclaration {
  const member = group.members.find((candidate) => candidate.name === name);
  if (member === undefined) throw new Error(`${name} is not a member of ${group.cluster}`);
  return member;
}

/** Where every member is reached by the others: what tells from whom a standby streams. */
export function endpointsOf(group: Pick<Group, "members">): Endpoint[] {
  return group.members.map(({ name, replicationAddress, port }) => ({ member: name, replicationAddress, port }));
}

export function othersOf(group: Pick<Group, "members">, name: string): MemberDeclaration[] {
  return group.members.filter((member) => member.name !== name);
}
