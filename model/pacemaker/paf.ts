import type { ClusterDeclaration } from "../declaration.ts";
import { socketDirectory } from "../names.ts";
import type { ResourceAgent } from "./agents.ts";
import { pacemakerNames } from "./names.ts";
import type { PacemakerResource } from "./resource.ts";

/** PAF, ocf:heartbeat:pgsqlms: any rule for synchronous commit; a member that was demoted follows by itself. */
export const paf: ResourceAgent = {
  resource: postgresResource,
  cloneMeta: ({ members }) => ({
    promotable: "true",
    "promoted-max": "1",
    "promoted-node-max": "1",
    "clone-max": String(members.length),
    "clone-node-max": "1",
    // The agent elects within these messages.
    notify: "true",
    "migration-threshold": "5",
    "failure-timeout": "60s",
    "resource-stickiness": "10",
  }),
};

/** The agent drives PostgreSQL through our unit: its programs are stand-ins, and its data directory is a link. */
function postgresResource({ name, members }: ClusterDeclaration): PacemakerResource {
  const { programs, dataLink } = pacemakerNames(name);
  return {
    agent: "ocf:heartbeat:pgsqlms",
    parameters: {
      bindir: programs,
      pgdata: dataLink,
      pghost: socketDirectory,
      pgport: String(members[0]?.port ?? 5432),
      // The stand-ins become postgres by themselves where they must.
      system_user: "root",
    },
    operations: {
      start: { timeout: "60s" },
      stop: { timeout: "60s" },
      // Longer than the election waits for the positions of the other candidates.
      promote: { timeout: "60s" },
      demote: { timeout: "120s" },
      notify: { timeout: "60s" },
      // Pacemaker tells the two apart by their interval, so it must differ.
      "monitor Promoted": { interval: "3s", timeout: "10s" },
      "monitor Unpromoted": { interval: "4s", timeout: "10s" },
    },
    meta: {},
  };
}
