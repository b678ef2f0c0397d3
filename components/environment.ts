import type * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../model/environment.ts";
import type { PlannedMember } from "../model/hostFacts.ts";
import type { PlannedNode } from "../model/pacemaker/nodeFacts.ts";
import { Host } from "./host.ts";
import { PacemakerCluster, packagesOfPacemaker } from "./pacemakerCluster.ts";
import { PostgresCluster } from "./postgresCluster.ts";
import { Preflight } from "./resources.ts";

/** What `buildEnvironment` makes components of. */
export interface EnvironmentArgs {
  /** A declaration without faults, from `parseEnvironment`. */
  readonly environment: Environment;
  /** The Unix socket of the SSH agent that signs for `remote.Command`. Default: SSH_AUTH_SOCK. */
  readonly agentSocketPath?: string;
  /** For every cluster. Default: each cluster's is generated at creation and kept as a secret in the state. */
  readonly superuserPassword?: pulumi.Input<string>;
  /** For every cluster. Default: each cluster's is generated at creation and kept as a secret in the state. */
  readonly replicationPassword?: pulumi.Input<string>;
  /** Corosync's key, the same for every Corosync cluster. Default: each one's is generated at creation and kept as a secret in the state. */
  readonly corosyncKey?: pulumi.Input<string>;
  /** What the secret parameters of fence devices are, by the keys that they name. Default: none. */
  readonly fencingSecrets?: pulumi.Input<Readonly<Record<string, string>>>;
}

/** Everything that a stack file declares, as components: hosts first, looked at before any is touched, then the clusters. */
export function buildEnvironment(args: EnvironmentArgs): Readonly<Record<string, PostgresCluster>> {
  const { environment } = args;
  const { hosts, clusters } = environment;
  const preflight = new Preflight("preflight", {
    hosts: Object.fromEntries(
      hosts.map((host) => [
        host.name,
        {
          address: host.addresses.service,
          members: plannedMembers(environment, host.name),
          ...plannedNode(environment, host.name),
        },
      ]),
    ),
  });
  const components = new Map(
    hosts.map((host) => [
      host.name,
      new Host(
        host.name,
        {
          host,
          packages: packagesOf(environment, host.name),
          neighbours: hosts,
          ...(args.agentSocketPath === undefined ? {} : { agentSocketPath: args.agentSocketPath }),
        },
        { dependsOn: [preflight] },
      ),
    ]),
  );
  const { superuserPassword, replicationPassword } = args;
  const built = new Map(
    clusters.map((cluster) => {
      const own = new Set(cluster.members.map((member) => member.host));
      return [
        cluster.name,
        new PostgresCluster(
          cluster.name,
          {
            cluster,
            socketUsers: [...new Set(hosts.filter((host) => own.has(host.name)).map((host) => host.ssh.user))],
            ...(superuserPassword === undefined ? {} : { superuserPassword }),
            ...(replicationPassword === undefined ? {} : { replicationPassword }),
          },
          { dependsOn: [...own].flatMap((name) => components.get(name) ?? []) },
        ),
      ];
    }),
  );
  const { corosyncKey, fencingSecrets } = args;
  for (const pacemaker of environment.pacemaker) {
    new PacemakerCluster(
      pacemaker.name,
      {
        pacemaker,
        ...(corosyncKey === undefined ? {} : { corosyncKey }),
        ...(fencingSecrets === undefined ? {} : { fencingSecrets }),
      },
      // It takes over what runs, so it comes last, and goes first.
      {
        dependsOn: [
          ...[...pacemaker.hosts.map(({ name }) => name), pacemaker.quorumDevice?.host ?? []]
            .flat()
            .flatMap((name) => components.get(name) ?? []),
          ...pacemaker.clusters.flatMap(({ name }) => built.get(name) ?? []),
        ],
      },
    );
  }
  return Object.fromEntries(built);
}

function plannedMembers(environment: Environment, host: string): PlannedMember[] {
  return environment.clusters.flatMap((cluster) =>
    cluster.members
      .filter((member) => member.host === host)
      .map((member) => ({
        cluster: cluster.name,
        member: member.name,
        postgresVersion: cluster.postgresVersion,
        port: member.port,
        dataDirectory: member.dataDirectory,
        ...(member.walDirectory === undefined ? {} : { walDirectory: member.walDirectory }),
        replicationAddress: member.replicationAddress,
      })),
  );
}

/** Of a host that no failover manager runs on, nothing is asked. */
function plannedNode({ pacemaker }: Environment, host: string): { node?: PlannedNode } {
  const corosync = pacemaker.find(({ hosts }) => hosts.some(({ name }) => name === host));
  if (corosync === undefined) return {};
  const { name, hosts, clusters } = corosync;
  return {
    node: {
      corosync: name,
      nodes: hosts.map((node) => node.name),
      addresses: hosts.flatMap((node) => (node.name === host ? node.addresses : [])),
      virtualIps: Object.fromEntries(
        clusters
          .filter(({ members }) => members.some((member) => member.host === host))
          .flatMap((cluster) =>
            Object.entries(cluster.virtualIps).map(([kind, { address, prefix, nic }]) => [
              `pgha:clusters.${cluster.name}.virtualIps.${kind}`,
              nic === undefined ? `${address}/${prefix}` : address,
            ]),
          ),
      ),
    },
  };
}

/**
 * The server; the small Python that the host helper needs; what members ask each other with; and with what the host helper
 * moves virtual IPs.
 */
function packagesOf(environment: Environment, host: string): string[] {
  const clusters = environment.clusters.filter((cluster) => cluster.members.some((member) => member.host === host));
  const versions = clusters.map((cluster) => `postgresql-${cluster.postgresVersion}`);
  const moving = clusters.some((cluster) => Object.keys(cluster.virtualIps).length > 0) ? ["iproute2", "nftables"] : [];
  const pacemaker = environment.pacemaker
    .filter(({ hosts }) => hosts.some(({ name }) => name === host))
    .flatMap(packagesOfPacemaker);
  const votes = environment.pacemaker.some(({ quorumDevice }) => quorumDevice?.host === host) ? ["corosync-qnetd"] : [];
  return [...versions, ...pacemaker, ...votes, "openssh-client", "python3-minimal", "sudo", ...moving];
}
