import type { ClusterDeclaration, UncheckedCluster } from "../declaration.ts";
import { durationSeconds } from "../duration.ts";
import type { Fault } from "../fault.ts";
import { defaultOperations, type InstanceAgent } from "./operations.ts";
import {
  type DeclaredOperation,
  declaredOperations,
  type FailureAnswer,
  type OperationName,
  pacemakerTime,
  type Supervision,
} from "./supervision.ts";

type At = (...path: string[]) => string[];

/** Seconds below which an operation would be given up while it does what it is there for, and what that is. */
interface LeastTimeout {
  readonly seconds: number;
  readonly why: string;
}

const leastTimeouts: Readonly<Record<OperationName, Readonly<Record<InstanceAgent, LeastTimeout>>>> = {
  start: both({ seconds: 30, why: "a member that recovers would be stopped as one that failed" }),
  stop: both({ seconds: 60, why: "whoever still streams is waited for, and a stop that failed fences the host" }),
  promote: both({ seconds: 40, why: "the election asks the other members for up to 25 s" }),
  demote: both({ seconds: 60, why: "whoever still streams is waited for, and the member is started as a standby" }),
  notify: both({ seconds: 30, why: "the agent asks the members for their positions in it" }),
  "monitor Promoted": monitored(),
  "monitor Unpromoted": monitored(),
};

function both(least: LeastTimeout): Readonly<Record<InstanceAgent, LeastTimeout>> {
  return { paf: least, pgsql: least };
}

function monitored(): Readonly<Record<InstanceAgent, LeastTimeout>> {
  return {
    paf: { seconds: 10, why: "the agent waits for up to 9 s for a member that is started again in place" },
    pgsql: { seconds: 30, why: "the agent waits for up to 25 s for a member that is started again in place" },
  };
}

const longestTimeoutSeconds = 3600;
/** After so long Pacemaker forgets a failure (failure-timeout): with looks further apart it would never count two. */
const longestIntervalSeconds = 60;

/** What may follow when an operation failed, and why nothing else. */
interface Answers {
  readonly allowed: readonly FailureAnswer[];
  readonly why: string;
}

const answers: Readonly<Partial<Record<OperationName, Answers>>> = {
  start: { allowed: ["restart"], why: "a member that cannot start must cost neither its host nor the cluster" },
  stop: { allowed: ["fence", "block"], why: "an instance that may still run must never count as stopped" },
  promote: {
    allowed: ["restart"],
    why: "a promotion that is refused because a row could be missing counts as failed, and is tried again",
  },
  demote: {
    allowed: ["restart", "fence"],
    why: "an instance that may still be primary is stopped, or its host fenced",
  },
  "monitor Promoted": {
    allowed: ["restart", "demote", "fence", "standby"],
    why: "otherwise nobody takes over from a primary that failed",
  },
  "monitor Unpromoted": {
    allowed: ["restart", "fence", "standby"],
    why: "otherwise a standby that failed counts as well, or stays down",
  },
};

/** What a rule needs of one cluster, as far as it could be read. */
interface Parts {
  readonly parts: Partial<UncheckedCluster>;
  readonly at: At;
}

/** How Pacemaker may be told to look after the instances, all faults at once. */
export function supervisionFaults({ parts: { failover }, at }: Parts): Fault[] {
  if (failover?.manager !== "pacemaker") return [];
  const { agent, operations } = failover;
  const path: At = (...words) => at("failover", "operations", ...words);
  const declared = declaredOperations(operations);
  return [
    ...declared.flatMap((one) => [
      ...timeoutFaults(one, agent, path),
      ...intervalFaults(one, path),
      ...answerFaults(one, agent, path),
    ]),
    ...equalIntervals(declared, agent, path),
  ];
}

function timeoutFaults({ name, keys, operation }: DeclaredOperation, agent: InstanceAgent, path: At): Fault[] {
  if (operation.timeout === undefined) return [];
  const seconds = durationSeconds(operation.timeout);
  const least = leastTimeouts[name][agent];
  if (seconds >= least.seconds && seconds <= longestTimeoutSeconds) return [];
  const expected =
    seconds < least.seconds
      ? `at least ${least.seconds}s: ${least.why}`
      : `at most ${longestTimeoutSeconds}s: until then nothing else is done for the cluster`;
  return [{ path: path(...keys, "timeout"), found: operation.timeout, expected, remedy: "Correct it." }];
}

function intervalFaults({ keys, operation }: DeclaredOperation, path: At): Fault[] {
  if (operation.interval === undefined) return [];
  const seconds = durationSeconds(operation.interval);
  if (seconds >= 1 && seconds <= longestIntervalSeconds) return [];
  return [
    {
      path: path(...keys, "interval"),
      found: operation.interval,
      expected: `1s to ${longestIntervalSeconds}s: so often it is seen whether the member still works`,
      remedy: "Correct it.",
    },
  ];
}

function answerFaults({ name, keys, operation }: DeclaredOperation, agent: InstanceAgent, path: At): Fault[] {
  const { onFail } = operation;
  const rule = answers[name];
  if (onFail === undefined || rule === undefined) return [];
  const { allowed, why } = rule;
  const fault = { path: path(...keys, "onFail"), found: onFail, remedy: "Write that, or remove the line." };
  if (!allowed.includes(onFail)) return [{ ...fault, expected: `${either(allowed)}: ${why}` }];
  if (onFail !== "demote" || agent === "paf") return [];
  const rest = allowed.filter((answer) => answer !== "demote");
  return [{ ...fault, expected: `${either(rest)}: the agent pgsql leaves a member stopped that it demoted` }];
}

/** "restart, fence or standby" */
function either(words: readonly string[]): string {
  return [words.slice(0, -1).join(", "), words.at(-1)].filter((part) => part !== "").join(" or ");
}

/** Where one of them is only the default, that is said: nobody finds it in the stack file. */
function equalIntervals(declared: readonly DeclaredOperation[], agent: InstanceAgent, path: At): Fault[] {
  const look = (name: OperationName, role: string) => {
    const text = declared.find((one) => one.name === name)?.operation.interval;
    const isDefault = text === undefined;
    return { role, isDefault, time: isDefault ? defaultOperations(agent)[name].interval : pacemakerTime(text) };
  };
  const looks = [look("monitor Promoted", "promoted"), look("monitor Unpromoted", "unpromoted")] as const;
  const [one, other] = looks[0].isDefault ? [looks[1], looks[0]] : looks;
  if (one.time !== other.time) return [];
  return [
    {
      path: path("monitor", one.role, "interval"),
      found: `${one.time}, and ${other.role} has ${other.time}${other.isDefault ? " by default" : ""}`,
      expected: "two that differ: Pacemaker tells the two looks apart by their interval alone",
      remedy: "Change one of them.",
    },
  ];
}

/** Nothing can be switched off where nothing is declared for it. */
export function unfencedFaults(
  { name, supervision }: { readonly name: string; readonly supervision?: Supervision | undefined },
  fenced: boolean,
): Fault[] {
  if (fenced) return [];
  return declaredOperations(supervision?.operations)
    .filter(({ operation }) => operation.onFail === "fence")
    .map(({ keys }) => ({
      path: ["pgha:clusters", name, "failover", "operations", ...keys, "onFail"],
      found: "fence, and no fencing device is declared",
      expected: "another answer, or devices under pgha:pacemaker that can switch the host off",
      remedy: "Remove the line, or declare them.",
    }));
}

/** What of it is declared; undefined: nothing. */
export function declaredSupervision(failover: UncheckedCluster["failover"]): ClusterDeclaration["supervision"] {
  if (failover.manager !== "pacemaker") return undefined;
  const { operations, stickiness, migrationThreshold } = failover;
  const declared = [operations, stickiness, migrationThreshold].some((one) => one !== undefined);
  return declared ? { operations, stickiness, migrationThreshold } : undefined;
}
