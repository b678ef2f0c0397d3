import type { HostDeclaration, Networks, Surroundings } from "./connections.ts";
import type { ClusterDeclaration, MemberDeclaration, UncheckedCluster, VirtualIps } from "./declaration.ts";
import { durationSeconds } from "./duration.ts";
import type { Fault } from "./fault.ts";
import { defaultDataDirectory, memberPaths } from "./names.ts";
import { declarePgsql } from "./pacemaker/pgsqlParameters.ts";
import { pgsqlFaults } from "./pacemaker/pgsqlRules.ts";
import { declaredSupervision, supervisionFaults } from "./pacemaker/supervisionRules.ts";
import { parameterFaults } from "./parameters.ts";
import { contains, network, type Reading, show, within } from "./schema.ts";

/** The parts of one cluster that could be read. */
interface ClusterParts {
  readonly name: string;
  readonly parts: Partial<UncheckedCluster>;
  /** Names of all members that stand there, and of those that are right. */
  readonly memberNames: readonly string[];
  readonly members: readonly MemberDeclaration[];
  readonly at: At;
}

type At = (...path: string[]) => string[];

/**
 * The rules that need more than one field. Every fault at once: a rule speaks wherever the fields that it needs are right.
 * The clusters are only to be used when there is no fault. `corosyncs`: the names under pgha:pacemaker.
 */
export function validateClusters(
  clusters: ReadonlyMap<string, Reading<UncheckedCluster>>,
  surroundings: Surroundings,
  corosyncs: readonly string[] = [],
): { clusters: ClusterDeclaration[]; faults: Fault[] } {
  const faults: Fault[] = [];
  const parsed: ClusterDeclaration[] = [];
  const places: ClusterParts[] = [];
  for (const [name, reading] of clusters) {
    const { parts, value } = reading;
    if (parts === undefined) continue;
    const at = (...path: string[]) => ["pgha:clusters", name, ...path];
    const { members, memberNames } = readMembers(name, reading, surroundings, at, faults);
    const cluster: ClusterParts = { name, parts, memberNames, members, at };
    places.push(cluster);
    faults.push(...memberCountFaults(cluster), ...primaryFaults(cluster), ...synchronousFaults(cluster));
    if (parts.parameters !== undefined && parts.postgresVersion !== undefined) {
      faults.push(...parameterFaults(parts.parameters, parts.postgresVersion, at("parameters")));
    }
    faults.push(...replicationParameterFaults(cluster));
    faults.push(...eraseFaults(cluster));
    faults.push(...supervisionFaults(cluster));
    faults.push(...pgsqlFaults({ ...cluster, directories: members.flatMap(directoriesOf) }));
    const clientNetworks = resolveNetworks(cluster, surroundings, faults);
    if (value !== undefined) parsed.push(clusterDeclaration(name, value, members, clientNetworks, corosyncs));
  }
  faults.push(...placeFaults(places));
  faults.push(...networkFaults(surroundings.hosts, surroundings.networks));
  return { clusters: parsed, faults };
}

function clusterDeclaration(
  name: string,
  cluster: UncheckedCluster,
  members: readonly MemberDeclaration[],
  clientNetworks: readonly string[],
  corosyncs: readonly string[],
): ClusterDeclaration {
  const { eraseConfirmation, maintenanceWindow, virtualIps, synchronous, ...rest } = cluster;
  const supervision = declaredSupervision(cluster.failover);
  return {
    ...rest,
    name,
    members,
    ...synchronousDeclaration(synchronous),
    failover: declaredFailover(name, cluster, corosyncs),
    ...(supervision === undefined ? {} : { supervision }),
    virtualIps: declaredAddresses(virtualIps),
    parameters: {
      ...Object.fromEntries(Object.entries(cluster.parameters).map(([key, value]) => [key, parameterText(value)])),
      ...recoveryParameters(cluster),
    },
    clientNetworks,
    ...(eraseConfirmation === undefined ? {} : { eraseConfirmation }),
    ...(maintenanceWindow === undefined ? {} : { maintenanceWindow }),
  };
}

function synchronousDeclaration(
  synchronous: UncheckedCluster["synchronous"],
): Pick<ClusterDeclaration, "synchronous" | "relaxAfterSeconds"> {
  if (synchronous === "off") return { synchronous };
  const { onLoss, relaxAfter = defaultRelaxAfter, ...rule } = synchronous;
  return { synchronous: rule, ...(onLoss === "relax" ? { relaxAfterSeconds: durationSeconds(relaxAfter) } : {}) };
}

const defaultRelaxAfter = "30s";

function declaredFailover(
  name: string,
  { failover, synchronous }: UncheckedCluster,
  corosyncs: readonly string[],
): ClusterDeclaration["failover"] {
  if (failover.manager === "none") return failover;
  const { manager, agent, pgsql, autoRejoin } = failover;
  const corosync = corosyncOf(failover.corosync, corosyncs);
  // What was not declared is not there: a state of an earlier version has nothing of it either.
  if (agent === "paf") return { manager, agent, corosync, ...(autoRejoin ? { autoRejoin } : {}) };
  return { manager, agent, corosync, pgsql: declarePgsql(name, synchronous !== "off", pgsql) };
}

/** What the agent pgsql is told of archived WAL is PostgreSQL's own setting. */
function recoveryParameters({ failover }: UncheckedCluster): Record<string, string> {
  if (failover.manager === "none" || failover.agent !== "pgsql") return {};
  const { restore_command = "", archive_cleanup_command = "" } = failover.pgsql ?? {};
  return {
    ...(restore_command === "" ? {} : { restore_command }),
    ...(archive_cleanup_command === "" ? {} : { archive_cleanup_command }),
  };
}

/** Where several are declared, one must be named: "main" is then no guess, but what the fault speaks of. */
function corosyncOf(named: string | undefined, declared: readonly string[]): string {
  const [only] = declared.length === 1 ? declared : [];
  return named ?? only ?? "main";
}

function declaredAddresses(declared: VirtualIps): ClusterDeclaration["virtualIps"] {
  return Object.fromEntries(
    Object.entries(declared).flatMap(([kind, value]) => {
      if (value === undefined) return [];
      const { address, prefix, nic } = value;
      return [[kind, { address, prefix, ...(nic === undefined ? {} : { nic }) }]];
    }),
  );
}

/** Where its data lies. */
function directoriesOf({ dataDirectory, walDirectory }: MemberDeclaration): string[] {
  return walDirectory === undefined ? [dataDirectory] : [dataDirectory, walDirectory];
}

function parameterText(value: string | number | boolean): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value);
}

/** Members without faults of their own, and the names of all: a rule about names must not mistake a faulty one for missing. */
function readMembers(
  cluster: string,
  { parts, faultyPaths }: Reading<UncheckedCluster>,
  { hosts, hostNames }: Surroundings,
  at: At,
  faults: Fault[],
): { members: MemberDeclaration[]; memberNames: string[] } {
  const faulty = new Set(
    faultyPaths.flatMap(([key, name]) => (key === "members" && name !== undefined ? [String(name)] : [])),
  );
  const entries = Object.entries(parts?.members ?? {});
  const memberNames = [...new Set([...entries.map(([name]) => name), ...faulty])];
  const members = entries.flatMap(([name, member]): MemberDeclaration[] => {
    if (faulty.has(name)) return [];
    const hostName = member.host ?? name;
    if (hostNames?.includes(hostName) === false) {
      faults.push({
        path: at("members", name, ...(member.host === undefined ? [] : ["host"])),
        found: `the host ${hostName}, which is not declared`,
        expected: `one of the hosts (${hostNames.join(", ") || "none is declared"})`,
        remedy: "Declare it under pgha:hosts, or write { host: ... }.",
      });
    }
    const host = hosts.find((candidate) => candidate.name === hostName);
    return [
      {
        name,
        host: hostName,
        port: member.port,
        dataDirectory: member.dataDirectory ?? defaultDataDirectory(parts?.postgresVersion ?? 0, cluster, name),
        ...(member.walDirectory === undefined ? {} : { walDirectory: member.walDirectory }),
        candidate: member.candidate,
        replicationAddress: host?.addresses.replication ?? "",
        serviceAddress: host?.addresses.service ?? "",
        sshPort: host?.ssh.port ?? 22,
        hostKey: host?.ssh.hostKey ?? "",
      },
    ];
  });
  return { members, memberNames };
}

function memberCountFaults({ parts, memberNames, at }: ClusterParts): Fault[] {
  if (parts.members === undefined || memberNames.length > 0) return [];
  return [{ path: at("members"), found: "none", expected: "at least one member", remedy: "Name a member." }];
}

function primaryFaults({ parts, members, memberNames, at }: ClusterParts): Fault[] {
  if (parts.primary === undefined || memberNames.length === 0) return [];
  if (!memberNames.includes(parts.primary)) {
    return [
      {
        path: at("primary"),
        found: show(parts.primary),
        expected: `a member (${memberNames.join(", ")})`,
        remedy: "Name a member.",
      },
    ];
  }
  const primary = members.find((member) => member.name === parts.primary);
  if (primary === undefined || primary.candidate) return [];
  return [
    {
      path: at("primary"),
      found: `${primary.name}, which has candidate: false`,
      expected: "a member that may be primary",
      remedy: "Name another member, or remove candidate: false.",
    },
  ];
}

function synchronousFaults({ parts, members, memberNames, at }: ClusterParts): Fault[] {
  const { synchronous } = parts;
  if (synchronous === undefined || synchronous === "off" || memberNames.length === 0) return [];
  const others = members.filter((member) => !member.candidate).length;
  const standbys = memberNames.length - others - 1;
  const [mode, needed] = "quorum" in synchronous ? ["quorum", synchronous.quorum] : ["priority", synchronous.priority];
  if (needed <= standbys) return [];
  return [
    {
      path: at("synchronous", mode),
      found: `${needed} with ${standbys} candidate standby${standbys === 1 ? "" : "s"}`,
      expected: `at most ${standbys}: otherwise no commit ever ends`,
      remedy: 'Lower it, add members, or write synchronous: "off".',
    },
  ];
}

/** Values with which the members could not stream from each other. */
function replicationParameterFaults({ parts, memberNames, at }: ClusterParts): Fault[] {
  return Object.entries(parts.parameters ?? {}).flatMap(([name, value]): Fault[] => {
    const path = at("parameters", name);
    const key = name.toLowerCase();
    if (key === "wal_level" && !["replica", "logical"].includes(String(value).toLowerCase())) {
      return [
        {
          path,
          found: show(value),
          expected: "replica or logical: standbys need it",
          remedy: "Correct it or remove it.",
        },
      ];
    }
    const counted = key === "max_wal_senders" || key === "max_replication_slots";
    if (counted && Number(value) < memberNames.length) {
      return [
        {
          path,
          found: show(value),
          expected: `at least ${memberNames.length}, one for each member`,
          remedy: "Raise it or remove it.",
        },
      ];
    }
    return [];
  });
}

function eraseFaults({ name, parts, at }: ClusterParts): Fault[] {
  if (parts.onDestroy !== "erase" || parts.eraseConfirmation === name) return [];
  return [
    {
      path: at("eraseConfirmation"),
      found: show(parts.eraseConfirmation),
      expected: `${name}, the cluster's name, because onDestroy: erase removes its data`,
      remedy: `Write eraseConfirmation: ${name}, or another onDestroy.`,
    },
  ];
}

function resolveNetworks(
  { parts, at }: ClusterParts,
  { networks, networkNames }: Surroundings,
  faults: Fault[],
): string[] {
  return (parts.clientNetworks ?? []).flatMap((entry, index) => {
    const named = networks[entry];
    if (named !== undefined) return [named];
    if (network.safeParse(entry).success) return [entry];
    if (networkNames === undefined || networkNames.includes(entry)) return [];
    faults.push({
      path: at("clientNetworks", String(index)),
      found: show(entry),
      expected: `a network such as 198.51.100.0/24, or a name of pgha:networks (${networkNames.join(", ") || "none is declared"})`,
      remedy: "Correct it, or declare the network.",
    });
    return [];
  });
}

/** Across all clusters: no two instances on one port, of one unit, in one directory, or one inside the other. */
function placeFaults(clusters: readonly ClusterParts[]): Fault[] {
  const faults: Fault[] = [];
  const ports = new Map<string, string>();
  const units = new Map<string, string>();
  const directories: { host: string; directory: string; label: string }[] = [];
  for (const cluster of clusters) {
    for (const member of cluster.members) {
      const label = `${cluster.name}.${member.name}`;
      const path = ["pgha:clusters", cluster.name, "members", member.name];
      const place = `${member.host}:${member.port}`;
      const other = ports.get(place);
      if (other !== undefined) {
        faults.push({
          path: [...path, "port"],
          found: `port ${member.port} on ${member.host}, which ${other} has`,
          expected: "a port of its own for every instance of a host",
          remedy: "Give one of them another port.",
        });
      }
      ports.set(place, label);
      const { unit } = memberPaths(cluster.name, member.name);
      const namesake = units.get(`${member.host}:${unit}`);
      if (namesake !== undefined) {
        faults.push({
          path,
          found: `the unit ${unit} on ${member.host}, which ${namesake} has`,
          expected: "names of cluster and member that differ when they are joined by a hyphen",
          remedy: "Rename one of the two.",
        });
      }
      units.set(`${member.host}:${unit}`, label);
      const own = [
        ["dataDirectory", member.dataDirectory],
        ["walDirectory", member.walDirectory],
      ] as const;
      for (const [key, directory] of own) {
        if (directory === undefined) continue;
        const clash = directories.find(
          (known) =>
            known.host === member.host && (within(known.directory, directory) || within(directory, known.directory)),
        );
        if (clash !== undefined) {
          faults.push({
            path: [...path, key],
            found: `${directory} on ${member.host}, which overlaps ${clash.directory} of ${clash.label}`,
            expected: "a directory of its own, not inside another instance's",
            remedy: "Give one of them another directory.",
          });
        }
        directories.push({ host: member.host, directory, label });
      }
    }
  }
  return faults;
}

/** A declared network of a host's role must contain that host's address: a typing error in either is found here. */
function networkFaults(hosts: readonly HostDeclaration[], networks: Networks): Fault[] {
  const roles = ["service", "cluster", "replication"] as const;
  return hosts.flatMap((host) =>
    roles.flatMap((role): Fault[] => {
      const declared = networks[role];
      const own = host.addresses[role];
      const defaulted = role !== "service" && own === host.addresses.service;
      if (declared === undefined || defaulted || contains(declared, own)) return [];
      return [
        {
          path: ["pgha:hosts", host.name, "address", role],
          found: own,
          expected: `an address in pgha:networks.${role} (${declared})`,
          remedy: "Correct the address or the network.",
        },
      ];
    }),
  );
}
