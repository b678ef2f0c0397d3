import type { HostDeclaration, Surroundings } from "../connections.ts";
import type { ClusterDeclaration } from "../declaration.ts";
import type { Fault } from "../fault.ts";
import { contains } from "../schema.ts";

interface DeclaredAddress {
  readonly path: string[];
  readonly label: string;
  readonly address: string;
  readonly prefix: number;
  readonly nic?: string;
}

/** The rules for virtual IPs: each once, nobody's own, in a network that its hosts are in. */
export function addressFaults(
  clusters: readonly ClusterDeclaration[],
  { hosts, networks }: Pick<Surroundings, "hosts" | "networks">,
): Fault[] {
  const faults: Fault[] = [];
  const taken = new Map<string, string>();
  for (const cluster of clusters) {
    const own = hosts.filter((host) => cluster.members.some((member) => member.host === host.name));
    for (const declared of addressesOf(cluster)) {
      const other = taken.get(declared.address);
      taken.set(declared.address, declared.label);
      if (other !== undefined) {
        faults.push({
          path: declared.path,
          found: `${declared.address}, which ${other} has`,
          expected: "an address of its own for every virtual IP",
          remedy: "Give one of them another address.",
        });
        continue;
      }
      faults.push(...hostAddressFaults(declared, hosts), ...placeFaults(declared, own, Object.values(networks)));
    }
  }
  return faults;
}

function addressesOf({ name, virtualIps }: ClusterDeclaration): DeclaredAddress[] {
  return Object.entries(virtualIps).map(([kind, value]) => ({
    path: ["pgha:clusters", name, "virtualIps", kind],
    label: `${name}.${kind}`,
    ...value,
  }));
}

function hostAddressFaults({ path, address }: DeclaredAddress, hosts: readonly HostDeclaration[]): Fault[] {
  return hosts
    .filter((host) => Object.values(host.addresses).includes(address))
    .slice(0, 1)
    .map((host) => ({
      path,
      found: `${address}, which is ${host.name}'s own`,
      expected: "an address that no host has: it moves with the primary",
      remedy: "Choose a free address of that network.",
    }));
}

/** Without `nic` the interface is found by the network: then every host must be in it. */
function placeFaults(
  { path, address, prefix, nic }: DeclaredAddress,
  hosts: readonly HostDeclaration[],
  networks: readonly string[],
): Fault[] {
  const cidr = `${address}/${prefix}`;
  const outside = hosts.filter((host) => !Object.values(host.addresses).some((own) => contains(cidr, own)));
  const named = networks.some((network) => contains(network, address));
  if (outside.length === 0) return [];
  if (outside.length < hosts.length || named) {
    if (nic !== undefined) return [];
    return [
      {
        path,
        found: `${cidr}, in which ${outside.map(({ name }) => name).join(", ")} ${outside.length === 1 ? "has" : "have"} no address`,
        expected: "a network that every member's host is in, so that its interface is known",
        remedy: `Correct the address, or name the interface: { address: ${cidr}, nic: ... }.`,
      },
    ];
  }
  return [
    {
      path,
      found: `${cidr}, outside every network of the hosts (${[...networks, ...hosts.map((host) => host.addresses.service)].join(", ")})`,
      expected: "an address where the hosts are",
      remedy:
        "Correct the address, or declare its network under pgha:networks and name the interface: { address: ..., nic: ... }.",
    },
  ];
}
