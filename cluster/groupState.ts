import { withoutForeignSecrets } from "../model/foreignLines.ts";
import { endpointsOf, type Group } from "../model/group.ts";
import type { Configuration, GroupState } from "../model/groupDiff.ts";
import { fullVolumes, memberHealth, slotsInUse } from "../model/health.ts";
import { memberPaths } from "../model/names.ts";
import type { MemberObservation } from "../model/observation.ts";
import { namedPrimary, observePrimary } from "../model/observedPrimary.ts";
import { stoppedByOrder } from "../model/pacemaker/operatorOrders.ts";
import { leftStandingBack, relaxedMembers } from "../model/pacemaker/view.ts";
import { renderConfiguration, renderRole, steadyRole } from "../model/rendering.ts";
import type { Applied } from "../model/situation.ts";
import { switchBackOf } from "../model/switchBack.ts";
import { unfinishedWork } from "../model/unfinished.ts";

/** Short names of a member's files, as a diff shows them. */
function shortName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Every file of every member as declared, in the steady state. */
export function declaredConfiguration(group: Group): Configuration {
  return Object.fromEntries(
    group.members.map((member) => {
      const files: Record<string, string> = {
        ...renderConfiguration(group, member),
        [memberPaths(group.cluster, member.name).roleConf]: renderRole(group, member, steadyRole),
      };
      return [member.name, Object.fromEntries(Object.entries(files).map(([path, text]) => [shortName(path), text]))];
    }),
  );
}

/** What the observations say about a cluster, without anything that changes from one look to the next. `now`: for maintenance windows. */
export function stateOf(
  group: Group,
  observations: readonly MemberObservation[],
  before: { readonly primary: string; readonly applied?: Applied | undefined },
  now = new Date(),
): GroupState {
  const observed = observePrimary(observations, endpointsOf(group));
  const named = namedPrimary(observed)?.member;
  const unhealthy = named === undefined ? {} : memberHealth(group, named, observations);
  const relaxed = relaxedMembers(group, observations);
  const inUse = slotsInUse(group, observations);
  const ordered = stoppedByOrder(group, named, observations);
  const full = fullVolumes(group, observations);
  const alterSystem: Record<string, Readonly<Record<string, "set">>> = {};
  const configuration: Record<string, Readonly<Record<string, string>>> = {};
  const unreachable: Record<string, string> = {};
  const wrongHostKeys: Record<string, string> = {};
  const declared = declaredConfiguration(group);
  for (const seen of observations) {
    if (!seen.reached) {
      (seen.wrongHostKey === true ? wrongHostKeys : unreachable)[seen.member] = seen.reason;
      continue;
    }
    configuration[seen.member] = Object.fromEntries(
      Object.entries(seen.local.files).map(([path, text]) => {
        const name = shortName(path);
        return [name, withoutForeignSecrets(text, declared[seen.member]?.[name])];
      }),
    );
    const names = seen.postgres?.alterSystem ?? [];
    if (names.length > 0) alterSystem[seen.member] = Object.fromEntries(names.map((name) => [name, "set"] as const));
  }
  const unfinished = unfinishedWork(observations);
  const standsBack = leftStandingBack(group, observations);
  const switchBack = switchBackOf(group, observed, observations, now);
  return {
    primary: named ?? before.primary,
    ...(before.applied === undefined ? {} : { applied: before.applied }),
    observed,
    ...(unfinished === undefined ? {} : { unfinished }),
    ...(group.onDrift === "switchBack" ? { switchBackDue: switchBack?.due ?? false } : {}),
    ...(switchBack?.waitsFor === undefined ? {} : { switchBackWaitsFor: switchBack.waitsFor }),
    ...(standsBack === undefined ? {} : { standsBack }),
    ...(Object.keys(unhealthy).length === 0 ? {} : { unhealthy }),
    ...(Object.keys(inUse).length === 0 ? {} : { slotsInUse: inUse }),
    ...(Object.keys(full).length === 0 ? {} : { fullVolumes: full }),
    ...(Object.keys(ordered).length === 0 ? {} : { stoppedByOrder: ordered }),
    ...(Object.keys(relaxed).length === 0 ? {} : { relaxed }),
    ...(Object.keys(unreachable).length === 0 ? {} : { unreachable }),
    ...(Object.keys(wrongHostKeys).length === 0 ? {} : { wrongHostKeys }),
    ...(Object.keys(alterSystem).length === 0 ? {} : { alterSystem }),
    configuration,
  };
}
