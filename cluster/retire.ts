import { z } from "zod";
import { slotName } from "../model/names.ts";
import type { MemberObservation } from "../model/observation.ts";
import { type Removal, removalOf } from "../model/removal.ts";
import { type ClusterAccess, type MemberAccess, someOf, withSession } from "./access.ts";
import { observeMembers } from "./observe.ts";
import type { Reporter } from "./reporter.ts";
import { stopService } from "./service.ts";
import { underLock } from "./underLock.ts";
import { waitFor } from "./waitFor.ts";

const stopLimitSeconds = 300;
const letGoLimitSeconds = 60;

/** What becomes of each member that is no longer declared, by what its host says now. */
export async function planRemovals({ removed }: ClusterAccess): Promise<Removal[]> {
  return removed === undefined ? [] : removalsOf(removed, await observeMembers(removed));
}

function removalsOf(removed: ClusterAccess, observations: readonly MemberObservation[]): Removal[] {
  return observations.map((seen) => removalOf(removed.group.cluster, removed.member(seen.member).declaration, seen));
}

/**
 * Stops the service of every removed standby for good, and ends what others of them still stream from the primary: their
 * slots are then nobody's. Called when the primary's rules no longer count them, so that no commit waits for one that stops.
 * Under a lock of the removed members' own: whoever still declares them holds them too.
 */
export async function retireRemoved(access: ClusterAccess, primary: MemberAccess, reporter: Reporter): Promise<void> {
  const { removed } = access;
  if (removed === undefined) return;
  const { cluster } = access.group;
  const seen = await planRemovals(access);
  const stopping = seen.filter(({ kind }) => kind === "stop").map(({ member }) => member);
  let done: Removal[] = [];
  if (stopping.length > 0) {
    reporter.progress(`stopping ${stopping.join(", ")}, no longer members`);
    const standbys = someOf(removed, stopping);
    done = await underLock(standbys, reporter, async (lock, observations) => {
      const now = removalsOf(standbys, observations);
      const still = standbys.members.filter(({ name }) =>
        now.some(({ member, kind }) => member === name && kind === "stop"),
      );
      await Promise.all(still.map((member) => stopService(member, lock, stopLimitSeconds, { forGood: true })));
      return now;
    });
  }
  await letGoOfSlots(access, primary, removed);
  // Of a host that does not answer, the deletion of the member's Instance says what stays there.
  for (const { unreached, kind, text } of [...done, ...seen.filter(({ member }) => !stopping.includes(member))]) {
    if (!unreached) reporter[kind === "stop" ? "info" : "warn"](`${cluster}: ${text}`);
  }
}

/** pg_hba.conf lets the removed members in no more; a connection that one of them has from before would hold its slot. */
async function letGoOfSlots(access: ClusterAccess, primary: MemberAccess, removed: ClusterAccess): Promise<void> {
  const kept = new Set(access.group.members.map(({ name }) => slotName(name)));
  const names = removed.members.map(({ name }) => slotName(name)).filter((name) => !kept.has(name));
  await withSession(primary, (session) =>
    waitFor(`${names.join(", ")} on ${primary.name} to be let go`, letGoLimitSeconds, async () => {
      const held = await session.select(
        z.object({ slot_name: z.string() }),
        `select slot_name, pg_terminate_backend(active_pid) from pg_replication_slots
          where slot_type = 'physical' and active and slot_name = any($1::text[])`,
        [names],
      );
      if (held.length === 0) return { done: true };
      return { lastSeen: `${held.map((slot) => slot.slot_name).join(", ")} in use` };
    }),
  );
}
