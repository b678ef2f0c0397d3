import { z } from "zod";
import type { Fault } from "../model/fault.ts";
import type { MemberObservation } from "../model/observation.ts";
import type { ObservedPrimary } from "../model/observedPrimary.ts";
import { awaitingData, type DatabaseSize, emptyDatabase, type Room, roomFaults } from "../model/room.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";

/** A clone must fit before anything is touched: every member that waits for data and has too little room. */
export async function judgeRoom(
  access: ClusterAccess,
  observations: readonly MemberObservation[],
  observed: ObservedPrimary,
): Promise<Fault[]> {
  const targets = awaitingData(observations);
  if (targets.length === 0) return [];
  const [size, rooms] = await Promise.all([
    databaseSize(access, observed),
    Promise.all(targets.map(async ({ member }) => ({ member, ...(await readRoom(access.member(member))) }))),
  ]);
  return roomFaults(access.group.cluster, rooms, size);
}

async function databaseSize(access: ClusterAccess, observed: ObservedPrimary): Promise<DatabaseSize> {
  switch (observed.kind) {
    case "known":
      return withSession(access.member(observed.member), async (session) => {
        const { data, wal } = await session.selectOne(
          z.object({ data: z.string(), wal: z.string() }),
          `select (select coalesce(sum(pg_database_size(oid)), 0) from pg_database) as data,
                  (select coalesce(sum(size), 0) from pg_ls_waldir()) as wal`,
        );
        return { data: Number(data), wal: Number(wal) };
      });
    case "stopped": {
      const { data, wal } = await readRoom(access.member(observed.member));
      return { data: data.heldBytes, wal: wal?.heldBytes ?? 0 };
    }
    default:
      return emptyDatabase;
  }
}

/** File system, free bytes, and the bytes of what lies there, which may vanish while it is counted. */
const roomScript = `
set -eu
for directory in "$@"; do
  parent=$directory; while [ ! -d "$parent" ]; do parent=$(dirname "$parent"); done
  held=0
  [ "$parent" != "$directory" ] || [ -z "$(ls -A "$directory")" ] || held=$(du -sx -B1 "$directory" 2>/dev/null | cut -f1)
  echo "$(stat -c %d "$parent") $(df -P -B1 "$parent" | awk 'NR==2 {print $4}') \${held:-0}"
done`;

async function readRoom(member: MemberAccess): Promise<{ host: string; data: Room; wal?: Room | undefined }> {
  const { dataDirectory, walDirectory } = member.declaration;
  const text = await member.host.must({
    argv: ["sh", "-c", roomScript, "sh", dataDirectory, ...(walDirectory === undefined ? [] : [walDirectory])],
    limitSeconds: 60,
    purpose: `measure the room for ${member.name}`,
  });
  const [data, wal] = [...text.matchAll(/^(\d+) (\d+) (\d+)$/gm)].map(
    ([, fileSystem = "", freeBytes, heldBytes]): Room => ({
      fileSystem,
      freeBytes: Number(freeBytes),
      heldBytes: Number(heldBytes),
    }),
  );
  if (data === undefined) throw new Error(`${member.host.name}: found ${JSON.stringify(text)} as its room`);
  return { host: member.host.name, data, wal };
}
