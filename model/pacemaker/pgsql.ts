import type { ClusterDeclaration } from "../declaration.ts";
import { postgresPrograms, socketDirectory } from "../names.ts";
import { pacemakerNames } from "./names.ts";
import { instanceOperations } from "./operations.ts";
import type { DeclaredPgsql } from "./pgsqlParameters.ts";
import type { PacemakerResource } from "./resource.ts";

/**
 * ocf:heartbeat:pgsql, for two members. What it wants of the instance it tells our stand-in of pg_ctl; its own files
 * (rep_mode.conf, recovery.conf, the lines that it adds to what it takes for postgresql.conf) PostgreSQL never reads.
 */
export function pgsqlResource(cluster: ClusterDeclaration, parameters: DeclaredPgsql): PacemakerResource {
  const { programs, dataLink, agentConfiguration } = pacemakerNames(cluster.name);
  const { archive_cleanup_command, primary_conninfo_opt, ...rest } = parameters;
  const texts = Object.entries({
    ...rest,
    ...(archive_cleanup_command === "" ? {} : { archive_cleanup_command }),
    ...(primary_conninfo_opt === "" ? {} : { primary_conninfo_opt }),
    // It refuses to be without one; where none is declared, PostgreSQL has none either.
    restore_command: parameters.restore_command === "" ? "/bin/false" : parameters.restore_command,
  }).map(([name, value]) => [name, String(value)]);
  return {
    agent: "ocf:heartbeat:pgsql",
    parameters: {
      pgctl: `${programs}/pg_ctl`,
      psql: `${programs}/psql`,
      pgdata: dataLink,
      config: agentConfiguration,
      socketdir: socketDirectory,
      pgport: String(cluster.members[0]?.port ?? 5432),
      // Nobody can make a database from template1, its default, while somebody looks there.
      pgdb: "postgres",
      pglibs: postgresPrograms(cluster.postgresVersion).replace(/bin$/, "lib"),
      // The stand-ins ask systemctl, and become postgres by themselves where they must.
      pgdba: "root",
      node_list: cluster.members.map(({ host }) => host).join(" "),
      master_ip: masterAddress(cluster),
      ...Object.fromEntries(texts),
    },
    operations: instanceOperations("pgsql", cluster.supervision?.operations),
    meta: {},
  };
}

/** The address of replication where there is one, as the old guide has it. */
function masterAddress({ virtualIps }: ClusterDeclaration): string {
  return (virtualIps.replication ?? virtualIps.primary)?.address ?? "";
}
