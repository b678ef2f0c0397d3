import { z } from "zod";
import { FaultsFound } from "./fault.ts";
import { groupInputs } from "./group.ts";
import type { DeclaredGroup, GroupState } from "./groupDiff.ts";
import type { MissingPrimary, ObservedPrimary } from "./observedPrimary.ts";
import { faultsOf } from "./schema.ts";
import type { Applied } from "./situation.ts";

/** What the state keeps of a cluster: what was seen last, and the passwords in force. */
export interface RecordedGroup extends GroupState {
  readonly superuserPassword?: string | undefined;
  readonly replicationPassword?: string | undefined;
}

/** So that a key that is added to the type cannot be forgotten here: it would be lost at every reading. */
type EveryKey<T> = { readonly [Key in keyof T]-?: z.ZodType };

const configuration = z.record(z.string(), z.record(z.string(), z.string()));

const applied: z.ZodType<Applied> = z.object({
  member: z.string(),
  systemIdentifier: z.string(),
  timeline: z.number(),
  failedOverFrom: z.string().optional(),
} satisfies EveryKey<Applied>);

const named = { member: z.string(), timeline: z.number(), systemIdentifier: z.string() };

const missing: z.ZodType<MissingPrimary> = z.object({
  unread: z.array(z.string()),
  streaming: z.array(z.string()),
} satisfies EveryKey<MissingPrimary>);

/** By kind, so that a new one cannot be forgotten here. */
const observedByKind: {
  readonly [Kind in ObservedPrimary["kind"]]: z.ZodType<Extract<ObservedPrimary, { kind: Kind }>>;
} = {
  known: z.object({ kind: z.literal("known"), ...named }),
  stopped: z.object({ kind: z.literal("stopped"), ...named }),
  nothing: z.object({ kind: z.literal("nothing") }),
  none: z.object({ kind: z.literal("none") }),
  several: z.object({ kind: z.literal("several"), members: z.array(z.string()), ahead: z.array(z.string()) }),
  foreign: z.object({ kind: z.literal("foreign"), text: z.string() }),
  elsewhere: z.object({ kind: z.literal("elsewhere"), text: z.string() }),
  unknown: z.object({
    kind: z.literal("unknown"),
    reason: z.string(),
    former: z.string().optional(),
    missing: missing.optional(),
    stopped: z.array(z.string()).optional(),
  }),
};

const byMember = z.record(z.string(), z.string());

/** Keys that only another version knows are passed over. */
const recordedGroup: z.ZodType<RecordedGroup> = z.object({
  primary: z.string(),
  applied: applied.optional(),
  // Read anew before every preview and up: one that another version wrote is merely not known.
  observed: z
    .union(Object.values(observedByKind))
    .catch({ kind: "unknown", reason: "another version of pgha wrote the state; `pulumi refresh` reads it anew" }),
  unfinished: z.string().optional(),
  switchBackDue: z.boolean().optional(),
  switchBackWaitsFor: z.string().optional(),
  standsBack: z.string().optional(),
  unhealthy: byMember.optional(),
  slotsInUse: byMember.optional(),
  fullVolumes: byMember.optional(),
  relaxed: byMember.optional(),
  stoppedByOrder: byMember.optional(),
  unreachable: byMember.optional(),
  wrongHostKeys: byMember.optional(),
  // An earlier version kept the values; they are not carried on, for they may hold passwords.
  alterSystem: z
    .record(
      z.string(),
      z.record(
        z.string(),
        z.string().transform(() => "set" as const),
      ),
    )
    .optional(),
  configuration: configuration.default({}),
  superuserPassword: z.string().optional(),
  replicationPassword: z.string().optional(),
} satisfies EveryKey<RecordedGroup>);

/** What was added to the declaration after the first version has a default here: states of earlier versions lack it. */
const declaredGroup: z.ZodType<DeclaredGroup> = groupInputs.extend({
  configuration,
  switchBackAfter: groupInputs.shape.switchBackAfter.default("10min"),
  rejoin: groupInputs.shape.rejoin.default("auto"),
});

/** The outputs of ReplicationGroup. Errors: `FaultsFound` naming every property that cannot be read. */
export function readRecorded(outputs: unknown): RecordedGroup {
  return read(recordedGroup, outputs, "the state");
}

/** The inputs of ReplicationGroup as `check` handed them on, now or in an earlier version. */
export function readDeclared(inputs: unknown): DeclaredGroup {
  return read(declaredGroup, inputs, "the declaration");
}

const secrets: readonly (string | undefined)[] = ["superuserPassword", "replicationPassword"];

function read<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = faultsOf(parsed.error, value, []).map((fault) => ({
    ...fault,
    found: secrets.includes(fault.path[0]) ? "something else (not shown)" : fault.found,
    remedy: "Look at it with `pulumi stack export`; use no older version of pgha than the one that wrote it.",
  }));
  throw new FaultsFound(faults, `${what} of ReplicationGroup cannot be read:`);
}
