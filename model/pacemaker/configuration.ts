import { z } from "zod";
import type { ClusterDeclaration } from "../declaration.ts";
import { postgresResource } from "./agents.ts";
import type { PacemakerDeclaration } from "./declaration.ts";
import type { FenceDevice, FenceLevels } from "./fencing.ts";
import { addressResource, pacemakerNames, readersKind, withPrimary } from "./names.ts";
import { placement } from "./operations.ts";
import { delaysFencing, quorumProperties } from "./quorum.ts";
import { type PacemakerResource, resource, type Texts, texts } from "./resource.ts";

/** What of Pacemaker's configuration (its CIB) is ours, in the words of its documentation; by the ids that it has there. */
export const pacemakerConfiguration = z.object({
  /** Properties of the whole cluster; only those that are declared. */
  properties: texts,
  resources: z.record(z.string(), resource),
  groups: z.record(z.string(), z.object({ members: z.array(z.string()), meta: texts })),
  clones: z.record(z.string(), z.object({ resource: z.string(), meta: texts })),
  /** Each with its `type`: location, order or colocation. */
  constraints: z.record(z.string(), texts),
  /** Fence devices. */
  fencing: z.record(z.string(), resource),
  /** Which devices are tried on whom, and in which order: `target`, `index`, `devices`. Default: none, for a state of an earlier version. */
  fencingLevels: z.record(z.string(), texts).default({}),
});

/** What of Pacemaker's configuration is ours. */
export type PacemakerConfiguration = z.infer<typeof pacemakerConfiguration>;

/** Ids of Pacemaker's configuration that begin so are ours; everything else there is the user's, and stays. */
export const ownPrefix = "pgha-";

/** The id of one fence device. */
export function fenceId(device: string): string {
  return `${ownPrefix}fence-${device}`;
}

/** What is written where a secret belongs, so that a diff may be shown: which secret it is. */
export function secretPlaceholder(key: string): string {
  return `${placeholderStart}${key})`;
}

const placeholderStart = "(pgha:fencingSecrets.";

/** The whole configuration that follows from a declaration. */
export function configurationOf(declaration: PacemakerDeclaration): PacemakerConfiguration {
  const { clusters, fencing, fencingLevels, hosts } = declaration;
  const properties = {
    "stonith-enabled": String(fencing.length > 0),
    // Pacemaker's own defaults, declared: what somebody sets by hand here makes two primaries, or none, and is put right.
    ...{ "no-quorum-policy": "stop", "startup-fencing": "true", "stop-all-resources": "false" },
    // By itself Pacemaker tries ten times, in less than a minute, and then every 15 minutes.
    ...(fencing.length > 0 ? { "stonith-max-attempts": "INFINITY" } : {}),
    ...quorumProperties(declaration),
    ...declaration.properties,
  };
  const weighs = delaysFencing(properties);
  const parts = clusters.map((cluster) =>
    clusterConfiguration(
      cluster,
      hosts.map(({ name }) => name),
      weighs,
    ),
  );
  return {
    properties,
    resources: Object.assign({}, ...parts.map((part) => part.resources)),
    groups: Object.assign({}, ...parts.map((part) => part.groups)),
    clones: Object.assign({}, ...parts.map((part) => part.clones)),
    constraints: Object.assign({}, ...parts.map((part) => part.constraints)),
    fencing: Object.fromEntries(fencing.map((device) => [fenceId(device.name), fenceResource(device)])),
    fencingLevels: levelsOf(fencingLevels),
  };
}

function clusterConfiguration(
  cluster: ClusterDeclaration,
  hosts: readonly string[],
  weighs: boolean,
): Pick<PacemakerConfiguration, "resources" | "groups" | "clones" | "constraints"> {
  const names = pacemakerNames(cluster.name);
  const addresses = Object.fromEntries(
    Object.entries(cluster.virtualIps).map(([kind, address]) => [
      addressResource(cluster.name, kind),
      addressPrimitive(address),
    ]),
  );
  const beside = Object.keys(withPrimary(cluster.virtualIps)).map((kind) => addressResource(cluster.name, kind));
  const readers = addressResource(cluster.name, readersKind);
  return {
    resources: { [names.resource]: postgresResource(cluster), ...addresses },
    groups: {
      ...(beside.length > 0 && {
        [names.addressGroup]: { members: beside, meta: { "failure-timeout": "60s" } },
      }),
      ...(readers in addresses && {
        [names.readersGroup]: {
          members: [readers],
          meta: { "failure-timeout": "60s", "resource-stickiness": String(stayScore) },
        },
      }),
    },
    clones: {
      [names.clone]: {
        resource: names.resource,
        // The promoted instance weighs one more than this.
        meta: { ...cloneMeta(cluster), ...(weighs ? { priority: "1" } : {}) },
      },
    },
    constraints: {
      ...(beside.length > 0 && addressConstraints(cluster.name)),
      ...(readers in addresses && readersConstraints(cluster.name)),
      ...placeConstraints(cluster, hosts),
    },
  };
}

function cloneMeta(cluster: ClusterDeclaration): Texts {
  return {
    promotable: "true",
    "promoted-max": "1",
    "promoted-node-max": "1",
    "clone-max": String(cluster.members.length),
    "clone-node-max": "1",
    // Within these messages PAF elects, and under pgsql the primary looks at its standbys.
    notify: "true",
    ...placement(cluster),
  };
}

function addressPrimitive({ address, prefix, nic }: ClusterDeclaration["virtualIps"][string]): PacemakerResource {
  return {
    agent: "ocf:heartbeat:IPaddr2",
    parameters: { ip: address, cidr_netmask: String(prefix), ...(nic === undefined ? {} : { nic }) },
    operations: {
      start: { timeout: "20s" },
      stop: { timeout: "20s" },
      monitor: { interval: "5s", timeout: "10s" },
    },
    meta: {},
  };
}

/** Addresses come up after the promotion and go after the demotion: the last WAL still reaches who follows by them. */
function addressConstraints(cluster: string): Record<string, Texts> {
  const { clone, addressGroup } = pacemakerNames(cluster);
  // biome-ignore lint/suspicious/noThenProperty: Pacemaker's word, and its value is a text
  const order = { type: "order", kind: "Mandatory", symmetrical: "false", first: clone, then: addressGroup };
  return {
    [`${addressGroup}-with-primary`]: {
      type: "colocation",
      rsc: addressGroup,
      "with-rsc": clone,
      "with-rsc-role": "Promoted",
      score: "INFINITY",
    },
    [`${addressGroup}-after-promote`]: { ...order, "first-action": "promote", "then-action": "start" },
    [`${addressGroup}-until-demote`]: { ...order, "first-action": "demote", "then-action": "stop" },
  };
}

/** From one standby to the next it does not move for nothing; away from the primary it does. */
const stayScore = 50;
const awayFromPrimary = -100;

/** Readers are where an instance runs, and rather on a standby: when none is left, on the primary. */
function readersConstraints(cluster: string): Record<string, Texts> {
  const { clone, readersGroup } = pacemakerNames(cluster);
  // Without this word the readers' wishes count for where the primary is to be: it was moved for them.
  const colocation = { type: "colocation", rsc: readersGroup, "with-rsc": clone, influence: "false" };
  return {
    [`${readersGroup}-with-member`]: { ...colocation, score: "INFINITY" },
    [`${readersGroup}-rather-standby`]: {
      ...colocation,
      "with-rsc-role": "Promoted",
      score: String(awayFromPrimary),
    },
    // biome-ignore lint/suspicious/noThenProperty: Pacemaker's word, and its value is a text
    [`${readersGroup}-after-start`]: { type: "order", kind: "Optional", first: clone, then: readersGroup },
  };
}

function placeConstraints({ name, members }: ClusterDeclaration, hosts: readonly string[]): Record<string, Texts> {
  const { resource, clone } = pacemakerNames(name);
  const own = members.map(({ host }) => host);
  const elsewhere = hosts
    .filter((host) => !own.includes(host))
    // Without a probe either: there is nothing of this cluster on that host that could be asked.
    .map((node) => [`${resource}-not-on-${node}`, { "resource-discovery": "never", node }] as const);
  const never = members
    .filter(({ candidate }) => !candidate)
    .map(({ host }) => [`${resource}-never-promoted-on-${host}`, { role: "Promoted", node: host }] as const);
  return Object.fromEntries(
    [...elsewhere, ...never].map(([id, rest]) => [id, { type: "location", rsc: clone, score: "-INFINITY", ...rest }]),
  );
}

function fenceResource({ agent, hosts, parameters, secretParameters }: FenceDevice): PacemakerResource {
  const secrets = Object.entries(secretParameters).map(([name, key]) => [name, secretPlaceholder(key)]);
  const plugs = hosts.flatMap(({ name, plug }) => (plug === undefined ? [] : [`${name}:${plug}`]));
  return {
    agent: `stonith:${agent}`,
    parameters: {
      pcmk_host_check: "static-list",
      pcmk_host_list: hosts.map(({ name }) => name).join(" "),
      ...(plugs.length === 0 ? {} : { pcmk_host_map: plugs.join(";") }),
      ...parameters,
      ...Object.fromEntries(secrets),
    },
    operations: { monitor: { interval: "60s", timeout: "60s" } },
    // One that did not answer is looked at again by itself; without it, only once somebody cleans it up.
    meta: { "failure-timeout": "60s" },
  };
}

function levelsOf(levels: FenceLevels): PacemakerConfiguration["fencingLevels"] {
  return Object.fromEntries(
    Object.entries(levels).flatMap(([target, own]) =>
      own.map((devices, index) => [
        `${ownPrefix}level-${target}-${index + 1}`,
        { target, index: String(index + 1), devices: devices.map(fenceId).join(",") },
      ]),
    ),
  );
}

/** The configuration with the secrets where their placeholders are: what is written. Never shown, never in the state. */
export function revealSecrets(configuration: PacemakerConfiguration, secrets: Texts): PacemakerConfiguration {
  const values = new Map(Object.entries(secrets).map(([key, value]) => [secretPlaceholder(key), value]));
  return withFenceParameters(configuration, (_device, _name, value) => values.get(value) ?? value);
}

/**
 * What was read, without secrets: a value that is as declared has its placeholder, and one of a fence device that is not
 * declared so is never shown, because it may be a password that was set by hand.
 */
export function concealSecrets(
  live: PacemakerConfiguration,
  declared: PacemakerConfiguration,
  secrets: Texts,
): PacemakerConfiguration {
  const revealed = revealSecrets(declared, secrets);
  return withFenceParameters(live, (device, name, value) => {
    const wanted = declared.fencing[device]?.parameters[name];
    if (value === revealed.fencing[device]?.parameters[name]) return wanted ?? value;
    return wanted === undefined || wanted.startsWith(placeholderStart) ? "(another value)" : value;
  });
}

function withFenceParameters(
  configuration: PacemakerConfiguration,
  change: (device: string, name: string, value: string) => string,
): PacemakerConfiguration {
  return {
    ...configuration,
    fencing: Object.fromEntries(
      Object.entries(configuration.fencing).map(([device, { parameters, ...rest }]) => [
        device,
        {
          ...rest,
          parameters: Object.fromEntries(
            Object.entries(parameters).map(([name, value]) => [name, change(device, name, value)]),
          ),
        },
      ]),
    ),
  };
}
