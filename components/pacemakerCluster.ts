import * as pulumi from "@pulumi/pulumi";
import { configurationOf } from "../model/pacemaker/configuration.ts";
import type { PacemakerDeclaration } from "../model/pacemaker/declaration.ts";

/** What a `PacemakerCluster` is made of. */
export interface PacemakerClusterArgs {
  /** A declaration without faults, from `parseEnvironment`. */
  readonly pacemaker: PacemakerDeclaration;
  /** Corosync's key. Default: generated at creation and kept as a secret in the state. */
  readonly corosyncKey?: pulumi.Input<string>;
  /** What the secret parameters of fence devices are, by the keys that they name. */
  readonly fencingSecrets?: pulumi.Input<Readonly<Record<string, string>>>;
}

/**
 * Corosync and Pacemaker over the hosts of some PostgreSQL clusters, which it fails over. It takes over what runs, without a
 * restart; what else is in Pacemaker's configuration stays the user's.
 */
export class PacemakerCluster extends pulumi.CustomResource {
  constructor(name: string, args: PacemakerClusterArgs, options?: pulumi.CustomResourceOptions) {
    const { pacemaker, corosyncKey, fencingSecrets } = args;
    super(
      "pgha:index:PacemakerCluster",
      name,
      {
        cluster: pacemaker.name,
        nodes: Object.fromEntries(pacemaker.hosts.map(({ name: host, addresses }) => [host, { addresses }])),
        detection: pacemaker.detection,
        ...(pacemaker.quorumDevice === undefined ? {} : { quorumDevice: pacemaker.quorumDevice }),
        ...configurationOf(pacemaker),
        // Undefined: an output that the provider fills in.
        corosyncKey,
        ...(fencingSecrets === undefined ? {} : { fencingSecrets }),
      },
      pulumi.mergeOptions(options, { additionalSecretOutputs: ["corosyncKey", "fencingSecrets"] }),
    );
  }
}

/** The Debian packages that its hosts need. */
export function packagesOfPacemaker({ fencing, quorumDevice }: PacemakerDeclaration): string[] {
  return [
    "corosync",
    "pacemaker",
    "pacemaker-cli-utils",
    "resource-agents",
    "resource-agents-paf",
    ...(quorumDevice === undefined ? [] : ["corosync-qdevice"]),
    ...fencing.flatMap((device) => (device.package === undefined ? [] : [device.package])),
  ];
}
