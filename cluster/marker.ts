import type { Marker } from "../model/observation.ts";
import type { MemberAccess } from "./access.ts";
import { type Hold, orderUnderLock } from "./order.ts";

/**
 * The marker says whose data lies in the data directory and how far it is. It is written before data is, and only while the
 * lock is ours. `standby`: the data's first start is as a standby, which is settled in the same piece.
 */
export async function writeMarker(
  cluster: string,
  member: MemberAccess,
  lock: Hold,
  written: Pick<Marker, "state" | "systemIdentifier"> & { readonly standby?: boolean },
): Promise<void> {
  const { state, systemIdentifier, standby = false } = written;
  const { dataDirectory } = member.declaration;
  const marker: Marker = {
    cluster,
    member: member.name,
    state,
    ...(systemIdentifier === undefined ? {} : { systemIdentifier }),
    dataDirectory,
  };
  await orderUnderLock(member, lock, {
    verb: "write_marker",
    values: {
      marker: member.paths.marker,
      text: `${JSON.stringify(marker)}\n`,
      dataDirectory,
      standby: standby ? 1 : 0,
    },
    answers: ["written"],
    purpose: `mark the data of ${member.name} as ${state}`,
  });
}
