import type { Fault } from "./fault.ts";
import { memberPaths } from "./names.ts";
import { within } from "./schema.ts";

/** Where a member is. A place is not handed from one name to another: service, slots, paths and marker bear the name. */
export interface Place {
  readonly cluster: string;
  readonly member: string;
  readonly host: string;
  /** Service address of the host, which may have got a new name itself. */
  readonly address: string;
  readonly port: number;
  readonly dataDirectory: string;
  readonly walDirectory?: string | undefined;
}

/**
 * Members and clusters that are declared where others were up to now. To Pulumi a new name is something to make and something
 * to remove, in this order: beside the data of the old one, and then by its onDestroy. So nothing of it is begun.
 */
export function renamingFaults(before: readonly Place[], now: readonly Place[]): Fault[] {
  const gone = before.filter((old) => !now.some((place) => isSame(place, old)));
  const taken = now
    .filter((place) => !before.some((old) => isSame(place, old)))
    .flatMap((place) => {
      const old = gone.find((candidate) => overlaps(candidate, place));
      return old === undefined ? [] : [{ place, old }];
    });
  const members = taken.filter(({ place, old }) => place.cluster === old.cluster);
  const clusters = new Map<string, typeof taken>();
  for (const one of taken) {
    const { place, old } = one;
    if (place.cluster === old.cluster) continue;
    const pair = `${old.cluster} ${place.cluster}`;
    clusters.set(pair, [...(clusters.get(pair) ?? []), one]);
  }
  return [...members.map(({ place, old }) => memberFault(place, old)), ...[...clusters.values()].map(clusterFault)];
}

function memberFault(place: Place, old: Place): Fault {
  return {
    path: ["pgha:clusters", place.cluster, "members", place.member],
    found: `${place.member} in the place of ${old.member} (${placeText(place, old)}), and ${old.member} gone`,
    expected: `${old.member}: a member is not renamed, its service, slots and data bear its name`,
    remedy: `Write ${old.member} again. To replace it: first take ${old.member} out of members: and run \`pulumi up\`, then ${clearing(old)}, then add ${place.member}.`,
  };
}

function clusterFault(taken: readonly { readonly place: Place; readonly old: Place }[]): Fault {
  const first = taken[0];
  if (first === undefined) throw new Error("a pair of clusters has a member");
  const { place, old } = first;
  const places = taken.map((one) => `${one.old.member} (${placeText(one.place, one.old)})`).join(", ");
  return {
    path: ["pgha:clusters", place.cluster],
    found: `${place.cluster} in the place of ${old.cluster}: ${places}, and ${old.cluster} without it`,
    expected: `${old.cluster}: a cluster is not renamed, its services, slots and data bear its name`,
    remedy: `Write ${old.cluster} again. To make a new cluster instead: give it ports and directories of its own, or first take ${old.cluster} away with \`pulumi up\` (its onDestroy decides about its data).`,
  };
}

/** What has to be done on the host before somebody else may have the place. */
export function clearing({
  cluster,
  member,
  host,
  dataDirectory,
}: Pick<Place, "cluster" | "member" | "host" | "dataDirectory">): string {
  const { unit, marker } = memberPaths(cluster, member);
  return `on ${host} \`systemctl disable --now ${unit}\` and remove ${dataDirectory} and ${marker}`;
}

function isSame(one: Place, other: Place): boolean {
  return one.cluster === other.cluster && one.member === other.member;
}

function directoriesOf({ dataDirectory, walDirectory }: Place): string[] {
  return walDirectory === undefined ? [dataDirectory] : [dataDirectory, walDirectory];
}

function commonDirectory(one: Place, other: Place): string | undefined {
  return directoriesOf(one).find((mine) =>
    directoriesOf(other).some((theirs) => within(mine, theirs) || within(theirs, mine)),
  );
}

function overlaps(one: Place, other: Place): boolean {
  const sameHost = one.host === other.host || one.address === other.address;
  return sameHost && (one.port === other.port || commonDirectory(one, other) !== undefined);
}

function placeText(place: Place, old: Place): string {
  const directory = commonDirectory(place, old);
  const parts = [`host ${place.host}`];
  if (place.port === old.port) parts.push(`port ${place.port}`);
  if (directory !== undefined) parts.push(directory);
  return parts.join(", ");
}
