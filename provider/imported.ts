import { findMembers } from "../cluster/findMembers.ts";
import { UserError } from "../model/fault.ts";
import { memberPaths } from "../model/names.ts";
import type { Context, Properties, Saved } from "./resource.ts";

/*
 * What `pulumi import` leaves in the state: that there is such a cluster, and where. What it is to be stands in the stack file
 * alone, so an imported cluster is not declared, nobody is recorded as its primary, and nothing can be done to it. The first
 * `pulumi up` afterwards treats it as a cluster whose state was lost: it records.
 */

/** Inputs that only an import makes. */
export function isImported(inputs: Properties): boolean {
  return Object.keys(inputs).join() === "imported";
}

/** Looks for members of the cluster on every declared host. Errors: `UserError` when no host has one. */
export async function importGroup(
  context: Pick<Context, "hosts" | "warn">,
  cluster: string,
): Promise<Saved & { id: string; inputs: Properties }> {
  const { members, unreached } = await findMembers(context.hosts, cluster);
  const away = unreached.map(({ host, reason }) => `\n  ${host}: ${reason}`).join("");
  if (members.length === 0) {
    const { marker } = memberPaths(cluster, "MEMBER");
    throw new UserError(
      `${cluster}: found no member of it on the hosts of pgha:hosts, expected ${marker} on one of them. The ID is the cluster's name. Data that pgha did not make cannot be imported.${away}`,
    );
  }
  if (unreached.length > 0) {
    context.warn(`${cluster}: not every host could be asked; those found are enough to import it${away}`);
  }
  const found = Object.fromEntries(
    members.map(({ member, host, dataDirectory }) => [member, `${dataDirectory} on ${host}`]),
  );
  return { id: cluster, inputs: { imported: cluster }, outputs: { imported: cluster, found } };
}
