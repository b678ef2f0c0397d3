import type { Group } from "../../model/group.ts";
import { endpointsOf, memberOf } from "../../model/group.ts";
import { memberPaths } from "../../model/names.ts";
import { type MemberObservation, reachedMembers } from "../../model/observation.ts";
import { namedPrimary, observePrimary } from "../../model/observedPrimary.ts";
import { idleNodes, staysInMaintenance } from "../../model/pacemaker/operatorOrders.ts";
import { actsOn, pacemakerView, standsBackSince } from "../../model/pacemaker/view.ts";
import type { RemoteHost } from "../../remote/host.ts";
import type { Hold } from "../order.ts";
import type { Reporter } from "../reporter.ts";
import type { FailoverManager } from "./manager.ts";
import { controlPacemaker } from "./pacemakerControl.ts";

/**
 * Pacemaker. He stands back by `maintenance` of this cluster's clone and addresses alone; an attribute of every node, set before
 * and removed after it, tells that it is ours and not an operator's. `hosts`: of the members, in their order.
 */
export function pacemakerManager(group: Group, hosts: readonly RemoteHost[]): FailoverManager {
  const control = controlPacemaker({
    cluster: group.cluster,
    addressKinds: Object.keys(group.virtualIps),
    members: hosts.map((host, index) => ({
      host,
      memberFile: memberPaths(group.cluster, group.members[index]?.name ?? host.name).memberFile,
    })),
  });
  let asked: Promise<boolean> | undefined;
  /** Not where he does not manage this cluster yet. */
  let stoodBack = false;

  return {
    startsMembers: true,
    async standBack(lock: Hold) {
      asked ??= control.standBack(lock.epoch);
      stoodBack ||= await asked;
    },
    standsBack: (seen) => stoodBack || standsBackSince(pacemakerView(seen), group.cluster) !== undefined,
    acts: (seen) => actsOn(pacemakerView(seen), group.cluster),
    async resume(seen: readonly MemberObservation[], reporter: Reporter) {
      const primary = namedPrimary(observePrimary(seen, endpointsOf(group)));
      if (primary === undefined) {
        reporter.warn(`${group.cluster}: Pacemaker still stands back, for who is primary cannot be told`);
        return;
      }
      const running = reachedMembers(seen).filter(({ postgres }) => postgres !== undefined);
      const managed = await control.manageAgain({
        primaryNode: memberOf(group, primary.member).host,
        runningNodes: running.map(({ member }) => memberOf(group, member).host),
        idleNodes: idleNodes(pacemakerView(seen), group.cluster),
      });
      if (managed) reporter.progress("Pacemaker manages again");
      else
        reporter.warn(`${group.cluster}: ${staysInMaintenance(group.cluster, memberOf(group, primary.member).host)}`);
      asked = undefined;
      stoodBack = false;
    },
  };
}
