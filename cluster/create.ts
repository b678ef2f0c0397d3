import { type MemberObservation, reachedMembers, wasCompleted } from "../model/observation.ts";
import { namedPrimary } from "../model/observedPrimary.ts";
import type { ClusterAccess } from "./access.ts";
import { type Converged, converge } from "./converge.ts";
import { decide, type Goal, stopped } from "./decide.ts";
import type { ClusterLock } from "./lock.ts";
import { writeMarker } from "./marker.ts";
import type { Reporter } from "./reporter.ts";

/**
 * Makes the cluster, or goes on with a creation, clone or erasure that was cut off. Beside a database, only its confirmed
 * primary is converged to: the declared one may be a standby. `observations` were made under `lock`.
 */
export async function createCluster(
  access: ClusterAccess,
  lock: ClusterLock,
  goal: Goal,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<Converged> {
  const { declared } = goal;
  const seen = decide(goal, observations);
  const existing = namedPrimary(seen.state.observed);
  if (
    existing === undefined &&
    reachedMembers(observations).some(({ local: { marker } }) => marker !== undefined && wasCompleted(marker))
  ) {
    throw stopped(
      access.group,
      seen,
      `${seen.state.unfinished} was not finished, and no member is surely the primary to go on from.\n  No data was touched. Bring every member back, and start the primary on its host; then run \`pulumi up\` again.`,
    );
  }
  const primary = existing?.member ?? declared.primary;
  lock.assertHeld();
  // Marked before anything exists: whatever interrupts this, the next `up` knows what was meant for which member.
  await Promise.all(
    reachedMembers(observations)
      .filter(({ local }) => local.marker === undefined)
      .map(({ member }) =>
        writeMarker(declared.cluster, access.member(member), lock, {
          state: member === primary ? "creating" : "cloning",
        }),
      ),
  );
  return converge(access, lock, primary, goal, observations, reporter);
}
