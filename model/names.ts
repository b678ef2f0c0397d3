/** Where everything of one member lies on its host. One place, so that templates, agent and cluster never disagree. */
export interface MemberPaths {
  readonly configDirectory: string;
  readonly stateDirectory: string;
  readonly unit: string;
  /** What fills the data directory runs in it: whoever begins anew ends all of it first. */
  readonly dataUnit: string;
  /** What lets a former primary come back at boot. There only where that is declared. */
  readonly rejoinUnit: string;
  /** What lets commits go on without standbys. There only where that is declared. */
  readonly relaxUnit: string;
  readonly postgresqlConf: string;
  readonly roleConf: string;
  /** Under the agent pgsql: what it decided of synchronous commit. Read after roleConf; absent: as declared. */
  readonly repMode: string;
  /** There while commits go on without standbys; included by the role file. */
  readonly relaxedConf: string;
  readonly hba: string;
  readonly ident: string;
  readonly passfile: string;
  readonly marker: string;
  readonly journal: string;
  readonly lock: string;
  /** The right to promote, on the target of a handover. */
  readonly ticket: string;
  /** What the old primary of a handover did. */
  readonly switch: string;
  /** Of which handover the target was given up, on every member that was reached then. */
  readonly givenUp: string;
  /** The boot in which this member proved its right to start as primary. */
  readonly pass: string;
  /** Why it waits at its boot gate; gone when it does not. */
  readonly gateReason: string;
  /** There while it waits because another member can take over sooner than it has recovered. */
  readonly yields: string;
  /** Sockets of the units of a handover. */
  readonly runDirectory: string;
  /** What the host helper knows of this member. */
  readonly memberFile: string;
  /** Private key with which this member's host asks the others; its public half ends in ".pub". */
  readonly channelKey: string;
  readonly knownHosts: string;
  /** The keys of the others, a part of the authorized_keys of the host. */
  readonly authorized: string;
  /** Held while a rewind or a clone works on the member's data. */
  readonly rejoinLock: string;
  /** What pg_rewind said the last time. */
  readonly rewindLog: string;
  /** WAL of the member's own that was set aside before it was rewound or cloned away. */
  readonly kept: string;
  readonly logDirectory: string;
}

export function memberPaths(cluster: string, member: string): MemberPaths {
  const configDirectory = `/etc/pgha/${cluster}/${member}`;
  const stateDirectory = `/var/lib/pgha/${cluster}/${member}`;
  return {
    configDirectory,
    stateDirectory,
    unit: `pgha-${cluster}-${member}.service`,
    // No name has a dot: it is no other member's.
    dataUnit: `pgha-${cluster}-${member}.data.service`,
    rejoinUnit: `pgha-${cluster}-${member}.rejoin.service`,
    relaxUnit: `pgha-${cluster}-${member}.relax.service`,
    postgresqlConf: `${configDirectory}/postgresql.conf`,
    roleConf: `${configDirectory}/role.conf`,
    repMode: `${configDirectory}/rep_mode.conf`,
    relaxedConf: `${configDirectory}/relaxed.conf`,
    hba: `${configDirectory}/pg_hba.conf`,
    ident: `${configDirectory}/pg_ident.conf`,
    passfile: `${configDirectory}/passfile`,
    marker: `${stateDirectory}/marker.json`,
    journal: `${stateDirectory}/journal.json`,
    lock: `${stateDirectory}/lock.json`,
    ticket: `${stateDirectory}/ticket.json`,
    switch: `${stateDirectory}/switch.json`,
    givenUp: `${stateDirectory}/given-up.json`,
    pass: `${stateDirectory}/pass`,
    gateReason: `/run/pgha/${cluster}-${member}/gate`,
    yields: `/run/pgha/${cluster}-${member}/yields`,
    runDirectory: `/run/pgha/${cluster}-${member}`,
    memberFile: `${configDirectory}/member.json`,
    channelKey: `${configDirectory}/channel_key`,
    knownHosts: `${configDirectory}/known_hosts`,
    authorized: `${channelHome}/authorized/${cluster}-${member}`,
    rejoinLock: `${stateDirectory}/rejoin.lock`,
    rewindLog: `${stateDirectory}/rewind.log`,
    kept: `${stateDirectory}/kept`,
    logDirectory: `/var/log/postgresql/${cluster}-${member}`,
  };
}

/** Home of the account that other hosts log in to; sshd reads its authorized_keys there. */
export const channelHome = "/etc/pgha/channel";

/** Where the host helper lies on every host. */
export const agentPath = "/usr/local/lib/pgha/agent.py";
export const startGatePath = "/usr/local/lib/pgha/start-gate";
/** Where a clone is made that is to take the place of a directory; the same in agent/rejoin.py */
export function besideDirectory(directory: string): string {
  return `${directory}.pgha-clone`;
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

/** By which a slot of ours is told from somebody else's. */
export const slotPrefix = "pgha_";

/** The physical slot that a member keeps for another one: slot names allow no hyphen. */
export function slotName(member: string): string {
  return `${slotPrefix}${member.replaceAll("-", "_")}`;
}
