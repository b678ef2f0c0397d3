import { z } from "zod";
import { expected, hostName } from "../schema.ts";

/** What whoever does without fencing must write, word for word. */
export const noFencingConsequence = "a cut-off primary may go on accepting writes";

const agentName = z
  .string(expected("the name of a fence agent such as fence_ipmilan", "Name the program that switches hosts off."))
  .regex(
    /^fence_[a-z0-9_-]{1,40}$/,
    expected("the name of a fence agent such as fence_ipmilan", "Name the program that switches hosts off.").error,
  );

/** As the agent, or Pacemaker, names it. */
export const parameterName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, expected("the name of a parameter", "Correct it.").error);

/** What stands behind it in the stack file. */
export const parameterValue = z.union(
  [z.string(), z.number(), z.boolean()],
  expected("a text, a number, true or false", "Write one value."),
);

const hostsExpected = expected(
  "the hosts that it can switch off, such as [pg1, pg2], or with what the device calls each: { pg1: vm-17 }",
  "Name them.",
);

const fencedHosts = z
  .union(
    [
      z.array(hostName).transform((hosts) => hosts.map((name): FencedHost => ({ name }))),
      z
        .record(hostName, z.string().regex(/^[^;:,\s]+$/, hostsExpected.error))
        .transform((hosts) => Object.entries(hosts).map(([name, plug]): FencedHost => ({ name, plug }))),
    ],
    hostsExpected,
  )
  .refine((hosts) => hosts.length > 0, hostsExpected);

const deviceSchema = z.strictObject({
  /** The fence agent: fence_ipmilan, fence_virsh, fence_aws or any other that lies in /usr/sbin of the hosts. */
  agent: agentName,
  /** The Debian package that has the agent, such as fence-agents-ipmilan. Default: that of a known agent; of any other none, it is there already. */
  package: z
    .string()
    .regex(/^[a-z0-9][a-z0-9+.-]+$/, expected("the name of a Debian package", "Correct it.").error)
    .optional(),
  /** The hosts that this device can switch off. Every host needs one. A map where the device calls them otherwise. */
  hosts: fencedHosts,
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

const levelsSchema = z.record(
  hostName,
  z
    .array(
      z.array(hostName).min(1, expected("the devices of one level, such as [pdu-a, pdu-b]", "Name at least one.")),
      expected("a list of levels, each a list of devices, such as [[board], [pdu-a, pdu-b]]", "Write it so."),
    )
    .min(1, expected("at least one level, such as [[board], [pdu]]", "Name the devices, or remove the host."))
    .max(9, expected("at most 9 levels", "Remove the rest.")),
);

/** Fencing of one Corosync cluster as it stands in the stack file. */
export const fencingSchema = z
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
      /** By host: which devices are tried first, and which after these failed. Default: any that can switch it off. */
      levels: levelsSchema.optional(),
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

/** One host that a device can switch off. */
export interface FencedHost {
  readonly name: string;
  /** What the device calls it: the name of its virtual machine, an outlet. Undefined: as it is called here. */
  readonly plug?: string;
}

/** By host: devices by level, the first level first. All devices of a level must succeed. */
export type FenceLevels = Readonly<Record<string, readonly (readonly string[])[]>>;

/** Devices and levels as they stand in the stack file, each field right by itself. */
export type UncheckedFencing = z.infer<typeof fencingSchema>;

/** One fence device with every default filled in. */
export interface FenceDevice {
  /** Its key under devices:. */
  readonly name: string;
  /** The agent's name, such as fence_ipmilan. */
  readonly agent: string;
  /** The Debian package that has it. Undefined: it is there already. */
  readonly package?: string;
  /** The hosts it can switch off. */
  readonly hosts: readonly FencedHost[];
  /** As text, by name as declared. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Keys of pgha:fencingSecrets, by the parameter's name. */
  readonly secretParameters: Readonly<Record<string, string>>;
}
