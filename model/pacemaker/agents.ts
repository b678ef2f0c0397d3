import type { ClusterDeclaration } from "../declaration.ts";
import { paf } from "./paf.ts";
import { pgsqlAgent } from "./pgsql.ts";
import type { PacemakerResource, Texts } from "./resource.ts";

/** A resource agent that drives PostgreSQL: what Pacemaker has to be told for it. */
export interface ResourceAgent {
  /** The primitive that is one instance on each host, with the agent's own parameters and operations. */
  resource(cluster: ClusterDeclaration): PacemakerResource;
  /** Of the promotable clone around it. */
  cloneMeta(cluster: ClusterDeclaration): Texts;
}

/** The agent that a cluster under Pacemaker declares. */
export function agentOf({ failover }: ClusterDeclaration): ResourceAgent {
  return failover.manager === "pacemaker" && failover.agent === "pgsql" ? pgsqlAgent(failover.pgsql) : paf;
}
