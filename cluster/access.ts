import type { MemberDeclaration } from "../model/declaration.ts";
import { type Group, memberOf } from "../model/group.ts";
import { type MemberPaths, memberPaths, postgresPrograms, socketDirectory } from "../model/names.ts";
import { Unreachable } from "../remote/errors.ts";
import type { RemoteHost, RemoteHosts } from "../remote/host.ts";
import { connectPostgres, type SqlSession } from "../remote/postgres.ts";
import type { FailoverManager } from "./managers/manager.ts";
import { noManager } from "./managers/none.ts";
import { pacemakerManager } from "./managers/pacemaker.ts";

export interface SessionOptions {
  /** Default 10. */
  readonly statementLimitSeconds?: number;
  /** Default "postgres". */
  readonly database?: string;
}

/** One member, with the way to its host. */
export interface MemberAccess {
  readonly declaration: MemberDeclaration;
  readonly name: string;
  readonly host: RemoteHost;
  readonly paths: MemberPaths;
  readonly programs: string;
  /** Of its cluster. */
  readonly manager: FailoverManager;
  /** A session as postgres over the Unix socket; the caller closes it. */
  connect(options?: SessionOptions): Promise<SqlSession>;
}

/** What an operation on a cluster has at hand. */
export interface ClusterAccess {
  readonly group: Group;
  readonly members: readonly MemberAccess[];
  readonly manager: FailoverManager;
  member(name: string): MemberAccess;
  /** Those that the last `up` declared and this one does not. Undefined: nobody was removed. */
  readonly removed?: ClusterAccess | undefined;
}

export function accessCluster(group: Group, hosts: RemoteHosts, manager = managerOf(group, hosts)): ClusterAccess {
  const members = group.members.map((declaration) => accessMember(group, declaration, hosts, manager));
  return {
    group,
    members,
    manager,
    member(name) {
      const found = members.find((member) => member.name === name);
      return found ?? accessMember(group, memberOf(group, name), hosts, manager);
    },
  };
}

function managerOf(group: Group, hosts: RemoteHosts): FailoverManager {
  if (group.failover.manager === "none") return noManager;
  return pacemakerManager(
    group,
    group.members.map((member) => hostOrStub(hosts, member.host)),
  );
}

/** The cluster as declared now, and beside it the members that were declared before and are not any more. */
export function accessDeclared(group: Group, before: Group | undefined, hosts: RemoteHosts): ClusterAccess {
  const gone = (before?.members ?? []).filter((old) => !group.members.some(({ name }) => name === old.name));
  const access = accessCluster(group, hosts);
  if (gone.length === 0) return access;
  return { ...access, removed: accessCluster({ ...group, members: gone }, hosts, keptBack(access.manager)) };
}

/** The cluster's own manager, for work on members that are no longer its: whoever works on the cluster lets him manage again. */
function keptBack(manager: FailoverManager): FailoverManager {
  return { ...manager, standsBack: () => false };
}

/** The same cluster, as if it had only these members. */
export function someOf(access: ClusterAccess, names: readonly string[]): ClusterAccess {
  const members = access.members.filter(({ name }) => names.includes(name));
  return { ...access, group: { ...access.group, members: members.map(({ declaration }) => declaration) }, members };
}

function accessMember(
  group: Group,
  declaration: MemberDeclaration,
  hosts: RemoteHosts,
  manager: FailoverManager,
): MemberAccess {
  const host = hostOrStub(hosts, declaration.host);
  return {
    declaration,
    name: declaration.name,
    host,
    paths: memberPaths(group.cluster, declaration.name),
    programs: postgresPrograms(group.postgresVersion),
    manager,
    connect: (options = {}) =>
      connectPostgres(host, {
        socketDirectory,
        port: declaration.port,
        user: "postgres",
        database: options.database ?? "postgres",
        applicationName: "pgha",
        // Opening the SSH connection may take 8 s of it by its own limit.
        connectLimitSeconds: 10,
        statementLimitSeconds: options.statementLimitSeconds ?? 10,
      }),
  };
}

/** A member whose host is no longer declared is unreachable, which is data; it must not keep the rest from being read. */
function hostOrStub(hosts: RemoteHosts, name: string): RemoteHost {
  try {
    return hosts.host(name);
  } catch (error) {
    const reject = () => Promise.reject(new Unreachable(name, error instanceof Error ? error.message : String(error)));
    return { name, run: reject, must: reject, start: reject, socket: reject };
  }
}

/** Opens a session, uses it, closes it whatever happens. */
export async function withSession<T>(
  member: MemberAccess,
  use: (session: SqlSession) => Promise<T>,
  options: SessionOptions = {},
): Promise<T> {
  const session = await member.connect(options);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}
