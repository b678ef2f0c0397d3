import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { type Journal, type MemberObservation, reachedMembers } from "../model/observation.ts";
import { steadyRole } from "../model/rendering.ts";
import { openJournal, type Recovery, recoveryOf } from "../model/unfinished.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { layRole } from "./configuration.ts";
import { removeJournal, writeGivenUp } from "./journal.ts";
import type { ClusterLock } from "./lock.ts";
import { observeMembers } from "./observe.ts";
import { undoQuiet } from "./quiet.ts";
import type { Reporter } from "./reporter.ts";
import {
  admitPrimary,
  completePromotion,
  giveWay,
  restoreOldPrimary,
  takeTicketBack,
  unmarkStandby,
} from "./restore.ts";
import { resetSlots } from "./roles.ts";
import { startService, stopService } from "./service.ts";
import { waitFor } from "./waitFor.ts";

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
  const reached = access.members.filter((member) =>
    observations.some((seen) => seen.member === member.name && seen.reached),
  );
  if (recovery.kind !== "stop") await access.manager.standBack(lock);
  const scene: Scene = { access, lock, observations, journal, reached, reporter };
  await carryOut(scene, recovery);
  // One that is not told keeps what it holds: with the others behind the new primary, it can do no harm with it.
  await removeJournal(reached, journal.epoch, lock);
}

interface Scene {
  readonly access: ClusterAccess;
  readonly lock: ClusterLock;
  readonly observations: readonly MemberObservation[];
  readonly journal: Journal;
  readonly reached: readonly MemberAccess[];
  readonly reporter: Reporter;
}

async function carryOut(scene: Scene, recovery: Recovery): Promise<void> {
  const { access, journal, reached, reporter } = scene;
  const handover = `the unfinished switchover ${journal.from} -> ${journal.to}`;
  const standbys = reached.filter((member) => member.name !== journal.from);
  switch (recovery.kind) {
    case "stop":
      throw stopped(journal, recovery.reason, recovery.givenUp && replacing(access.member(recovery.givenUp)));
    case "clear":
      await revoke(scene);
      // A stop that never took effect may have left it: the next restart would come back as a standby.
      await unmarkStandby(access.member(journal.from), scene.lock);
      reporter.info(`${handover} had stopped nobody: undone`);
      break;
    case "restore":
      reporter.progress(`${journal.from} comes back as primary`);
      await revoke(scene);
      await restoreOldPrimary(access.member(journal.from), journal, scene.lock);
      reporter.info(`${handover} was undone: ${journal.from} is primary again`);
      break;
    case "overtaken":
      reporter.info(`${handover} is void: ${recovery.by} was promoted meanwhile`);
      break;
    case "forward":
      await goForward(scene, recovery.startTarget);
      reporter.info(`${handover} was finished`);
      break;
  }
  await undoQuiet(access, standbys);
}

const bringingBack = "Bring every member back (or take a dead one out of members:), then run `pulumi up` again.";

function stopped(journal: Journal, reason: string, wayOut = bringingBack): UserError {
  return new UserError(
    `the switchover ${journal.from} -> ${journal.to} was not finished, and ${reason}.\n  Nothing was touched. ${wayOut}`,
  );
}

/** Its right to be primary goes with the directory of its state, and what it alone holds with its data. */
function replacing({ name, host, paths, declaration }: MemberAccess): string {
  return `Take ${name} out of members: and run \`pulumi up\`. Then, if nothing that ${name} alone holds is needed, on ${host.name} \`systemctl disable --now ${paths.unit}\` and remove ${declaration.dataDirectory} and ${paths.stateDirectory}, and add ${name} again: it is cloned anew.`;
}

/**
 * Without the old primary's word, only the others' following keeps a later `up` from bringing it back: the journal stays
 * until most members have the new timeline.
 */
async function requireMajority(access: ClusterAccess, journal: Journal): Promise<void> {
  if (!access.members.some((member) => member.name === journal.from)) return;
  await waitFor(`most members to follow ${journal.to}`, 60, async () => {
    const ahead = reachedMembers(await observeMembers(access)).filter(
      ({ postgres }) => postgres !== undefined && postgres.timeline > journal.timeline,
    );
    if (ahead.length * 2 > access.members.length) return { done: true };
    return { lastSeen: `${ahead.map(({ member }) => member).join(", ") || "nobody"} of ${access.members.length}` };
  });
}

/** The old primary may only be primary once nobody can be promoted by the ticket any more. */
async function revoke({ access, journal, reached, lock }: Scene): Promise<void> {
  const target = reached.find((member) => member.name === journal.to);
  if (target === undefined) {
    const declared = access.members.some((member) => member.name === journal.to);
    if (declared) throw stopped(journal, `${journal.to} cannot be reached, and may have been promoted`);
    // Taken out of members: that it is fenced is the operator's word. It may be put back long after.
    await writeGivenUp(reached, journal, lock);
    return;
  }
  const said = await takeTicketBack(target, journal);
  if (said !== "revoked") throw stopped(journal, `${journal.to} says of its right to be promoted: ${said}`);
}

async function goForward({ access, journal, observations, reached, lock, reporter }: Scene, startTarget: boolean) {
  const target = access.member(journal.to);
  if (startTarget) {
    reporter.progress(`${target.name} was promoted, and is started`);
    // Its gate waits for the old primary's word, which is not given while somebody holds the cluster, as we do.
    await admitPrimary(target, lock);
    await startService(target, lock, 300);
  }
  await completePromotion(target, lock);
  await waitFor(`${target.name} to be writable`, 120, () =>
    withSession(target, async (session) => {
      const { recovering } = await session.selectOne(
        z.object({ recovering: z.boolean() }),
        "select pg_is_in_recovery() as recovering",
      );
      return !recovering ? { done: true } : { lastSeen: "still in recovery" };
    }),
  );
  const old = reached.find((member) => member.name === journal.from);
  if (old === undefined) return requireMajority(access, journal);
  reporter.progress(`${old.name} follows ${journal.to}`);
  const running = observations.some((seen) => seen.member === old.name && seen.reached && seen.postgres !== undefined);
  if (!running) {
    await giveWay(old, journal, lock);
    await stopService(old, lock, 120);
    await layRole(access, old, steadyRole);
    await startService(old, lock, 300);
  }
  await resetSlots(access, old, lock, reporter);
}
