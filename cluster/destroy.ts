import { FaultsFound, UserError } from "../model/fault.ts";
import { isWritable, type Marker, type MemberObservation } from "../model/observation.ts";
import { unerasable } from "../model/ownership.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { eraseData } from "./data.ts";
import type { ClusterLock } from "./lock.ts";
import { observeMembers } from "./observe.ts";
import { orderUnderLock } from "./order.ts";
import { discardLeftovers } from "./replace.ts";
import type { Reporter } from "./reporter.ts";
import { stopService } from "./service.ts";
import { underLock } from "./underLock.ts";

const stopLimitSeconds = 300;

/** Stops every instance for good, and leaves the data. Nothing is stopped while a member cannot be reached. */
export async function stopCluster(access: ClusterAccess, reporter: Reporter): Promise<void> {
  refuseUnreachable(access, await observeMembers(access));
  await underLock(access, reporter, async (lock, observations) => {
    refuseUnreachable(access, observations);
    await stopAll(access, lock, observations, reporter);
  });
}

function refuseUnreachable(access: ClusterAccess, observations: readonly MemberObservation[]): void {
  const unreachable = observations.filter((observation) => !observation.reached);
  if (unreachable.length === 0) return;
  throw new UserError(
    `${access.group.cluster}: ${unreachable.map((observation) => observation.member).join(", ")} cannot be reached, so that it cannot be stopped.\n  Nothing was touched. Bring it back, or write onDestroy: keep and run \`pulumi up\` first. One that is dead for good: take it out of members: and run \`pulumi up\` first; its data stays there.`,
  );
}

/** The primary first: with a synchronous rule it would otherwise wait for the standbys. */
async function stopAll(
  access: ClusterAccess,
  lock: ClusterLock,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<void> {
  const writable = new Set(observations.filter(isWritable).map((seen) => seen.member));
  for (const group of [
    access.members.filter((member) => writable.has(member.name)),
    access.members.filter((member) => !writable.has(member.name)),
  ]) {
    if (group.length === 0) continue;
    lock.assertHeld();
    reporter.progress(`stopping ${group.map((member) => member.name).join(", ")}`);
    await Promise.all(group.map((member) => stopService(member, lock, stopLimitSeconds, { forGood: true })));
  }
}

/**
 * Stops the cluster and removes its data: marked `erasing` first, so that an interrupted erasure is finished by the next.
 * Nothing is stopped while a member holds what is not this cluster's: `systemIdentifier` is the recorded one.
 */
export async function eraseCluster(
  access: ClusterAccess,
  reporter: Reporter,
  systemIdentifier: string | undefined,
): Promise<void> {
  const { cluster, members } = access.group;
  const declared = Object.fromEntries(members.map((member) => [member.name, member]));
  const refuse = (observations: readonly MemberObservation[]) => {
    const faults = unerasable(cluster, declared, observations, systemIdentifier);
    if (faults.length > 0) throw new FaultsFound(faults, "Nothing was touched:");
    refuseUnreachable(access, observations);
  };
  refuse(await observeMembers(access));
  await underLock(access, reporter, async (lock, observations) => {
    refuse(observations);
    await stopAll(access, lock, observations, reporter);
    lock.assertHeld();
    await Promise.all(
      access.members.map(async (member) => {
        reporter.progress(`erasing ${member.name}`);
        const seen = observations.find((observation) => observation.member === member.name);
        await eraseMember(access, lock, member, seen?.reached ? seen.local.marker : undefined);
      }),
    );
  });
}

/** The lock stays until the end of all; the Instance takes it away with its directory. */
async function eraseMember(
  access: ClusterAccess,
  lock: ClusterLock,
  member: MemberAccess,
  marker: Marker | undefined,
): Promise<void> {
  await discardLeftovers(lock, member, marker);
  await eraseData(access, lock, member, marker?.systemIdentifier);
  const { paths } = member;
  await orderUnderLock(member, lock, {
    verb: "erased",
    values: {
      marker: paths.marker,
      files: [paths.postgresqlConf, paths.roleConf, paths.hba, paths.ident, paths.passfile, paths.journal],
    },
    answers: ["erased"],
    purpose: `forget what was erased of ${member.name}`,
  });
}
