import type { Marker } from "../model/observation.ts";
import { removeFile, writeFile } from "../remote/files.ts";
import type { MemberAccess } from "./access.ts";

/** The marker says whose data lies in the data directory and how far it is. It is written before data is. */
export async function writeMarker(
  cluster: string,
  member: MemberAccess,
  state: Marker["state"],
  systemIdentifier?: string,
): Promise<void> {
  const marker: Marker = {
    cluster,
    member: member.name,
    state,
    ...(systemIdentifier === undefined ? {} : { systemIdentifier }),
    dataDirectory: member.declaration.dataDirectory,
  };
  await writeFile(member.host, {
    path: member.paths.marker,
    content: `${JSON.stringify(marker)}\n`,
    owner: "root",
    group: "root",
    mode: "0600",
    limitSeconds: 20,
  });
}

export async function removeMarker(member: MemberAccess): Promise<void> {
  await removeFile(member.host, member.paths.marker, 20);
}
