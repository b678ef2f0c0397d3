import * as pulumi from "@pulumi/pulumi";
import type { ClusterDeclaration } from "../model/declaration.ts";
import { groupOf, inputsOfCluster } from "../model/group.ts";
import { postgresPrograms } from "../model/names.ts";
import { renderRejoinUnit, renderRelaxUnit, renderUnit } from "../model/rendering.ts";
import { Instance, ReplicationGroup } from "./resources.ts";

/** What a `PostgresCluster` is made of. */
export interface PostgresClusterArgs {
  /** A declaration without faults: `parseEnvironment` makes one of a stack file. */
  readonly cluster: ClusterDeclaration;
  /** Users that SSH logs in as on the members' hosts: they may be postgres on the Unix socket. */
  readonly socketUsers: readonly string[];
  /** Default: generated at creation and kept as a secret in the state. */
  readonly superuserPassword?: pulumi.Input<string>;
  /** Default: generated at creation and kept as a secret in the state. */
  readonly replicationPassword?: pulumi.Input<string>;
}

/** One replicated PostgreSQL cluster whose primary is desired state. */
export class PostgresCluster extends pulumi.ComponentResource {
  /** The observed primary. */
  readonly primary: pulumi.Output<string>;
  /** A connection string for libpq that finds the primary, wherever it is: its virtual IP, or all members. */
  readonly connectionString: pulumi.Output<string>;
  /** Of the role postgres, secret. Undefined only while it is not known yet, at the preview of a creation. */
  readonly superuserPassword: pulumi.Output<string | undefined>;

  constructor(name: string, args: PostgresClusterArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgha:index:PostgresCluster", name, {}, options);
    const { cluster } = args;
    const inputs = inputsOfCluster(cluster, args.socketUsers);
    const shape = groupOf(inputs);
    const instances = cluster.members.map((member) => {
      const rejoinUnit = renderRejoinUnit(shape, member);
      const relaxUnit = renderRelaxUnit(shape, member);
      return new Instance(
        `${name}-${member.name}`,
        {
          cluster: cluster.name,
          member: member.name,
          host: member.host,
          dataDirectory: member.dataDirectory,
          ...(member.walDirectory === undefined ? {} : { walDirectory: member.walDirectory }),
          unit: renderUnit(shape, member),
          ...(rejoinUnit === undefined ? {} : { rejoinUnit }),
          ...(relaxUnit === undefined ? {} : { relaxUnit }),
          ...(cluster.failover.manager === "none"
            ? {}
            : { manager: cluster.failover.manager, programs: postgresPrograms(cluster.postgresVersion) }),
        },
        { parent: this },
      );
    });
    const group = new ReplicationGroup(
      name,
      {
        ...inputs,
        ...(args.superuserPassword === undefined ? {} : { superuserPassword: pulumi.secret(args.superuserPassword) }),
        ...(args.replicationPassword === undefined
          ? {}
          : { replicationPassword: pulumi.secret(args.replicationPassword) }),
      },
      { parent: this, dependsOn: instances },
    );
    this.primary = group.primary;
    this.superuserPassword = group.superuserPassword;
    this.connectionString = pulumi.output(connectionString(cluster));
    this.registerOutputs({ primary: this.primary, connectionString: this.connectionString });
  }
}

function connectionString(cluster: ClusterDeclaration): string {
  const virtual = cluster.virtualIps.primary?.address;
  const port = cluster.members[0]?.port ?? 5432;
  if (virtual !== undefined) {
    const host = virtual.includes(":") ? `[${virtual}]` : virtual;
    return `postgresql://${host}:${port}/postgres?connect_timeout=2`;
  }
  const hosts = cluster.members.map((member) => `${member.serviceAddress}:${member.port}`).join(",");
  return `postgresql://${hosts}/postgres?target_session_attrs=read-write&connect_timeout=2`;
}
