import type { MemberObservation } from "../model/observation.ts";
import { namedPrimary } from "../model/observedPrimary.ts";
import { openJournal } from "../model/unfinished.ts";
import type { ClusterAccess } from "./access.ts";
import { withRulesAsSeen } from "./commitRules.ts";
import { type Converged, converge } from "./converge.ts";
import { createCluster } from "./create.ts";
import { decide, type Goal, stopped } from "./decide.ts";
import type { ClusterLock } from "./lock.ts";
import { observeMembers } from "./observe.ts";
import { recoverHandover } from "./recover.ts";
import type { Reporter } from "./reporter.ts";

/**
 * Finishes or undoes whatever was begun and not ended: a handover first, then creation, clones and erasures.
 * `observations` were made under `lock`.
 */
export async function finishUnfinished(
  access: ClusterAccess,
  lock: ClusterLock,
  goal: Goal,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<Converged> {
  const from = openJournal(observations)?.from;
  const asSeen = from === undefined ? access : withRulesAsSeen(access, from, observations);
  await recoverHandover(asSeen, lock, observations, reporter);
  const after = decide(goal, await observeMembers(access));
  if (after.state.unfinished !== undefined) return createCluster(access, lock, goal, after.observations, reporter);
  reporter.info(
    `${access.group.cluster}: what was unfinished is done; \`pulumi up\` again carries out what else changed`,
  );
  const primary = namedPrimary(after.state.observed);
  // Who is not confirmed is not converged to: the declared primary may be a standby now.
  if (primary === undefined) throw stopped(access.group, after);
  return converge(access, lock, primary.member, goal, after.observations, reporter);
}
