import type { HostDeclaration, Networks } from "./connections.ts";
import type { ClusterDeclaration, MemberDeclaration, UncheckedCluster } from "./declaration.ts";
import type { Fault } from "./fault.ts";
import { defaultDataDirectory } from "./names.ts";
import { parameterFaults } from "./parameters.ts";
import { contains, network, show } from "./schema.ts";

/** The rules that need more than one field. Every fault at once; clusters are only to be used when there is none. */
export function validateClusters(
  clusters: Readonly<Record<string, UncheckedCluster>>,
  hosts: readonly HostDeclaration[],
  networks: Networks,
): { clusters: ClusterDeclaration[]; faults: Fault[] } {
  const faults: Fault[] = [];
  const parsed = Object.entries(clusters).map(([name, unchecked]): ClusterDeclaration => {
    const at = (...path: string[]) => ["pgha:clusters", name, ...path];
    const members = membersOf(name, unchecked, hosts, at, faults);
    faults.push(...primaryFaults(unchecked, members, at));
    faults.push(...synchronousFaults(unchecked, members, at));
    faults.push(...parameterFaults(unchecked.parameters, unchecked.postgresVersion, at("parameters")));
    faults.push(...eraseFaults(name, unchecked, at));
    const { eraseConfirmation, ...rest } = unchecked;
    return {
      ...rest,
      name,
      members,
      parameters: Object.fromEntries(
        Object.entries(unchecked.parameters).map(([key, value]) => [key, parameterText(value)]),
      ),
      clientNetworks: resolveNetworks(unchecked.clientNetworks, networks, at("clientNetworks"), faults),
      ...(eraseConfirmation === undefined ? {} : { eraseConfirmation }),
    };
  });
  faults.push(...placeFaults(parsed));
  faults.push(...networkFaults(hosts, networks));
  return { clusters: parsed, faults };
}

function parameterText(value: string | number | boolean): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value);
}

type At = (...path: string[]) => string[];

function membersOf(
  cluster: string,
  unchecked: UncheckedCluster,
  hosts: readonly HostDeclaration[],
  at: At,
  faults: Fault[],
): MemberDeclaration[] {
  const entries = Object.entries(unchecked.members);
  if (entries.length === 0) {
    faults.push({ path: at("members"), found: "none", expected: "at least one member", remedy: "Name a member." });
  }
  return entries.map(([name, member]): MemberDeclaration => {
    const hostName = member.host ?? name;
    const host = hosts.find((candidate) => candidate.name === hostName);
    if (host === undefined) {
      faults.push({
        path: at("members", name, ...(member.host === undefined ? [] : ["host"])),
        found: `the host ${hostName}, which is not declared`,
        expected: `one of the hosts (${hosts.map((known) => known.name).join(", ") || "none is declared"})`,
        remedy: `Declare it under pgha:hosts, or write { host: ... }.`,
      });
    }
    return {
      name,
      host: hostName,
      port: member.port,
      dataDirectory: member.dataDirectory ?? defaultDataDirectory(unchecked.postgresVersion, cluster, name),
      ...(member.walDirectory === undefined ? {} : { walDirectory: member.walDirectory }),
      candidate: member.candidate,
      replicationAddress: host?.addresses.replication ?? "",
      serviceAddress: host?.addresses.service ?? "",
    };
  });
}

function primaryFaults(unchecked: UncheckedCluster, members: readonly MemberDeclaration[], at: At): Fault[] {
  const names = members.map((member) => member.name).join(", ");
  const primary = members.find((member) => member.name === unchecked.primary);
  if (primary === undefined) {
    return [
      {
        path: at("primary"),
        found: show(unchecked.primary),
        expected: `a member (${names})`,
        remedy: "Name a member.",
      },
    ];
  }
  if (primary.candidate) return [];
  return [
    {
      path: at("primary"),
      found: `${primary.name}, which has candidate: false`,
      expected: "a member that may be primary",
      remedy: "Name another member, or remove candidate: false.",
    },
  ];
}

function synchronousFaults(unchecked: UncheckedCluster, members: readonly MemberDeclaration[], at: At): Fault[] {
  if (unchecked.synchronous === "off") return [];
  const standbys = members.filter((member) => member.candidate).length - 1;
  const [mode, needed] =
    "quorum" in unchecked.synchronous
      ? ["quorum", unchecked.synchronous.quorum]
      : ["priority", unchecked.synchronous.priority];
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

function eraseFaults(name: string, unchecked: UncheckedCluster, at: At): Fault[] {
  if (unchecked.onDestroy !== "erase" || unchecked.eraseConfirmation === name) return [];
  return [
    {
      path: at("eraseConfirmation"),
      found: show(unchecked.eraseConfirmation),
      expected: `${name}, the cluster's name, because onDestroy: erase removes its data`,
      remedy: `Write eraseConfirmation: ${name}, or another onDestroy.`,
    },
  ];
}

function resolveNetworks(
  declared: readonly string[],
  networks: Networks,
  path: readonly string[],
  faults: Fault[],
): string[] {
  return declared.flatMap((entry, index) => {
    const named = networks[entry];
    if (named !== undefined) return [named];
    if (network.safeParse(entry).success) return [entry];
    faults.push({
      path: [...path, String(index)],
      found: show(entry),
      expected: `a network such as 198.51.100.0/24, or a name of pgha:networks (${Object.keys(networks).join(", ") || "none is declared"})`,
      remedy: "Correct it, or declare the network.",
    });
    return [];
  });
}

/** Across all clusters: no two instances on one port, in one directory, or one inside the other. */
function placeFaults(clusters: readonly ClusterDeclaration[]): Fault[] {
  const faults: Fault[] = [];
  const ports = new Map<string, string>();
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

function within(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(`${outer}/`);
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
