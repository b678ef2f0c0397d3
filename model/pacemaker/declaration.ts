import { z } from "zod";
import type { ClusterDeclaration } from "../declaration.ts";
import { expected, hostName } from "../schema.ts";

/** What whoever does without fencing must write, word for word. */
export const noFencingConsequence = "a cut-off primary may go on accepting writes";

/** By how much longer than these milliseconds a host must be silent: see `tokenMilliseconds`. */
export const detections = ["fast", "normal", "wide"] as const;

/** How soon a silent host counts as lost. */
export type Detection = (typeof detections)[number];

/** Corosync's token, in milliseconds; consensus and its part for each further host come on top. */
export const tokenMilliseconds: Readonly<Record<Detection, number>> = { fast: 1000, normal: 3000, wide: 10_000 };

/** The networks of a host that can be a ring. */
export const ringNetworks = ["service", "cluster", "replication"] as const;

/** One of a host's networks. */
export type RingNetwork = (typeof ringNetworks)[number];

const agentName = z
  .string(expected("the name of a fence agent such as fence_ipmilan", "Name the program that switches hosts off."))
  .regex(
    /^fence_[a-z0-9_-]{1,40}$/,
    expected("the name of a fence agent such as fence_ipmilan", "Name the program that switches hosts off.").error,
  );

const parameterName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, expected("the name of a parameter", "Correct it.").error);

const parameterValue = z.union(
  [z.string(), z.number(), z.boolean()],
  expected("a text, a number, true or false", "Write one value."),
);

const deviceSchema = z.strictObject({
  /** The fence agent: fence_ipmilan, fence_virsh, fence_aws or any other that lies in /usr/sbin of the hosts. */
  agent: agentName,
  /** The Debian package that has the agent, such as fence-agents-ipmilan. Default: none, the agent is there already. */
  package: z
    .string()
    .regex(/^[a-z0-9][a-z0-9+.-]+$/, expected("the name of a Debian package", "Correct it.").error)
    .optional(),
  /** The hosts that this device can switch off. Every host needs one. */
  hosts: z
    .array(hostName, expected("the hosts that it can switch off, such as [pg1, pg2]", "Name them."))
    .min(1, expected("the hosts that it can switch off, such as [pg1, pg2]", "Name them.")),
  /** Parameters of the agent, as its metadata name them. Default: none. They stand in the state and in previews in clear. */
  parameters: z.record(parameterName, parameterValue).default({}),
  /** Parameters that are secret, each with the key of pgha:fencingSecrets that has its value. Default: none. */
  secretParameters: z
    .record(
      parameterName,
      z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/, expected("a key of pgha:fencingSecrets", "Correct it.").error),
    )
    .default({}),
});

const fencingSchema = z
  .strictObject(
    {
      /** The sentence that accepts the consequence. Without fencing a single writer is not promised. */
      none: z
        .literal(
          noFencingConsequence,
          expected(`exactly "${noFencingConsequence}"`, "Write that sentence, or declare fencing devices."),
        )
        .optional(),
      /** Fence devices by name. */
      devices: z.record(hostName, deviceSchema).optional(),
    },
    expected(
      `{ devices: ... }, or { none: "${noFencingConsequence}" }`,
      "Declare what switches a silent host off: without it, nobody can be sure that it is silent for good.",
    ),
  )
  .refine(
    ({ none, devices }) => (none === undefined) !== (devices === undefined || Object.keys(devices).length === 0),
    expected(
      `either devices, or none: "${noFencingConsequence}"`,
      "Write one of the two: without fencing devices a cut-off primary may go on accepting writes.",
    ),
  );

/** One Corosync cluster as it stands in the stack file, under pgha:pacemaker. */
export const pacemakerSchema = z.strictObject({
  /** Over which of the hosts' networks Corosync speaks, one ring each. Default [cluster]. */
  rings: z
    .array(
      z.enum(ringNetworks, expected('"service", "cluster" or "replication"', "Write one of the three.")),
      expected("a list of networks such as [cluster, replication]", "Write one to three of them."),
    )
    .min(1, expected("one to three networks such as [cluster]", "Name at least one."))
    .max(3, expected("at most three networks", "Remove the rest."))
    .default(["cluster"]),
  /** How soon a silent host counts as lost: with two hosts "fast" 2.2 s, "normal" 6.6 s, "wide" 22 s; each further host adds 1.4 s. Default "normal". */
  detection: z.enum(detections, expected('"fast", "normal" or "wide"', "Write one of the three.")).default("normal"),
  /** What switches off a host that is no longer heard. Required. */
  fencing: fencingSchema,
  /** Further properties of the Pacemaker cluster, as Pacemaker names them. Default: none. */
  properties: z.record(parameterName, parameterValue).default({}),
});

/** One Corosync cluster whose fields are right each by itself. */
export type UncheckedPacemaker = z.infer<typeof pacemakerSchema>;

/** One fence device with every default filled in. */
export interface FenceDevice {
  /** Its key under devices:. */
  readonly name: string;
  /** The agent's name, such as fence_ipmilan. */
  readonly agent: string;
  /** The Debian package that has it. Undefined: none of ours. */
  readonly package?: string;
  /** The hosts it can switch off. */
  readonly hosts: readonly string[];
  /** As text, by name as declared. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Keys of pgha:fencingSecrets, by the parameter's name. */
  readonly secretParameters: Readonly<Record<string, string>>;
}

/** One host as Corosync sees it. */
export interface RingHost {
  /** Its name in the stack file, and its node's name. */
  readonly name: string;
  /** One for each ring. */
  readonly addresses: readonly string[];
}

/** One Corosync cluster without faults, and what runs in it. */
export interface PacemakerDeclaration {
  /** Its key under pgha:pacemaker, and Corosync's cluster_name. */
  readonly name: string;
  /** In the order of the stack file. */
  readonly hosts: readonly RingHost[];
  /** How soon a silent host counts as lost. */
  readonly detection: Detection;
  /** Empty: without fencing, accepted by its sentence. */
  readonly fencing: readonly FenceDevice[];
  /** As text, by name as declared. */
  readonly properties: Readonly<Record<string, string>>;
  /** The PostgreSQL clusters that it fails over. */
  readonly clusters: readonly ClusterDeclaration[];
}
