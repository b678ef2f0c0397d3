import { UserError } from "../model/fault.ts";
import type { MemberObservation } from "../model/observation.ts";
import { steadyRole } from "../model/rendering.ts";
import { openJournal, recoveryOf } from "../model/unfinished.ts";
import type { ClusterAccess } from "./access.ts";
import { layRole } from "./configuration.ts";
import { markStandby, unmarkStandby } from "./data.ts";
import { removeJournal } from "./journal.ts";
import type { ClusterLock } from "./lock.ts";
import { undoQuiet } from "./quiet.ts";
import type { Reporter } from "./reporter.ts";
import { restoreOldPrimary, stopPromotedOrPromoting } from "./restore.ts";
import { resetSlots } from "./roles.ts";
import { startService, stopService } from "./service.ts";

/**
 * Finishes or undoes a handover that an orchestrator left behind. Does nothing without a journal. `observations` were made
 * under `lock`. Errors: `UserError` when it cannot be told what is right.
 */
export async function recoverHandover(
  access: ClusterAccess,
  lock: ClusterLock,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<void> {
  const journal = openJournal(observations);
  if (journal === undefined) return;
  const recovery = recoveryOf(journal, observations);
  const old = access.member(journal.from);
  const target = access.member(journal.to);
  const reachedNames = observations
    .filter((observation) => observation.reached)
    .map((observation) => observation.member);
  const reached = access.members.filter((member) => reachedNames.includes(member.name));
  const standbys = reached.filter((member) => member !== old);
  switch (recovery.kind) {
    case "stop":
      throw new UserError(
        `the switchover ${journal.from} -> ${journal.to} was not finished, and ${recovery.reason}.\n  Nothing was touched. Bring every member back (or take a dead one out of members:), then run \`pulumi up\` again.`,
      );
    case "clear":
      reporter.info(`the unfinished switchover ${journal.from} -> ${journal.to} had stopped nobody: undone`);
      // A stop that never took effect may have left it: the next restart would come back as a standby.
      await unmarkStandby(old);
      await undoQuiet(access, standbys);
      break;
    case "restore":
      reporter.progress(`${old.name} comes back as primary`);
      // A promotion that somebody asked for and nobody saw may still be under way: stopped, the target cannot lie.
      await stopPromotedOrPromoting(target, journal, "its orchestrator ended");
      await restoreOldPrimary(old, lock);
      await startService(target, 300);
      reporter.info(
        `the unfinished switchover ${journal.from} -> ${journal.to} was undone: ${old.name} is primary again`,
      );
      await undoQuiet(access, standbys);
      break;
    case "forward": {
      if (recovery.startTarget) {
        reporter.progress(`${target.name} was promoted, and is started`);
        await startService(target, 300);
      }
      reporter.progress(`${old.name} follows ${journal.to}`);
      if (reached.includes(old)) {
        const running = observations.some(
          (seen) => seen.member === old.name && seen.reached && seen.postgres !== undefined,
        );
        if (!running) {
          await stopService(old, 120);
          await markStandby(old);
          await layRole(access, old, steadyRole);
          await startService(old, 300);
        }
        await resetSlots(access, old);
      }
      await undoQuiet(access, standbys);
      reporter.info(`the unfinished switchover ${journal.from} -> ${journal.to} was finished`);
      break;
    }
  }
  await removeJournal(reached, lock.epoch);
}
