import { z } from "zod";
import type { Marker } from "../model/observation.ts";
import { removeFile } from "../remote/files.ts";
import type { MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";
import { type ClusterLock, lockLost, refuseLost } from "./lock.ts";

/**
 * The marker says whose data lies in the data directory and how far it is. It is written before data is, and only while the
 * lock is ours. `standby`: the data's first start is as a standby, which is settled in the same piece.
 */
export async function writeMarker(
  cluster: string,
  member: MemberAccess,
  lock: Pick<ClusterLock, "epoch">,
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
  const what = `mark the data of ${member.name} as ${state}`;
  const answer = await askAgent(
    member.host,
    "write_marker",
    {
      lock: member.paths.lock,
      epoch: lock.epoch,
      marker: member.paths.marker,
      text: `${JSON.stringify(marker)}\n`,
      dataDirectory,
      standby: standby ? 1 : 0,
    },
    z.union([z.object({ result: z.literal("written") }), lockLost]),
    { limitSeconds: 20, purpose: what },
  );
  if (answer.result === "lock lost") throw refuseLost(`could not ${what}`, answer);
}

export async function removeMarker(member: MemberAccess): Promise<void> {
  await removeFile(member.host, member.paths.marker, 20);
}
