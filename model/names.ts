/** Where everything of one member lies on its host. One place, so that templates, agent and cluster never disagree. */
export interface MemberPaths {
  readonly configDirectory: string;
  readonly stateDirectory: string;
  readonly unit: string;
  readonly postgresqlConf: string;
  readonly roleConf: string;
  readonly hba: string;
  readonly ident: string;
  readonly passfile: string;
  readonly marker: string;
  readonly journal: string;
  readonly lock: string;
  readonly logDirectory: string;
}

export function memberPaths(cluster: string, member: string): MemberPaths {
  const configDirectory = `/etc/pgha/${cluster}/${member}`;
  const stateDirectory = `/var/lib/pgha/${cluster}/${member}`;
  return {
    configDirectory,
    stateDirectory,
    unit: `pgha-${cluster}-${member}.service`,
    postgresqlConf: `${configDirectory}/postgresql.conf`,
    roleConf: `${configDirectory}/role.conf`,
    hba: `${configDirectory}/pg_hba.conf`,
    ident: `${configDirectory}/pg_ident.conf`,
    passfile: `${configDirectory}/passfile`,
    marker: `${stateDirectory}/marker.json`,
    journal: `${stateDirectory}/journal.json`,
    lock: `${stateDirectory}/lock.json`,
    logDirectory: `/var/log/postgresql/${cluster}-${member}`,
  };
}

/** Where Debian's packages put the programs of one major version. */
export function postgresPrograms(postgresVersion: number): string {
  return `/usr/lib/postgresql/${postgresVersion}/bin`;
}

export function defaultDataDirectory(postgresVersion: number, cluster: string, member: string): string {
  return `/var/lib/postgresql/${postgresVersion}/${cluster}-${member}`;
}

/** Debian's directory for Unix sockets; every instance of a host shares it, told apart by port. */
export const socketDirectory = "/var/run/postgresql";

/** The role that standbys connect with. */
export const replicationRole = "replicator";

/** The physical slot that a member keeps for another one: slot names allow no hyphen. */
export function slotName(member: string): string {
  return `pgha_${member.replaceAll("-", "_")}`;
}
