import { parse } from "yaml";
import { accessCluster, type ClusterAccess } from "../../cluster/access.ts";
import { observeMembers } from "../../cluster/observe.ts";
import { parseEnvironment } from "../../model/environment.ts";
import { FaultsFound } from "../../model/fault.ts";
import { type Group, groupOf, inputsOfCluster } from "../../model/group.ts";
import { socketDirectory } from "../../model/names.ts";
import { describeMember, type MemberObservation } from "../../model/observation.ts";
import { type ObservedPrimary, observePrimary } from "../../model/observedPrimary.ts";
import { openRemoteHosts } from "../../remote/pool.ts";
import { connectPostgres, type SqlSession } from "../../remote/postgres.ts";
import type { ProbeServer } from "./dial.ts";

export type KnownPrimary = Extract<ObservedPrimary, { kind: "known" }>;

/** A cluster of a stack file, reached over SSH beside Pulumi: to look at it, to load it, to break it. */
export interface DeclaredCluster {
  readonly group: Group;
  readonly access: ClusterAccess;
  /** Where clients reach the members, in the order of the stack file. */
  readonly servers: readonly ProbeServer[];
  /** Where clients reach the primary: its virtual IP if one is declared, else whichever of the members takes writes. */
  readonly clientServers: readonly ProbeServer[];
  /** Who is primary now; throws, with the state of every member, when that is not known. */
  primary(): Promise<KnownPrimary>;
  /** A superuser's session on this member; the caller closes it. */
  connect(member: string, database?: string): Promise<SqlSession>;
  close(): void;
}

/** The cluster of this name in the text of a stack file. Nothing is connected before it is needed. */
export function openDeclaredCluster(stackFile: string, cluster: string): DeclaredCluster {
  const { config } = parse(stackFile) as { config: Record<string, unknown> };
  const keys = Object.entries(config).map(([key, value]) => [
    key.replace(/^pgha:/, ""),
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const { environment, faults } = parseEnvironment(Object.fromEntries(keys));
  const declared = environment?.clusters.find((candidate) => candidate.name === cluster);
  if (environment === undefined || declared === undefined) throw new FaultsFound(faults, `no cluster ${cluster}:`);
  const targets = environment.hosts.map((host) => host.ssh);
  const users = new Set(["root", "postgres", ...targets.map((target) => target.user)]);
  const group = groupOf(inputsOfCluster(declared, [...users].sort()));
  const hosts = openRemoteHosts(targets);
  const servers = group.members.map(({ name, serviceAddress, port }) => ({ name, address: serviceAddress, port }));
  const virtualIp = group.virtualIps.primary;
  const access = accessCluster(group, hosts);
  return {
    group,
    access,
    servers,
    // Its members have one port.
    clientServers:
      virtualIp === undefined
        ? servers
        : servers.slice(0, 1).map(({ port }) => ({ name: "virtual IP", address: virtualIp.address, port })),
    primary: async () => knownPrimary(group, await observeMembers(access)),
    connect: (member, database = "postgres") => {
      const { declaration, host } = access.member(member);
      return connectPostgres(host, {
        socketDirectory,
        port: declaration.port,
        database,
        applicationName: "pgha-probe",
        connectLimitSeconds: 10,
        statementLimitSeconds: 60,
      });
    },
    close: () => hosts.close(),
  };
}

function knownPrimary(group: Group, observations: readonly MemberObservation[]): KnownPrimary {
  const observed = observePrimary(
    observations,
    group.members.map((member) => ({ ...member, member: member.name })),
  );
  if (observed.kind === "known") return observed;
  const states = observations.map((observation) => `  ${describeMember(observation)}`).join("\n");
  throw new Error(`cluster ${group.cluster}: found ${observed.kind} as primary, expected one:\n${states}`);
}
