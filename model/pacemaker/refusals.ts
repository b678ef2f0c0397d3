import type { Fault } from "../fault.ts";
import type { DeclaredPacemaker } from "./clusterState.ts";

/** Which changes this version cannot make on a running Corosync cluster. `key`: the one that it runs with. */
export function refusedChanges(news: DeclaredPacemaker, olds: DeclaredPacemaker, key: string | undefined): Fault[] {
  const at = ["pgha:pacemaker", news.cluster];
  const faults: Fault[] = [];
  // Without its configuration Pacemaker would stop what it runs: an instance must not end by a line that says who watches it.
  for (const clone of Object.keys(olds.clones).filter((id) => !(id in news.clones))) {
    faults.push({
      path: at,
      found: `${clone}, which is no longer declared while other clusters stay`,
      expected: "the same clusters under it: that one of several leaves is not available in this version",
      remedy: `Declare it as it was, or take the whole entry ${news.cluster} away.`,
    });
  }
  const before = Object.keys(olds.nodes);
  const leaving = before.filter((host) => !(host in news.nodes));
  // They stop before the others count without them. Of two nodes one alone goes on: Corosync's two_node.
  if (leaving.length > 1 && (before.length - leaving.length) * 2 <= before.length) {
    faults.push({
      path: at,
      found: `${before.length - leaving.length} of ${before.length} hosts (${leaving.join(", ")} would leave at once)`,
      expected:
        "more than half of the present ones: the others would lose quorum, and Pacemaker would stop PostgreSQL there",
      remedy: "Take them out one after the other, with an `up` for each.",
    });
  }
  for (const [host, { addresses }] of Object.entries(news.nodes)) {
    const before = olds.nodes[host];
    if (before === undefined || before.addresses.join() === addresses.join()) continue;
    faults.push({
      path: [...at, "rings"],
      found: `${addresses.join(", ")} for ${host} (it was ${before.addresses.join(", ")})`,
      expected:
        "no change of rings or their addresses: Corosync takes it only with a restart, which this version does not do",
      remedy: "Write the old rings and addresses.",
    });
  }
  if (news.corosyncKey !== undefined && key !== undefined && news.corosyncKey !== key) {
    faults.push({
      path: ["pgha:corosyncKey"],
      found: "another key than the one that Corosync runs with",
      expected: "no change: the nodes would no longer hear each other",
      remedy: "Set the old key, or remove it: the one in the state is kept.",
    });
  }
  return faults;
}
