import type { Fault } from "./fault.ts";
import { memberPaths } from "./names.ts";
import { type MemberObservation, type ReachedMember, reachedMembers } from "./observation.ts";

/** What lies where a member's data is to be, by what its marker says. Only `ours`, `begun` and `nothing` may be written to. */
type Ownership =
  | { readonly kind: "ours" | "begun" | "nothing" }
  | { readonly kind: "strange"; readonly found: string; readonly expected: string; readonly remedy: string };

function ownershipOf(cluster: string, seen: ReachedMember, declaredDirectory: string): Ownership {
  const { marker, dataDirectory } = seen.local;
  const holds = dataDirectory === "data" ? "a database" : "files";
  const isEmpty = dataDirectory === "empty" || dataDirectory === "missing";
  if (marker === undefined) {
    if (isEmpty) return { kind: "nothing" };
    return {
      kind: "strange",
      found: `${declaredDirectory} holds ${holds} that pgha did not make`,
      expected: "a missing or empty directory; what is there is never overwritten",
      remedy: "Choose another directory, or move away what is there.",
    };
  }
  if (marker.dataDirectory !== declaredDirectory) {
    return {
      kind: "strange",
      found: `${declaredDirectory}, but the member's data was made in ${marker.dataDirectory}`,
      expected: "the directory where its data lies",
      remedy: `Write dataDirectory: ${marker.dataDirectory}.`,
    };
  }
  if (marker.state !== "ready") return { kind: "begun" };
  if (dataDirectory === "data") return { kind: "ours" };
  return {
    kind: "strange",
    found: `${declaredDirectory} ${isEmpty ? dataDirectory : `with ${holds} of somebody else`}, though it is marked ready`,
    expected: `the member's data (system ${marker.systemIdentifier ?? "unknown"})`,
    remedy: `Mount its volume. If the data is really lost, remove ${memberPaths(cluster, seen.member).marker} there, and \`pulumi up\` clones it anew.`,
  };
}

type Directories = Readonly<Record<string, { readonly dataDirectory: string }>>;

/** Members whose directory must not be written to, whatever is declared: a clone would destroy what lies there or will be mounted there. */
export function strangeData(
  cluster: string,
  members: Directories,
  observations: readonly MemberObservation[],
): Fault[] {
  return reachedMembers(observations).flatMap((seen): Fault[] => {
    const owned = ownershipOf(cluster, seen, members[seen.member]?.dataDirectory ?? "");
    return owned.kind === "strange" ? [faultOf(cluster, seen.member, owned)] : [];
  });
}

/**
 * Members that an erasure must not touch: strange data, and databases that are not the one of this cluster.
 * `systemIdentifier`: what the state recorded; undefined when nothing was.
 */
export function unerasable(
  cluster: string,
  members: Directories,
  observations: readonly MemberObservation[],
  systemIdentifier: string | undefined,
): Fault[] {
  const foreign = reachedMembers(observations).flatMap((seen): Fault[] => {
    const { marker, controlData } = seen.local;
    if (marker?.state !== "ready") return [];
    const live = seen.postgres?.systemIdentifier ?? controlData?.systemIdentifier;
    const expected = systemIdentifier ?? marker.systemIdentifier;
    const other = [marker.systemIdentifier, live].find((one) => one !== undefined && one !== expected);
    if (other === undefined) return [];
    return [
      faultOf(cluster, seen.member, {
        found: `the database with system identifier ${other}`,
        expected: `${expected}, the cluster's own; what belongs to others is never erased`,
        remedy: "Take the member out of members:, or write onDestroy: keep, and run `pulumi up` first.",
      }),
    ];
  });
  return [...strangeData(cluster, members, observations), ...foreign];
}

function faultOf(cluster: string, member: string, fault: Pick<Fault, "found" | "expected" | "remedy">): Fault {
  const { found, expected, remedy } = fault;
  return { path: ["pgha:clusters", cluster, "members", member, "dataDirectory"], found, expected, remedy };
}

/**
 * Why a new database must not be made on `primary`; undefined when it may: every member was reached, none holds a finished
 * database, and the primary's directory is empty or was begun by a creation that did not end.
 */
export function refusalToInitialise(primary: string, observations: readonly MemberObservation[]): string | undefined {
  for (const seen of observations) {
    if (!seen.reached) return `${seen.member} cannot be reached, and may hold the data (${seen.reason})`;
    if (seen.local.marker?.state === "ready") return `${seen.member} is marked ready: there is, or was, a database`;
    if (seen.member !== primary) continue;
    const { marker, dataDirectory } = seen.local;
    if (marker?.state === "creating" || dataDirectory === "empty" || dataDirectory === "missing") continue;
    return `${seen.member} holds something, marked ${marker?.state ?? "by nobody"}`;
  }
  return undefined;
}
