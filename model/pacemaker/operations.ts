import type { ClusterDeclaration } from "../declaration.ts";
import type { PacemakerResource, Texts } from "./resource.ts";
import { type DeclaredOperations, declaredOperations, type OperationName, pacemakerTime } from "./supervision.ts";

/** The resource agents that drive PostgreSQL. */
export type InstanceAgent = "paf" | "pgsql";

/** How long the agent may look: longer than its stand-in for pg_isready or pg_ctl waits for a member that is started in place. */
const monitorTimeout: Readonly<Record<InstanceAgent, string>> = { paf: "10s", pgsql: "30s" };

/** Of an instance, where nothing else is declared. */
export function defaultOperations(agent: InstanceAgent): Record<OperationName, Texts> {
  return {
    start: { timeout: "60s" },
    stop: { timeout: "60s" },
    // Longer than the election waits for the positions of the other candidates.
    promote: { timeout: "60s" },
    demote: { timeout: "120s" },
    notify: { timeout: "60s" },
    // Pacemaker tells the two apart by their interval, so it must differ.
    "monitor Promoted": { interval: "3s", timeout: monitorTimeout[agent] },
    "monitor Unpromoted": { interval: "4s", timeout: monitorTimeout[agent] },
  };
}

/** Of an instance, as declared. */
export function instanceOperations(
  agent: InstanceAgent,
  declared: DeclaredOperations | undefined,
): PacemakerResource["operations"] {
  const operations: PacemakerResource["operations"] = { ...defaultOperations(agent) };
  for (const { name, operation } of declaredOperations(declared)) {
    const { interval, timeout, onFail } = operation;
    operations[name] = {
      ...operations[name],
      ...(interval === undefined ? {} : { interval: pacemakerTime(interval) }),
      ...(timeout === undefined ? {} : { timeout: pacemakerTime(timeout) }),
      ...(onFail === undefined ? {} : { "on-fail": onFail }),
    };
  }
  return operations;
}

/** Of the clone that the instances are, where nothing else is declared. */
const defaultStickiness = 10;
const defaultMigrationThreshold = 5;

/** How the clone keeps its instances where they run, and when it gives a host up. */
export function placement({ supervision = {} }: Pick<ClusterDeclaration, "supervision">): Texts {
  const { stickiness = defaultStickiness, migrationThreshold = defaultMigrationThreshold } = supervision;
  return {
    "migration-threshold": String(migrationThreshold),
    "failure-timeout": "60s",
    "resource-stickiness": String(stickiness),
  };
}
