/** Where everything of one cluster under Pacemaker is called how. One place, so that CIB, host helper and cluster/ never disagree. */
export interface PacemakerNames {
  /** The primitive that is one instance on each host. */
  readonly resource: string;
  /** Its promotable clone: what is promoted, and what is put into maintenance. */
  readonly clone: string;
  /** The group of virtual IPs beside the primary. There only when one is declared. */
  readonly addressGroup: string;
  /** The group of the readers' virtual IP, on a standby. There only when it is declared. */
  readonly readersGroup: string;
  /** What the agent takes for PostgreSQL's programs, the same path on every host. */
  readonly programs: string;
  /** What the agent takes for the data directory, the same path on every host: a link to the member's own. */
  readonly dataLink: string;
  /** Where the agent pgsql keeps its own files, unless declared otherwise. */
  readonly agentDirectory: string;
  /** What the agent pgsql takes for postgresql.conf: it adds lines of its own there, which PostgreSQL never reads. */
  readonly agentConfiguration: string;
}

export function pacemakerNames(cluster: string): PacemakerNames {
  return {
    resource: `pgha-${cluster}`,
    clone: `pgha-${cluster}-clone`,
    addressGroup: `pgha-${cluster}-addresses`,
    readersGroup: `pgha-${cluster}-readers`,
    programs: `/etc/pgha/${cluster}/pacemaker`,
    dataLink: `/var/lib/pgha/${cluster}/data`,
    agentDirectory: `/var/lib/pgha/${cluster}/pgsql`,
    agentConfiguration: `/var/lib/pgha/${cluster}/pgsql.conf`,
  };
}

/** The kind of virtual IP that is no primary's: it stays with a standby. */
export const readersKind = "readers";

/** Of some virtual IPs by what they are for those that move with the primary. */
export function withPrimary<T>(virtualIps: Readonly<Record<string, T>>): Record<string, T> {
  const { [readersKind]: _, ...rest } = virtualIps;
  return rest;
}

/** The attribute of a node whose member goes on without standbys: no other one may be promoted. Its value is since when. */
export function relaxedAttribute(cluster: string): string {
  return `pgha-${cluster}-relaxed`;
}

/** The resource of one virtual IP. */
export function addressResource(cluster: string, kind: string): string {
  return `pgha-${cluster}-${kind}-ip`;
}
