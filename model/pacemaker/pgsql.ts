import type { ClusterDeclaration } from "../declaration.ts";
import { postgresPrograms, socketDirectory } from "../names.ts";
import type { ResourceAgent } from "./agents.ts";
import { pacemakerNames } from "./names.ts";
import type { DeclaredPgsql } from "./pgsqlParameters.ts";
import type { PacemakerResource } from "./resource.ts";

/**
 * ocf:heartbeat:pgsql, for two members. What it wants of the instance it tells our stand-in of pg_ctl; its own files
 * (rep_mode.conf, recovery.conf, the lines that it adds to what it takes for postgresql.conf) PostgreSQL never reads.
 */
export function pgsqlAgent(parameters: DeclaredPgsql): ResourceAgent {
  return {
    resource: (cluster) => postgresResource(cluster, parameters),
    cloneMeta: ({ members }) => ({
      promotable: "true",
      "promoted-max": "1",
      "promoted-node-max": "1",
      "clone-max": String(members.length),
      "clone-node-max": "1",
      // The primary looks at its standbys within these messages.
      notify: "true",
      "migration-threshold": "5",
      "failure-timeout": "60s",
      "resource-stickiness": "10",
    }),
  };
}

function postgresResource(cluster: ClusterDeclaration, parameters: DeclaredPgsql): PacemakerResource {
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
    operations: {
      start: { timeout: "60s" },
      stop: { timeout: "60s" },
      // Longer than the election waits for the positions of the other candidates.
      promote: { timeout: "60s" },
      demote: { timeout: "120s" },
      notify: { timeout: "60s" },
      // Pacemaker tells the two apart by their interval, so it must differ.
      "monitor Promoted": { interval: "3s", timeout: "30s" },
      "monitor Unpromoted": { interval: "4s", timeout: "30s" },
    },
    meta: {},
  };
}

/** The address of replication where there is one, as the old guide has it. */
function masterAddress({ virtualIps }: ClusterDeclaration): string {
  return (virtualIps.replication ?? virtualIps.primary)?.address ?? "";
}
