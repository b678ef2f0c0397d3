import type { ClusterDeclaration } from "../declaration.ts";
import { pafResource } from "./paf.ts";
import { pgsqlResource } from "./pgsql.ts";
import type { PacemakerResource } from "./resource.ts";

/** The primitive that is one instance on each host, with the parameters and operations of the agent that is declared. */
export function postgresResource(cluster: ClusterDeclaration): PacemakerResource {
  const { failover } = cluster;
  return failover.manager === "pacemaker" && failover.agent === "pgsql"
    ? pgsqlResource(cluster, failover.pgsql)
    : pafResource(cluster);
}
