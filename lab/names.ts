import { UserError } from "../model/fault.ts";

/** The three networks of every lab: what clients use, what failover managers talk over, what WAL goes over. */
export const networkNames = ["service", "cluster", "replication"] as const;
export type NetworkName = (typeof networkNames)[number];

/** One bridge of a lab and the addresses on it. */
export interface LabNetwork {
  readonly name: NetworkName;
  /** Bridge on the machine, at most 15 characters as every interface name. */
  readonly bridge: string;
  /** "198.51.100.0/26". Each lab has a /26 of its own in each documentation range. */
  readonly subnet: string;
  /** Interface inside the hosts. */
  readonly hostInterface: "host0" | "host1" | "host2";
}

/** Everything that follows from a lab's name. */
export interface LabNames {
  readonly lab: string;
  readonly networks: readonly LabNetwork[];
  /** The machine's address on the service network: the hosts' way out. The other two networks lead nowhere else. */
  readonly gateway: string;
  /** An address of the service network that no host has. */
  readonly virtualIp: string;
  /** Name of the lab's two nft tables (families ip and bridge). */
  readonly table: string;
  /** Folder of the lab's cgroups below the root of each hierarchy; as a slice where systemd runs the machine. */
  readonly slice: string;
}

/** One host's name and addresses. */
export interface HostNames {
  readonly name: string;
  readonly addresses: Readonly<Record<NetworkName, string>>;
  /** Machine-side interface of the host on each network. */
  readonly ports: Readonly<Record<NetworkName, string>>;
  /** Name given to systemd-nspawn; unique on the machine. */
  readonly machine: string;
}

const ranges: Readonly<Record<NetworkName, string>> = {
  service: "198.51.100",
  cluster: "192.0.2",
  replication: "203.0.113",
};
const suffixes: Readonly<Record<NetworkName, string>> = { service: "svc", cluster: "cls", replication: "rep" };
const interfaces = { service: "host0", cluster: "host1", replication: "host2" } as const;
const firstHostOffset = 11;
const virtualIpOffset = 50;

/** Most hosts one lab may have: .11 to .30 of its /26; the addresses above are free for virtual IPs. */
const mostHosts = 20;

/** Start of the lab's /26 within each range: demo 0, test 64, bench 128, any other name 192. */
function subnetBase(lab: string): number {
  const known: Readonly<Record<string, number>> = { demo: 0, test: 64, bench: 128 };
  return known[lab] ?? 192;
}

/** Names and networks of a lab. The name is limited because interface names carry it. */
export function labNames(lab: string): LabNames {
  if (!/^[a-z][a-z0-9]{0,7}$/.test(lab)) {
    throw new UserError(
      `--lab: found "${lab}", expected 1 to 8 lower-case letters and digits, a letter first. Use for example "test".`,
    );
  }
  const base = subnetBase(lab);
  return {
    lab,
    networks: networkNames.map((name) => ({
      name,
      bridge: `${lab}-${suffixes[name]}`,
      subnet: `${ranges[name]}.${base}/26`,
      hostInterface: interfaces[name],
    })),
    gateway: `${ranges.service}.${base + 1}`,
    virtualIp: `${ranges.service}.${base + virtualIpOffset}`,
    table: `pgha_${lab}`,
    slice: `pgha-${lab}`,
  };
}

/** Names and addresses of the host with this number (1 = pg1). */
export function hostNames(lab: string, number: number): HostNames {
  if (!Number.isInteger(number) || number < 1 || number > mostHosts) {
    throw new UserError(`--hosts: found ${number}, expected 1 to ${mostHosts}. A lab's /26 has room for no more.`);
  }
  const name = `pg${number}`;
  const last = subnetBase(lab) + firstHostOffset + number - 1;
  return {
    name,
    addresses: {
      service: `${ranges.service}.${last}`,
      cluster: `${ranges.cluster}.${last}`,
      replication: `${ranges.replication}.${last}`,
    },
    ports: { service: `${lab}-${name}s`, cluster: `${lab}-${name}c`, replication: `${lab}-${name}r` },
    machine: `${lab}-${name}`,
  };
}

/** True for an address of one of the three ranges. A mirror or name server there needs a route of its own in the hosts. */
export function isLabRange(address: string): boolean {
  return Object.values(ranges).some((range) => address.startsWith(`${range}.`));
}
