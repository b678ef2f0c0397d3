import type { Fault } from "./fault.ts";
import { memberPaths } from "./names.ts";
import {
  type DirectoryKind,
  isLost,
  type Marker,
  type MemberObservation,
  missingData,
  type ReachedMember,
  reachedMembers,
  wasCompleted,
} from "./observation.ts";

type Problem = Pick<Fault, "found" | "expected" | "remedy"> & { readonly directory: "dataDirectory" | "walDirectory" };

/** Where members' data is to lie, by member. */
export type Directories = Readonly<
  Record<string, { readonly dataDirectory: string; readonly walDirectory?: string | undefined }>
>;

/**
 * Members whose directories hold, or are to hold, what is not ours to write over, whatever is declared. A member whose
 * own data is lost is one of them only as `primary`: the others go on without it, and it is told as unhealthy.
 */
export function strangeData(
  cluster: string,
  members: Directories,
  observations: readonly MemberObservation[],
  primary: string | undefined,
): Fault[] {
  return reachedMembers(observations).flatMap((seen) => {
    const lost = seen.member === primary && isLost(seen) ? lostProblems(cluster, seen) : [];
    return [...strangeProblems(members, seen), ...lost].map((problem) => faultOf(cluster, seen.member, problem));
  });
}

/**
 * Members that an erasure must not touch: strange data, data that is not there, and databases that are not the one of this
 * cluster. `systemIdentifier`: what the state recorded; undefined when nothing was.
 */
export function unerasable(
  cluster: string,
  members: Directories,
  observations: readonly MemberObservation[],
  systemIdentifier: string | undefined,
): Fault[] {
  return reachedMembers(observations).flatMap((seen) =>
    [...strangeProblems(members, seen), ...lostProblems(cluster, seen), ...otherDatabase(seen, systemIdentifier)].map(
      (problem) => faultOf(cluster, seen.member, problem),
    ),
  );
}

/** What others made, or what was made elsewhere. What was begun is ours only where it carries the token of that beginning. */
function strangeProblems(members: Directories, seen: ReachedMember): Problem[] {
  const { marker, dataDirectory, dataToken, walDirectory } = seen.local;
  const declared = members[seen.member]?.dataDirectory ?? "";
  if (marker !== undefined && marker.dataDirectory !== declared) {
    return [
      {
        directory: "dataDirectory",
        found: `${declared}, but the member's data was made in ${marker.dataDirectory}`,
        expected: "the directory where its data lies",
        remedy: `Write dataDirectory: ${marker.dataDirectory}.`,
      },
    ];
  }
  if (marker !== undefined && wasCompleted(marker)) return [];
  const beginning = marker === undefined ? undefined : beginnings[marker.state];
  const found = [
    { directory: "dataDirectory", path: declared, kind: dataDirectory, token: dataToken } as const,
    ...(walDirectory === undefined
      ? []
      : [{ ...walDirectory, directory: "walDirectory", path: walDirectory.directory } as const]),
  ];
  return found
    .filter(({ kind }) => kind === "data" || kind === "foreign")
    .filter(({ token }) => marker?.token === undefined || token !== marker.token)
    .map(({ directory, path, kind }) => ({ directory, ...notOurs(path, kind, beginning) }));
}

const beginnings: Readonly<Partial<Record<Marker["state"], string>>> = {
  creating: "a creation",
  cloning: "a clone",
  erasing: "an erasure",
};

function notOurs(path: string, kind: DirectoryKind, beginning: string | undefined) {
  const holds = kind === "data" ? "a database" : "files";
  if (beginning === undefined) {
    return {
      found: `${path} holds ${holds} that pgha did not make`,
      expected: "a missing or empty directory; what is there is never overwritten",
      remedy: "Choose another directory, or move away what is there.",
    };
  }
  return {
    found: `${path} holds ${holds} without pgha's token, though ${beginning} was begun there`,
    expected: `an empty directory, or what ${beginning.replace(/^an? /, "that ")} left; what is there is never removed`,
    remedy:
      "Unmount or move away what is there. A file system without extended attributes keeps no token: if it is surely what was left, empty the directory.",
  };
}

function lostProblems(cluster: string, seen: ReachedMember): Problem[] {
  const missing = missingData(seen.local);
  if (missing === undefined) return [];
  return [
    {
      directory: missing.directory,
      found: `${missing.text}, though the member is marked ready`,
      expected: `its data (system ${seen.local.marker?.systemIdentifier ?? "unknown"})`,
      remedy: `${wayBack(cluster, seen)}.`,
    },
  ];
}

/** What an operator does about a member whose data is not there. */
export function wayBack(cluster: string, { member, local }: ReachedMember): string {
  const { marker } = memberPaths(cluster, member);
  const remove = local.dataDirectory === "data" ? `${marker} and what ${local.marker?.dataDirectory} holds` : marker;
  return `Mount its volume. If the data is really lost, remove ${remove} there, and \`pulumi up\` clones it anew`;
}

function otherDatabase({ local, postgres }: ReachedMember, systemIdentifier: string | undefined): Problem[] {
  const { marker, controlData } = local;
  if (marker?.state !== "ready") return [];
  const live = postgres?.systemIdentifier ?? controlData?.systemIdentifier;
  const expected = systemIdentifier ?? marker.systemIdentifier;
  const other = [marker.systemIdentifier, live].find((one) => one !== undefined && one !== expected);
  if (other === undefined) return [];
  return [
    {
      directory: "dataDirectory",
      found: `the database with system identifier ${other}`,
      expected: `${expected}, the cluster's own; what belongs to others is never erased`,
      remedy: "Take the member out of members:, or write onDestroy: keep, and run `pulumi up` first.",
    },
  ];
}

function faultOf(cluster: string, member: string, { directory, ...fault }: Problem): Fault {
  return { path: ["pgha:clusters", cluster, "members", member, directory], ...fault };
}

/**
 * Why a new database must not be made on `primary`; undefined when it may: every member was reached, none holds a finished
 * database or one that nobody marked, and the primary's directory is empty or was begun by a creation that did not end.
 */
export function refusalToInitialise(primary: string, observations: readonly MemberObservation[]): string | undefined {
  for (const seen of observations) {
    if (!seen.reached) return `${seen.member} cannot be reached, and may hold the data (${seen.reason})`;
    const own = seen.local.marker;
    if (own !== undefined && wasCompleted(own)) {
      return `${seen.member} is marked ${own.state}: there is, or was, a database`;
    }
    const { marker, dataDirectory } = seen.local;
    if (seen.member !== primary) {
      if (marker === undefined && dataDirectory === "data") return `${seen.member} holds a database, marked by nobody`;
      continue;
    }
    if (marker?.state === "creating" || dataDirectory === "empty" || dataDirectory === "missing") continue;
    return `${seen.member} holds something, marked ${marker?.state ?? "by nobody"}`;
  }
  return undefined;
}
