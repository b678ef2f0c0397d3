import type { HostDeclaration, Surroundings } from "../connections.ts";
import type { ClusterDeclaration, MemberDeclaration } from "../declaration.ts";
import type { Fault } from "../fault.ts";
import type { Reading } from "../schema.ts";
import { fenceId } from "./configuration.ts";
import type { PacemakerDeclaration, RingNetwork, UncheckedPacemaker } from "./declaration.ts";
import { packageOf } from "./fenceAgents.ts";
import type { FenceDevice } from "./fencing.ts";
import { fencingFaults } from "./fencingRules.ts";
import { addressResource, pacemakerNames } from "./names.ts";
import { propertyFaults } from "./properties.ts";
import { defaultAlgorithm } from "./quorum.ts";
import { quorumFaults } from "./quorumFaults.ts";
import { relaxFaults } from "./relaxing.ts";
import { unfencedFaults } from "./supervisionRules.ts";
import { addressFaults } from "./virtualIps.ts";

type At = (...path: string[]) => string[];

/** What a rule needs of one Corosync cluster. */
interface Parts {
  readonly name: string;
  readonly parts: Partial<UncheckedPacemaker>;
  readonly at: At;
  readonly clusters: readonly ClusterDeclaration[];
  /** Of the members of its clusters, in the order of the stack file. */
  readonly hosts: readonly HostDeclaration[];
}

/** The rules about everything under Pacemaker, all faults at once. The declarations are only to be used when there is none. */
export function validatePacemaker(
  declared: ReadonlyMap<string, Reading<UncheckedPacemaker>>,
  clusters: readonly ClusterDeclaration[],
  surroundings: Surroundings,
): { pacemaker: PacemakerDeclaration[]; faults: Fault[] } {
  const faults: Fault[] = [
    ...clusters.flatMap((cluster) => clusterFaults(cluster, [...declared.keys()])),
    ...addressFaults(clusters, surroundings),
    ...idFaults(clusters),
    ...clusters.flatMap((cluster) => (cluster.failover.manager === "none" ? relaxFaults(cluster, undefined) : [])),
  ];
  const pacemaker: PacemakerDeclaration[] = [];
  const taken = new Map<string, string>();
  for (const [name, { parts, value }] of declared) {
    const own = clusters.filter(({ failover }) => failover.manager === "pacemaker" && failover.corosync === name);
    const names = new Set(own.flatMap(({ members }) => members.map(({ host }) => host)));
    const at: At = (...path) => ["pgha:pacemaker", name, ...path];
    const hosts = surroundings.hosts.filter((host) => names.has(host.name));
    if (own.length === 0) faults.push(unusedFault(at()));
    else {
      const [nodes, every] = [[...names], surroundings.hosts.map((host) => host.name)];
      const ofClusters = own.map((cluster) => cluster.name);
      faults.push(...quorumFaults({ parts: parts ?? {}, at, nodes, hosts: every, clusters: ofClusters }));
    }
    if (parts === undefined) continue;
    const read: Parts = { name, parts, at, clusters: own, hosts };
    faults.push(
      ...ringFaults(read),
      ...propertyFaults(parts.properties ?? {}, at),
      ...fencingFaults(
        parts.fencing,
        at("fencing"),
        hosts.map((host) => host.name),
      ),
    );
    const around = {
      fenced: Object.keys(parts.fencing?.devices ?? {}).length > 0,
      hasQuorumDevice: parts.quorumDevice !== undefined,
      nodes: [...names],
    };
    faults.push(...own.flatMap((cluster) => relaxFaults(cluster, around)));
    if (parts.fencing !== undefined) faults.push(...own.flatMap((cluster) => unfencedFaults(cluster, around.fenced)));
    for (const host of hosts) {
      const other = taken.get(host.name);
      if (other !== undefined) faults.push(sharedHostFault(at(), host.name, other));
      taken.set(host.name, name);
    }
    if (value !== undefined) pacemaker.push(pacemakerDeclaration(read, value, surroundings.hosts));
  }
  return { pacemaker, faults };
}

function pacemakerDeclaration(
  { name, hosts, clusters }: Parts,
  { rings, detection, fencing, quorumDevice, properties }: UncheckedPacemaker,
  every: readonly HostDeclaration[],
): PacemakerDeclaration {
  const voter = every.find((host) => host.name === quorumDevice?.host);
  return {
    name,
    hosts: hosts.map((host) => ({ name: host.name, addresses: rings.map((ring) => host.addresses[ring]) })),
    detection,
    fencing: Object.entries(fencing.devices ?? {}).map(
      ([device, { package: named, parameters, ...rest }]): FenceDevice => {
        const debianPackage = named ?? packageOf(rest.agent);
        return {
          name: device,
          ...rest,
          ...(debianPackage === undefined ? {} : { package: debianPackage }),
          parameters: texts(parameters),
        };
      },
    ),
    fencingLevels: fencing.levels ?? {},
    ...(quorumDevice === undefined || voter === undefined
      ? {}
      : {
          quorumDevice: {
            host: voter.name,
            address: voter.addresses[rings[0] ?? "cluster"],
            algorithm: quorumDevice.algorithm ?? defaultAlgorithm(hosts.length),
            clusters: Object.fromEntries(clusters.map((cluster) => [cluster.name, cluster.members[0]?.port ?? 5432])),
          },
        }),
    properties: texts(properties),
    clusters,
  };
}

function texts(values: Readonly<Record<string, string | number | boolean>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]));
}

/** What one PostgreSQL cluster must be like for the agent that drives it. */
function clusterFaults(
  { name, members, failover, virtualIps, rejoin }: ClusterDeclaration,
  corosyncs: readonly string[],
): Fault[] {
  const at: At = (...path) => ["pgha:clusters", name, ...path];
  if (failover.manager === "none") {
    if (Object.keys(virtualIps).length === 0) return [];
    return [
      {
        path: at("virtualIps"),
        found: "virtual IPs without a failover manager",
        expected: "failover: { manager: pacemaker }, which moves them with the primary",
        remedy: "Write it, or remove the virtual IPs.",
      },
    ];
  }
  const faults: Fault[] = [];
  if (!corosyncs.includes(failover.corosync)) {
    faults.push({
      path: at("failover", "corosync"),
      found: `${failover.corosync}, which is not declared`,
      expected: `a Corosync cluster of pgha:pacemaker (${corosyncs.join(", ") || "none is declared"})`,
      remedy: "Declare it there, or name one of them.",
    });
  }
  if (failover.agent === "paf" && failover.autoRejoin && rejoin === "manual") {
    faults.push({
      path: at("failover", "autoRejoin"),
      found: "true, and rejoin: manual",
      expected: "rejoin: auto or rewind-only, which let a former primary be brought back",
      remedy: "Write one of them, or remove autoRejoin.",
    });
  }
  return [...faults, ...members.flatMap((member) => memberFaults(at, member, members))];
}

/** The agent is configured once for all hosts: what it names must be the same on each. */
function memberFaults(at: At, member: MemberDeclaration, members: readonly MemberDeclaration[]): Fault[] {
  const faults: Fault[] = [];
  const [first] = members;
  const neighbour = members.find(({ name, host }) => name !== member.name && host === member.host);
  if (neighbour !== undefined) {
    faults.push({
      path: at("members", member.name, "host"),
      found: `${member.host}, which has ${neighbour.name} too`,
      expected: "under Pacemaker one member of a cluster on a host",
      remedy: "Move one of them to another host.",
    });
  } else if (member.name !== member.host) {
    faults.push({
      path: at("members", member.name),
      found: `${member.name} on the host ${member.host}`,
      expected: "under Pacemaker a member that has its host's name: the agent tells standbys by it",
      remedy: `Name the member ${member.host}.`,
    });
  }
  if (["data", "pacemaker"].includes(member.name)) {
    faults.push({
      path: at("members", member.name),
      found: member.name,
      expected: "under Pacemaker another name: what its agent works with is called so, beside the members",
      remedy: "Rename the member and its host.",
    });
  }
  if (first !== undefined && member.port !== first.port) {
    faults.push({
      path: at("members", member.name, "port"),
      found: `${member.port}, and ${first.port} of ${first.name}`,
      expected: "under Pacemaker the same port on every host",
      remedy: "Give all members one port.",
    });
  }
  return faults;
}

function unusedFault(path: string[]): Fault {
  return {
    path,
    found: "no cluster that fails over by it",
    expected: "at least one with failover: { manager: pacemaker }",
    remedy: "Write that in a cluster, or remove this entry.",
  };
}

function ringFaults({ parts, at, hosts }: Parts): Fault[] {
  const rings: readonly RingNetwork[] = parts.rings ?? [];
  const faults: Fault[] = [];
  const seen = new Map<string, string>();
  for (const [index, ring] of rings.entries()) {
    if (rings.indexOf(ring) !== index) {
      faults.push({
        path: at("rings", String(index)),
        found: `${ring} twice`,
        expected: "each network once",
        remedy: "Remove one of the two.",
      });
      continue;
    }
    for (const host of hosts) {
      const address = host.addresses[ring];
      const other = seen.get(address);
      const label = `${host.name}'s ${ring} address`;
      if (other !== undefined) {
        faults.push({
          path: at("rings", String(index)),
          found: `${address} as ${label}, which is also ${other}`,
          expected: "an address of its own for every ring of every host",
          remedy: `Declare address.${ring} of ${host.name}, or remove the ring.`,
        });
      }
      seen.set(address, label);
    }
  }
  return faults;
}

function sharedHostFault(path: string[], host: string, other: string): Fault {
  return {
    path,
    found: `the host ${host}, which belongs to ${other} too`,
    expected: "a host in one Corosync cluster",
    remedy: "Let both clusters name the same one in failover.corosync.",
  };
}

/** Two clusters whose resources would have one name: "a" and "a-clone". */
function idFaults(clusters: readonly ClusterDeclaration[]): Fault[] {
  const owners = new Map<string, string>();
  const faults: Fault[] = [];
  for (const { name, failover, virtualIps } of clusters) {
    if (failover.manager !== "pacemaker") continue;
    const { resource, clone, addressGroup, readersGroup } = pacemakerNames(name);
    const ids = [
      resource,
      clone,
      addressGroup,
      readersGroup,
      ...Object.keys(virtualIps).map((kind) => addressResource(name, kind)),
    ];
    for (const id of ids) {
      const owner = owners.get(`${failover.corosync} ${id}`);
      if (owner !== undefined || id.startsWith(fenceId(""))) {
        faults.push({
          path: ["pgha:clusters", name],
          found: `the name ${name}, by which Pacemaker's ${id} is ${owner === undefined ? "a fence device's" : `${owner}'s too`}`,
          expected: "a name that gives its resources names of their own",
          remedy: "Rename the cluster.",
        });
      }
      owners.set(`${failover.corosync} ${id}`, name);
    }
  }
  return faults;
}
