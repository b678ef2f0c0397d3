import { z } from "zod";
import type { ClusterDeclaration } from "../declaration.ts";
import { expected, hostName } from "../schema.ts";
import { type FenceDevice, type FenceLevels, fencingSchema, parameterName, parameterValue } from "./fencing.ts";
import { deviceAlgorithms, type QuorumDevice } from "./quorum.ts";

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

const quorumDeviceSchema = z.strictObject(
  {
    /** A host of pgha:hosts that has no member in this Corosync cluster. It may serve several. */
    host: hostName,
    /** How it decides: "ffsplit" for an even number of hosts, "lms" (last man standing) for any. Default: by that number. */
    algorithm: z.enum(deviceAlgorithms, expected('"ffsplit" or "lms"', "Write one of the two.")).optional(),
  },
  expected("{ host: ... }", "Name the host that votes."),
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
  /** A host without a part in this cluster that votes where its hosts are cut into halves. Default: none. */
  quorumDevice: quorumDeviceSchema.optional(),
  /** Further properties of the Pacemaker cluster, as Pacemaker names them. Default: none. */
  properties: z.record(parameterName, parameterValue).default({}),
});

/** One Corosync cluster whose fields are right each by itself. */
export type UncheckedPacemaker = z.infer<typeof pacemakerSchema>;

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
  /** By host: what is tried first, then what after it failed. Empty: each device that can switch the host off, by Pacemaker's choice. */
  readonly fencingLevels: FenceLevels;
  /** What votes where the hosts are cut into halves. Undefined: nothing. */
  readonly quorumDevice?: QuorumDevice;
  /** As text, by name as declared. */
  readonly properties: Readonly<Record<string, string>>;
  /** The PostgreSQL clusters that it fails over. */
  readonly clusters: readonly ClusterDeclaration[];
}
