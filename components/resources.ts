import * as pulumi from "@pulumi/pulumi";
import type { GroupInputs } from "../model/group.ts";
import type { PlannedMember } from "../model/hostFacts.ts";

type Inputs<T> = { readonly [key in keyof T]: pulumi.Input<T[key]> };

/** Looks at every host before anything is touched on any; everything else depends on it. */
export class Preflight extends pulumi.CustomResource {
  constructor(
    name: string,
    args: {
      readonly hosts: Readonly<
        Record<string, { readonly address: string; readonly members: readonly PlannedMember[] }>
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

export interface FileArgs {
  readonly host: string;
  readonly path: string;
  readonly content: string;
  readonly owner?: string;
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

export interface InstanceArgs {
  readonly cluster: string;
  readonly member: string;
  readonly host: string;
  readonly dataDirectory: string;
  readonly walDirectory?: string;
  readonly unit: string;
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
  declare readonly superuserPassword: pulumi.Output<string | undefined>;
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
