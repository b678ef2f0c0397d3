import type * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../model/environment.ts";
import type { PlannedMember } from "../model/hostFacts.ts";
import { Host } from "./host.ts";
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
}

/** Everything that a stack file declares, as components: hosts first, looked at before any is touched, then the clusters. */
export function buildEnvironment(args: EnvironmentArgs): Readonly<Record<string, PostgresCluster>> {
  const { environment } = args;
  const { hosts, clusters } = environment;
  const preflight = new Preflight("preflight", {
    hosts: Object.fromEntries(
      hosts.map((host) => [
        host.name,
        { address: host.addresses.service, members: plannedMembers(environment, host.name) },
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
  return Object.fromEntries(
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

/**
 * The server; the small Python that the host helper needs; what members ask each other with; and with what the host helper
 * moves virtual IPs.
 */
function packagesOf(environment: Environment, host: string): string[] {
  const clusters = environment.clusters.filter((cluster) => cluster.members.some((member) => member.host === host));
  const versions = clusters.map((cluster) => `postgresql-${cluster.postgresVersion}`);
  const moving = clusters.some((cluster) => Object.keys(cluster.virtualIps).length > 0) ? ["iproute2", "nftables"] : [];
  return [...versions, "openssh-client", "python3-minimal", "sudo", ...moving];
}
