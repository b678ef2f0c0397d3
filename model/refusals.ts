import type { Fault } from "./fault.ts";
import type { GroupInputs } from "./group.ts";
import { type MemberObservation, type ReachedMember, reachedMembers } from "./observation.ts";
import { formatSetting, needsRestart, sameSetting } from "./parameters.ts";
import { type Place, renamingFaults } from "./renames.ts";

/** Changes of the declaration that this version cannot carry out on a cluster that exists. Nothing is touched when there is one. */
export function refusedChanges(
  news: GroupInputs,
  olds: GroupInputs | undefined,
  observations: readonly MemberObservation[],
): Fault[] {
  const at = (...path: string[]) => ["pgha:clusters", news.cluster, ...path];
  const faults: Fault[] = [];
  if (olds !== undefined) {
    for (const key of ["postgresVersion", "walSegmentSize"] as const) {
      if (news[key] !== olds[key]) {
        faults.push({
          path: at(key),
          found: `${news[key]} (it was ${olds[key]})`,
          expected: "no change: it is decided at creation",
          remedy: "Write the old value, or make a new cluster.",
        });
      }
    }
    const [before, after] = [olds, news].map(({ virtualIps }) => Object.keys(virtualIps).length > 0);
    if (before !== after && reachedMembers(observations).some((seen) => seen.postgres !== undefined)) {
      faults.push({
        path: at("virtualIps"),
        found: after ? "the first one, on a running cluster" : "none any more, on a running cluster",
        expected:
          "no change between none and some: it changes listen_addresses, which takes effect only after a restart",
        remedy: "Write them as they were. Virtual IPs are declared when the cluster is created.",
      });
    }
    faults.push(...renamingFaults(placesOf(olds), placesOf(news)));
    for (const [name, member] of Object.entries(news.members)) {
      const old = olds.members[name];
      if (old === undefined) continue;
      for (const key of ["host", "port", "dataDirectory", "walDirectory"] as const) {
        if (member[key] === old[key]) continue;
        faults.push({
          path: at("members", name, key),
          found: `${member[key] ?? "nothing"} (it was ${old[key] ?? "nothing"})`,
          expected: "no change: where a member lies is decided when it is added",
          remedy: "Write the old value, or add a member of another name.",
        });
      }
    }
  }
  faults.push(...restartFaults(news, olds, observations));
  return faults;
}

function placesOf({ cluster, members }: GroupInputs): Place[] {
  return Object.entries(members).map(([member, { serviceAddress: address, ...place }]) => ({
    ...place,
    cluster,
    member,
    address,
  }));
}

function restartFaults(
  news: GroupInputs,
  olds: GroupInputs | undefined,
  observations: readonly MemberObservation[],
): Fault[] {
  const running = reachedMembers(observations).filter((seen) => seen.postgres !== undefined);
  const changed = Object.entries(news.parameters).flatMap(([name, value]): Fault[] => {
    if (!needsRestart(name, news.postgresVersion)) return [];
    const live = running
      .map((seen) => liveSetting(seen, name))
      .find((setting) => setting !== undefined && !sameSetting(value, setting));
    return live === undefined
      ? []
      : [restartFault(news.cluster, name, `${value} (running with ${formatSetting(live)})`)];
  });
  const removed = Object.keys(olds?.parameters ?? {}).filter(
    (name) => needsRestart(name, news.postgresVersion) && !(name in news.parameters),
  );
  return [...changed, ...removed.map((name) => restartFault(news.cluster, name, "nothing (its line was removed)"))];
}

function liveSetting(seen: ReachedMember, name: string) {
  return seen.postgres?.settings[name.toLowerCase()];
}

function restartFault(cluster: string, name: string, found: string): Fault {
  return {
    path: ["pgha:clusters", cluster, "parameters", name],
    found,
    expected: "no change on a running cluster: it takes effect only after a restart, which this version does not do",
    remedy: "Write the old value.",
  };
}
