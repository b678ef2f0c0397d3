import { commitRule, electionRule, type RuledShape, type RulesInEffect, standbyNames } from "./commitRule.ts";
import type { MemberDeclaration, Synchronous } from "./declaration.ts";
import {
  agentPath,
  memberPaths,
  postgresPrograms,
  replicationRole,
  slotName,
  socketDirectory,
  startGatePath,
} from "./names.ts";
import { pacemakerNames, relaxedAttribute } from "./pacemaker/names.ts";
import type { DeclaredPgsql } from "./pacemaker/pgsqlParameters.ts";
import { booleanOf } from "./parameters.ts";
import { render } from "./template.ts";

/** What rendering a cluster's files needs; the provider's inputs have just this shape. */
export interface ClusterShape {
  readonly cluster: string;
  readonly postgresVersion: number;
  readonly members: readonly MemberDeclaration[];
  readonly parameters: Readonly<Record<string, string>>;
  readonly clientNetworks: readonly string[];
  readonly synchronous: Synchronous;
  /** What holds of it while a change is not complete. Default: as declared. */
  readonly rules?: RulesInEffect | undefined;
  /** After so long commits go on without standbys; undefined: never. */
  readonly relaxAfterSeconds?: number | undefined;
  readonly slotSizeLimit: string;
  /** Who fails over when a host dies. */
  readonly failover: DrivingManager;
  /** Addresses that move with the primary, by what they are for. */
  readonly virtualIps: Readonly<Record<string, VirtualIp>>;
  /** Operating-system users that may be postgres on the Unix socket: root and the SSH users. */
  readonly socketUsers: readonly string[];
}

/** Who fails over, as far as a cluster's files know of him. */
export type DrivingManager =
  | { readonly manager: "none" }
  | { readonly manager: "pacemaker"; readonly agent: "paf"; readonly autoRejoin?: true | undefined }
  | { readonly manager: "pacemaker"; readonly agent: "pgsql"; readonly pgsql: DeclaredPgsql };

/** One address that moves with the primary. */
export interface VirtualIp {
  /** Without its prefix. */
  readonly address: string;
  /** Bits of its network. */
  readonly prefix: number;
  /** The interface that carries it. Undefined: the one that has an address in the same network. */
  readonly nic?: string | undefined;
}

/** A text inside single quotes of a PostgreSQL configuration file, where a backslash begins an escape. */
function quoted(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("'", "''");
}

/** Settings of ours that a declared parameter replaces; the others are fixed. */
const replaceable = {
  ownWalLevel: "wal_level",
  ownMaxWalSenders: "max_wal_senders",
  ownMaxReplicationSlots: "max_replication_slots",
  ownWalLogHints: "wal_log_hints",
  ownWalKeepSize: "wal_keep_size",
  ownWalSenderTimeout: "wal_sender_timeout",
  ownWalReceiverTimeout: "wal_receiver_timeout",
  ownWalReceiverStatusInterval: "wal_receiver_status_interval",
  ownTcpUserTimeout: "tcp_user_timeout",
  ownTcpKeepalivesIdle: "tcp_keepalives_idle",
  ownTcpKeepalivesInterval: "tcp_keepalives_interval",
  ownTcpKeepalivesCount: "tcp_keepalives_count",
  ownLogFilename: "log_filename",
  ownLogTruncateOnRotation: "log_truncate_on_rotation",
  ownLogRotationAge: "log_rotation_age",
  ownLogRotationSize: "log_rotation_size",
  ownLogLinePrefix: "log_line_prefix",
} as const;

export function renderPostgresqlConf(shape: ClusterShape, member: MemberDeclaration): string {
  const paths = memberPaths(shape.cluster, member.name);
  const declared = new Set(Object.keys(shape.parameters).map((name) => name.toLowerCase()));
  const own = Object.fromEntries(Object.entries(replaceable).map(([flag, name]) => [flag, !declared.has(name)]));
  const addresses = new Set(["127.0.0.1", "::1", member.serviceAddress, member.replicationAddress]);
  return render("postgresql/postgresql.conf.hbs", {
    ...own,
    cluster: shape.cluster,
    member: member.name,
    version: shape.postgresVersion,
    // An address that comes with the primary is not there when PostgreSQL starts.
    listenAddresses: Object.keys(shape.virtualIps).length > 0 ? "*" : [...addresses].join(", "),
    port: member.port,
    socketDirectory,
    hba: paths.hba,
    ident: paths.ident,
    maxWalSenders: Math.max(10, 2 * shape.members.length + 4),
    slotSizeLimit: shape.slotSizeLimit,
    logDirectory: paths.logDirectory,
    roleConf: paths.roleConf,
    ...(pgsqlMode(shape) === "sync" ? { repMode: paths.repMode } : {}),
    parameters: Object.entries(shape.parameters)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => ({ name, value: quoted(value) })),
  });
}

export function renderHba(shape: ClusterShape, member: MemberDeclaration): string {
  return render("postgresql/pg_hba.conf.hbs", {
    cluster: shape.cluster,
    member: member.name,
    replicationRole,
    peers: shape.members
      .filter((other) => other.name !== member.name)
      .map((other) => ({ member: other.name, address: hostNetwork(other.replicationAddress) })),
    clientNetworks: shape.clientNetworks,
  });
}

/** The worker that copies failover slots to a standby (PostgreSQL 17) asks the primary's database postgres for them. */
function syncsSlots(shape: ClusterShape): boolean {
  const declared = Object.entries(shape.parameters).find(([name]) => name.toLowerCase() === "sync_replication_slots");
  return declared !== undefined && booleanOf(declared[1]) === true;
}

function hostNetwork(address: string): string {
  return address.includes(":") ? `${address}/128` : `${address}/32`;
}

export function renderIdent(shape: ClusterShape): string {
  return render("postgresql/pg_ident.conf.hbs", { users: [...new Set(["postgres", "root", ...shape.socketUsers])] });
}

export function renderUnit(shape: ClusterShape, member: MemberDeclaration): string {
  return render("systemd/instance.service.hbs", {
    cluster: shape.cluster,
    member: member.name,
    version: shape.postgresVersion,
    dataDirectory: member.dataDirectory,
    walDirectory: member.walDirectory,
    programs: postgresPrograms(shape.postgresVersion),
    postgresqlConf: memberPaths(shape.cluster, member.name).postgresqlConf,
    startGate: startGatePath,
  });
}

/** The unit that lets a former primary come back at boot; undefined where that is not declared. */
export function renderRejoinUnit(shape: ClusterShape, member: MemberDeclaration): string | undefined {
  if (!comesBack(shape)) return undefined;
  return render("systemd/rejoin.service.hbs", {
    cluster: shape.cluster,
    member: member.name,
    dataDirectory: member.dataDirectory,
    walDirectory: member.walDirectory,
    agent: agentPath,
    memberFile: memberPaths(shape.cluster, member.name).memberFile,
  });
}

/** The unit that lets commits go on without standbys; undefined where that is not declared. */
export function renderRelaxUnit(shape: ClusterShape, member: MemberDeclaration): string | undefined {
  if (shape.relaxAfterSeconds === undefined) return undefined;
  return render("systemd/relax.service.hbs", {
    cluster: shape.cluster,
    member: member.name,
    agent: agentPath,
    memberFile: memberPaths(shape.cluster, member.name).memberFile,
  });
}

/** The files of one member that only change with the declaration, by path. The role file is `renderRole`'s. */
export function renderConfiguration(shape: ClusterShape, member: MemberDeclaration): Readonly<Record<string, string>> {
  const paths = memberPaths(shape.cluster, member.name);
  return {
    [paths.postgresqlConf]: renderPostgresqlConf(shape, member),
    [paths.hba]: renderHba(shape, member),
    [paths.ident]: renderIdent(shape),
    [paths.memberFile]: renderMember(shape, member),
    [paths.knownHosts]: renderKnownHosts(shape, member),
  };
}

/** What the host helper knows of a member; as Python writes it too. */
function renderMember(shape: ClusterShape, member: MemberDeclaration): string {
  const {
    unit,
    lock,
    journal,
    ticket,
    marker,
    pass,
    gateReason,
    runDirectory,
    roleConf,
    channelKey,
    knownHosts,
    ...more
  } = memberPaths(shape.cluster, member.name);
  const description = {
    cluster: shape.cluster,
    member: member.name,
    port: member.port,
    dataDirectory: member.dataDirectory,
    programs: postgresPrograms(shape.postgresVersion),
    socketDirectory,
    ...{ unit, lock, journal, ticket, switch: more.switch, marker, pass, gateReason, runDirectory, roleConf },
    ...{ channelKey, knownHosts },
    peers: othersIn(shape, member).map((other) => ({
      member: other.name,
      address: other.replicationAddress,
      port: other.sshPort,
      ...(shape.failover.manager === "pacemaker" ? { node: other.host } : {}),
    })),
    ...(shape.failover.manager === "pacemaker" ? driven(shape, member) : {}),
    ...(shape.relaxAfterSeconds === undefined ? {} : { relax: goingOnAlone(shape, member) }),
    ...(comesBack(shape) ? { atBoot: returnAtBoot(shape, member) } : {}),
  };
  return `${JSON.stringify(description, undefined, 1)}\n`;
}

/** What the boot gate asks Pacemaker about, and by which rule a promotion that Pacemaker orders is decided. */
function driven(shape: ClusterShape, member: MemberDeclaration) {
  const { mode, k, candidates } = electionRule(shape);
  return {
    manager: "pacemaker",
    /** As the CIB calls them. */
    resource: pacemakerNames(shape.cluster).clone,
    node: member.host,
    candidates,
    synchronous: { mode, k },
    ...(pgsqlMode(shape) === undefined ? {} : { repMode: pgsqlMode(shape), repModeConf: repModeConf(shape, member) }),
  };
}

/** By what a primary goes on without standbys, and whom that binds. */
function goingOnAlone(shape: ClusterShape, member: MemberDeclaration) {
  return {
    afterSeconds: shape.relaxAfterSeconds,
    attribute: relaxedAttribute(shape.cluster),
    file: memberPaths(shape.cluster, member.name).relaxedConf,
  };
}

/** What a former primary needs that comes back by itself. Numbers for truth: Python reads it. */
function returnAtBoot(shape: ClusterShape, member: MemberDeclaration) {
  const paths = memberPaths(shape.cluster, member.name);
  return {
    postgresVersion: shape.postgresVersion,
    /** WAL may come from an archive too. */
    restores: "restore_command" in shape.parameters ? 1 : 0,
    walDirectory: member.walDirectory ?? "",
    user: "postgres",
    dataUnit: paths.dataUnit,
    work: paths.rejoinLock,
    kept: paths.kept,
    config: paths.postgresqlConf,
    passfile: paths.passfile,
    log: paths.rewindLog,
    login: `user=${replicationRole} application_name=${member.name} ${deadPeerOptions}`,
  };
}

/** Whether a former primary comes back when its host boots. */
function comesBack({ failover }: ClusterShape): boolean {
  return failover.manager === "pacemaker" && failover.agent === "paf" && failover.autoRejoin === true;
}

function repModeConf({ cluster }: ClusterShape, member: MemberDeclaration): string {
  return memberPaths(cluster, member.name).repMode;
}

/** Under the agent pgsql; undefined under any other. */
function pgsqlMode({ failover }: ClusterShape): "sync" | "async" | undefined {
  return failover.manager === "pacemaker" && failover.agent === "pgsql" ? failover.pgsql.rep_mode : undefined;
}

/** ssh checks the hosts of the other members by the keys that the stack file declares. */
function renderKnownHosts(shape: ClusterShape, member: MemberDeclaration): string {
  return othersIn(shape, member)
    .map(({ replicationAddress, sshPort, hostKey }) => {
      const name = sshPort === 22 ? replicationAddress : `[${replicationAddress}]:${sshPort}`;
      return `${name} ${hostKey.split(" ").slice(0, 2).join(" ")}\n`;
    })
    .join("");
}

function othersIn(shape: ClusterShape, member: MemberDeclaration): MemberDeclaration[] {
  return shape.members.filter((other) => other.name !== member.name);
}

/** Value of synchronous_standby_names on whoever is primary. */
export function synchronousStandbyNames(shape: RuledShape): string {
  return standbyNames(commitRule(shape));
}

export interface RoleSettings {
  /** Whose WAL it follows. "any" = whoever of the others is writable (steady state); a member's name only during a handover. */
  readonly upstream: "any" | string;
  /** Off while a cluster is being created and its standbys do not stream yet. */
  readonly synchronous: boolean;
  /** Retry at once, for the short time of a handover. */
  readonly hurried: boolean;
}

export const steadyRole: RoleSettings = { upstream: "any", synchronous: true, hurried: false };

export function renderRole(shape: ClusterShape, member: MemberDeclaration, role: RoleSettings): string {
  return render("postgresql/role.conf.hbs", {
    cluster: shape.cluster,
    member: member.name,
    synchronousStandbyNames: quoted(role.synchronous ? synchronousStandbyNames(shape) : ""),
    primaryConninfo: quoted(primaryConninfo(shape, member, role.upstream)),
    primarySlotName: shape.members.length > 1 ? slotName(member.name) : "",
    walRetrieveRetryInterval: role.hurried ? "10ms" : "200ms",
    relaxedConf: shape.relaxAfterSeconds === undefined ? "" : memberPaths(shape.cluster, member.name).relaxedConf,
  });
}

/** A connection whose other end has lost its power is given up within seconds, not within the kernel's hours. */
export const deadPeerOptions = deadPeerOptionsAfter(5000);

function deadPeerOptionsAfter(milliseconds: number): string {
  return `tcp_user_timeout=${milliseconds} keepalives_idle=5 keepalives_interval=2 keepalives_count=3`;
}

function isUnderPaf({ failover }: ClusterShape): boolean {
  return failover.manager === "pacemaker" && failover.agent === "paf";
}

function conninfoOption({ failover }: ClusterShape): string[] {
  if (failover.manager !== "pacemaker" || failover.agent !== "pgsql") return [];
  const { primary_conninfo_opt: option } = failover.pgsql;
  return option === "" ? [] : [option];
}

/** A multi-host list that only a writable member satisfies: a standby finds the new primary by itself. */
export function primaryConninfo(shape: ClusterShape, member: MemberDeclaration, upstream: "any" | string): string {
  const others = shape.members.filter(
    (other) => other.name !== member.name && (upstream === "any" || other.name === upstream),
  );
  // The agent PAF refuses a member without its name in there; itself it never finds writable while it looks for a primary.
  if (shape.members.length === 1 && isUnderPaf(shape)) others.push(member);
  if (others.length === 0) return "";
  return [
    `host=${others.map((other) => other.replicationAddress).join(",")}`,
    `port=${others.map((other) => other.port).join(",")}`,
    `user=${replicationRole}`,
    ...(syncsSlots(shape) ? ["dbname=postgres"] : []),
    `application_name=${member.name}`,
    `passfile=${memberPaths(shape.cluster, member.name).passfile}`,
    ...(upstream === "any" ? ["target_session_attrs=read-write"] : []),
    "connect_timeout=3",
    // The walreceiver connects without heeding connect_timeout: after a failover this is for how long it tries the dead host first.
    deadPeerOptionsAfter(2000),
    ...conninfoOption(shape),
  ].join(" ");
}
