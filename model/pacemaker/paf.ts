import type { ClusterDeclaration } from "../declaration.ts";
import { socketDirectory } from "../names.ts";
import { pacemakerNames } from "./names.ts";
import { instanceOperations } from "./operations.ts";
import type { PacemakerResource } from "./resource.ts";

/**
 * PAF, ocf:heartbeat:pgsqlms: any rule for synchronous commit; a member that was demoted follows by itself. The agent drives
 * PostgreSQL through our unit: its programs are stand-ins, and its data directory is a link.
 */
export function pafResource({ name, members, supervision }: ClusterDeclaration): PacemakerResource {
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
    operations: instanceOperations("paf", supervision?.operations),
    meta: {},
  };
}
