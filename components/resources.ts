import * as pulumi from "@pulumi/pulumi";
import type { GroupInputs } from "../model/group.ts";
import type { PlannedMember } from "../model/hostFacts.ts";
import type { PlannedNode } from "../model/pacemaker/nodeFacts.ts";

type Inputs<T> = { readonly [key in keyof T]: pulumi.Input<T[key]> };

/** Looks at every host before anything is touched on any; everything else depends on it. */
export class Preflight extends pulumi.CustomResource {
  constructor(
    name: string,
    args: {
      readonly hosts: Readonly<
        Record<
          string,
          { readonly address: string; readonly members: readonly PlannedMember[]; readonly node?: PlannedNode }
        >
      >;
    },
    options?: pulumi.CustomResourceOptions,
  ) {
    super("pgha:index:Preflight", name, args, options);
  }
}

/** Debian packages that a host holds. */
export class Packages extends pulumi.CustomResource {
  /** Version of each, by name. */
  declare readonly installed: pulumi.Output<Readonly<Record<string, string>>>;

  constructor(
    name: string,
    args: Inputs<{ readonly host: string; readonly names: readonly string[] }>,
    options?: pulumi.CustomResourceOptions,
  ) {
    super("pgha:index:Packages", name, { installed: undefined, ...args }, options);
  }
}

/** The inputs of `File`. */
export interface FileArgs {
  /** Name of the host in the stack file. */
  readonly host: string;
  /** Absolute. Missing directories above it are made. */
  readonly path: string;
  /** The text of the file, or of our part of it. */
  readonly content: string;
  /** A user of the host. Default "root". */
  readonly owner?: string;
  /** A group of the host. Default "root". */
  readonly group?: string;
  /** Octal. Default "0644". */
  readonly mode?: string;
  /** "block": only a marked part of the file is ours. Default "whole". */
  readonly placement?: "whole" | "block";
}

/** One rendered file on a host. */
export class File extends pulumi.CustomResource {
  constructor(name: string, args: Inputs<FileArgs>, options?: pulumi.CustomResourceOptions) {
    super("pgha:index:File", name, args, options);
  }
}

/** The inputs of `Instance`. */
export interface InstanceArgs {
  /**
   * Name of the cluster; with the member's it names the service, `pgha-CLUSTER-MEMBER`. Another one is another
   * instance.
   */
  readonly cluster: string;
  /** Name of the member in its cluster. */
  readonly member: string;
  /** Name of the host in the stack file. */
  readonly host: string;
  /** PGDATA, absolute. Made when it is missing and was never in use. Fixed once the member is there. */
  readonly dataDirectory: string;
  /** Where pg_wal lies, absolute. Default: inside PGDATA. Fixed once the member is there. */
  readonly walDirectory?: string;
  /** Text of the systemd unit. A changed one is laid, and counts from the next start. */
  readonly unit: string;
  /** Text of the unit that lets a former primary come back at boot. Default: there is none. */
  readonly rejoinUnit?: string;
  /** Text of the unit that lets commits go on without standbys. Default: there is none. */
  readonly relaxUnit?: string;
  /**
   * Who starts, stops and promotes the member beside pgha. Default "none". "pacemaker": the programs lie beside the member's
   * configuration by which its agent does so through the unit.
   */
  readonly manager?: "none" | "pacemaker";
  /** Where PostgreSQL's programs lie, absolute. Needed with a manager. */
  readonly programs?: string;
}

/** Directories and service of one member; it knows no role. */
export class Instance extends pulumi.CustomResource {
  constructor(name: string, args: Inputs<InstanceArgs>, options?: pulumi.CustomResourceOptions) {
    super("pgha:index:Instance", name, args, options);
  }
}

/** The data and the roles of one cluster. */
export class ReplicationGroup extends pulumi.CustomResource {
  /** The observed primary: after a failover it is not the declared one. */
  declare readonly primary: pulumi.Output<string>;
  /** Of the role postgres, as declared or as generated at creation; secret. */
  declare readonly superuserPassword: pulumi.Output<string | undefined>;
  /** Of the role with which the members follow each other, as declared or as generated at creation; secret. */
  declare readonly replicationPassword: pulumi.Output<string>;

  constructor(name: string, args: Inputs<GroupInputs>, options?: pulumi.CustomResourceOptions) {
    super(
      "pgha:index:ReplicationGroup",
      name,
      { superuserPassword: undefined, replicationPassword: undefined, ...args },
      pulumi.mergeOptions(options, { additionalSecretOutputs: ["superuserPassword", "replicationPassword"] }),
    );
  }
}
