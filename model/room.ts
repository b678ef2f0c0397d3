import { formatBytes } from "./bytes.ts";
import type { Fault } from "./fault.ts";
import { type MemberObservation, type ReachedMember, reachedMembers, wasCompleted } from "./observation.ts";

/** What a database takes, in bytes. */
export interface DatabaseSize {
  readonly data: number;
  readonly wal: number;
}

/** A fresh initdb, its WAL, and room to begin with. */
export const emptyDatabase: DatabaseSize = { data: 120 * 1024 * 1024, wal: 80 * 1024 * 1024 };

/** One directory that is to be filled. */
export interface Room {
  readonly freeBytes: number;
  /** What an unfinished clone holds there: it is removed first. */
  readonly heldBytes: number;
  /** Directories of one host with the same one share what is free. */
  readonly fileSystem: string;
}

export interface Target {
  readonly member: string;
  readonly host: string;
  readonly data: Room;
  /** Where pg_wal has a directory of its own. */
  readonly wal?: Room | undefined;
}

/** The members that get a database: they never had a whole one. What others lost or left half changed is not meant. */
export function awaitingData(observations: readonly MemberObservation[]): ReachedMember[] {
  return reachedMembers(observations).filter(({ local }) => local.marker === undefined || !wasCompleted(local.marker));
}

/** Is there room for a database of this size, and a tenth more, on every target? */
export function roomFaults(cluster: string, targets: readonly Target[], size: DatabaseSize): Fault[] {
  return targets.flatMap(({ member, host, data, wal }) => {
    const fault = (directory: string, rooms: readonly Room[], bytes: number): Fault[] => {
      const needed = Math.round(bytes * 1.1);
      const free = Math.min(...rooms.map((room) => room.freeBytes));
      const held = rooms.reduce((sum, room) => sum + room.heldBytes, 0);
      if (free + held >= needed) return [];
      return [
        {
          path: ["pgha:clusters", cluster, "members", member, directory],
          found: `${formatBytes(free)} free on ${host}${held === 0 ? "" : `, and ${formatBytes(held)} held by an unfinished clone`}`,
          expected: `at least ${formatBytes(needed)} for a clone`,
          remedy: "Make room there, or choose a directory on a larger volume.",
        },
      ];
    };
    if (wal === undefined) return fault("dataDirectory", [data], size.data + size.wal);
    if (wal.fileSystem === data.fileSystem) return fault("dataDirectory", [data, wal], size.data + size.wal);
    return [...fault("dataDirectory", [data], size.data), ...fault("walDirectory", [wal], size.wal)];
  });
}
