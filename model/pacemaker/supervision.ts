import { z } from "zod";
import { duration, durationSeconds } from "../duration.ts";
import { expected } from "../schema.ts";

/** What Pacemaker can do when an operation failed, in its own words (on-fail). */
export const failureAnswers = ["restart", "demote", "fence", "standby", "block", "stop", "ignore"] as const;

/** What Pacemaker does when an operation failed. */
export type FailureAnswer = (typeof failureAnswers)[number];

const asObject = expected("keys with values such as { timeout: 60s }", "Write them.");

/** How long the operation may take. */
const timeout = duration.optional();
const onFail = z
  .enum(failureAnswers, expected(`one of ${failureAnswers.join(", ")}`, "Write one of Pacemaker's words (on-fail)."))
  .optional();

const timedSchema = z.strictObject({ timeout }, asObject);
const answeredSchema = z.strictObject({ timeout, onFail }, asObject);
const repeatedSchema = z.strictObject(
  { interval: duration.optional(), timeout, onFail },
  expected("keys with values such as { interval: 3s, timeout: 10s, onFail: restart }", "Write them."),
);

/** Operations of the agent on one instance, as they stand in the stack file. What is left out is as `instanceOperations` has it. */
export const operationsSchema = z.strictObject(
  {
    /** Starts an instance. */
    start: answeredSchema.optional(),
    /** Stops one. */
    stop: answeredSchema.optional(),
    /** Makes a standby the primary, the election of the members included. */
    promote: answeredSchema.optional(),
    /** Ends a primary. */
    demote: answeredSchema.optional(),
    /** Tells an instance what happens to the others. Pacemaker does not care how it ends. */
    notify: timedSchema.optional(),
    /** Looks at an instance again and again. */
    monitor: z
      .strictObject(
        {
          /** At the primary. */
          promoted: repeatedSchema.optional(),
          /** At each standby. */
          unpromoted: repeatedSchema.optional(),
        },
        expected("{ promoted: { ... }, unpromoted: { ... } }", "Write one entry for each role."),
      )
      .optional(),
  },
  expected("operations by name: start, stop, promote, demote, notify, monitor", "Write one of them."),
);

/** Operations of the agent on one instance; only what is declared. */
export type DeclaredOperations = z.infer<typeof operationsSchema>;

const stickinessLimits = expected("a whole number from 0 to 100000", "Correct it.");
const thresholdLimits = expected("a whole number from 1 to 100", "Correct it.");

/** Points by which an instance stays where it runs. */
export const stickinessSchema = z.int(stickinessLimits).min(0, stickinessLimits).max(100_000, stickinessLimits);

/** Failures after which an instance may not run on a host. */
export const migrationThresholdSchema = z.int(thresholdLimits).min(1, thresholdLimits).max(100, thresholdLimits);

/** How Pacemaker looks after the instances; only what is declared. */
export interface Supervision {
  /** Their limits, and what follows when they fail. */
  readonly operations?: DeclaredOperations | undefined;
  /** Points by which an instance stays where it runs. */
  readonly stickiness?: number | undefined;
  /** Failures within a minute after which an instance may not run on that host. */
  readonly migrationThreshold?: number | undefined;
}

/** One operation as it is declared, by its name in Pacemaker's configuration, and the keys that lead to it. */
export interface DeclaredOperation {
  /** "start", "monitor Promoted" */
  readonly name: OperationName;
  /** Below `operations`: ["monitor", "promoted"] */
  readonly keys: readonly string[];
  /** What is declared of it. */
  readonly operation: {
    readonly interval?: string | undefined;
    readonly timeout?: string | undefined;
    readonly onFail?: FailureAnswer | undefined;
  };
}

/** Operations by their names in Pacemaker's configuration, with the role where they have one. */
export const operationNames = [
  "start",
  "stop",
  "promote",
  "demote",
  "notify",
  "monitor Promoted",
  "monitor Unpromoted",
] as const;

/** One operation by its name in Pacemaker's configuration. */
export type OperationName = (typeof operationNames)[number];

/** Those that are declared. */
export function declaredOperations({ monitor = {}, ...others }: DeclaredOperations = {}): DeclaredOperation[] {
  const declared: Partial<Record<OperationName, DeclaredOperation["operation"] | undefined>> = {
    ...others,
    "monitor Promoted": monitor.promoted,
    "monitor Unpromoted": monitor.unpromoted,
  };
  return operationNames.flatMap((name) => {
    const operation = declared[name];
    return operation === undefined ? [] : [{ name, keys: name.toLowerCase().split(" "), operation }];
  });
}

/** A duration of the stack file as Pacemaker's configuration has it: it knows no days, and tells operations apart by this text. */
export function pacemakerTime(text: string): string {
  return `${durationSeconds(text)}s`;
}
