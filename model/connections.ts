import { z } from "zod";
import type { Fault } from "./fault.ts";
import { address, expected, faultsOf, hostName, isMapping, network, port, type Reading, readObject } from "./schema.ts";
import type { SshTarget, TargetFields } from "./sshTarget.ts";

const hostKeyExpected = expected(
  'a public key such as "ssh-ed25519 AAAA..."',
  "Copy the line from /etc/ssh/ssh_host_ed25519_key.pub on the host.",
);

const hostKey = z
  .string(hostKeyExpected)
  .regex(/^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( .*)?$/, hostKeyExpected.error);

/** It is written into pg_ident.conf, too. */
const accountName = z
  .string()
  .min(1)
  .regex(/^[^\s"#]*$/, expected("the name of an account", "Leave out blanks, quotes and #.").error);

const jumpSchema = z.strictObject({
  /** Name or IP address of the hop, as this machine reaches it. */
  address: z.string().min(1),
  /** Port of its sshd. Default 22. */
  port: port.default(22),
  /** The user who logs in there; needs no sudo. Default "root". */
  user: accountName.default("root"),
  /** Its public key; checked on every connection. */
  hostKey,
});

/** `pgha:ssh`: how to reach the hosts. */
const sshSchema = z.strictObject({
  /** The user who logs in; another one than root needs `sudo -n`. Default "root". */
  user: accountName.default("root"),
  /** Port of sshd. Default 22. */
  port: port.default(22),
  /** Path of a private key on this machine; `~` is the home directory. Default: the agent at SSH_AUTH_SOCK. */
  privateKeyFile: z.string().min(1).optional(),
  /** One hop in front of all hosts, reached with the same key. */
  jump: jumpSchema.optional(),
});

const addressesSchema = z.strictObject({
  /** Where clients and SSH reach the host. */
  service: address,
  /** Where failover managers speak with each other. Default: the service address. */
  cluster: address.optional(),
  /** Where the members' hosts reach it, for WAL and for the handover. Default: the service address. */
  replication: address.optional(),
});

const userCommandSchema = z.strictObject({
  /** What runs when the host is first prepared, and again when this text changes. It must be repeatable. */
  create: z.string().min(1),
  /** What runs instead of `create` when the text changes. */
  update: z.string().min(1).optional(),
  /** What runs at `pulumi destroy`. Default: nothing. */
  delete: z.string().min(1).optional(),
});

/** One entry of `pgha:hosts`. */
const hostSchema = z.strictObject({
  /** One address, or one per network: { service, cluster, replication }. SSH goes to the service address. */
  address: z.union(
    [address, addressesSchema],
    expected("an IP address, or one per network: { service, cluster, replication }", "Write where SSH reaches it."),
  ),
  /** The host's public key; checked on every connection. */
  hostKey,
  /** Port of sshd. Default: that of pgha:ssh. */
  sshPort: port.optional(),
  /** The user who logs in. Default: that of pgha:ssh. */
  user: accountName.optional(),
  /** Debian packages to hold on the host besides ours. Default: none. */
  packages: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, expected("the name of a Debian package", "Correct it.").error))
    .default([]),
  /** Commands of your own, run once on the host after its packages, by name. */
  commands: z.record(hostName, userCommandSchema).default({}),
});

/** One entry of `pgha:hosts`, with every default filled in. */
export interface HostDeclaration {
  /** Its key in the stack file, and its name in /etc/hosts of all. */
  readonly name: string;
  /** One for each network; the service address where none is declared. */
  readonly addresses: { readonly service: string; readonly cluster: string; readonly replication: string };
  /** How this machine reaches it. */
  readonly ssh: SshTarget;
  /** Debian packages besides ours. One that is taken off the list stays installed. */
  readonly packages: readonly string[];
  /** The user's own commands by name, as root, each at most 10 minutes. */
  readonly commands: Readonly<
    Record<string, { create: string; update?: string | undefined; delete?: string | undefined }>
  >;
}

/** Networks that the stack file names, so that pg_hba.conf and the checks can speak of them. */
export type Networks = Readonly<Record<string, string>>;

/** Keys of the stack file without "pgha:", each as JSON text or plain text; undefined where it has none. */
export type Config = Readonly<Record<string, string | undefined>>;

/** One key of the stack file as data: what its JSON text means, or the text itself. */
export function readKey(config: Config, key: string): unknown {
  const text = config[key];
  if (text === undefined) return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Names with what stands under them, each parsed by itself: what is wrong with one says nothing about another.
 * Undefined when the whole is no such thing.
 */
export function readEntries<T>(
  data: unknown,
  path: readonly string[],
  faults: Fault[],
  readEntry: (data: unknown, path: readonly string[]) => Reading<T>,
): ReadonlyMap<string, Reading<T>> | undefined {
  const names = z.record(hostName, z.unknown()).safeParse(data);
  if (!names.success) faults.push(...faultsOf(names.error, data, path));
  if (!isMapping(data)) return undefined;
  return new Map(Object.entries(data).map(([name, entry]) => [name, readEntry(entry, [...path, name])]));
}

/** What a stack file says about where things are. With faults, only what has none. */
export interface Surroundings {
  /** The hosts without a fault. */
  readonly hosts: readonly HostDeclaration[];
  /** The networks without a fault, by name. */
  readonly networks: Networks;
  /** All names that stand there, faulty entries too; undefined when they cannot be told. */
  readonly hostNames: readonly string[] | undefined;
  /** The same of networks. */
  readonly networkNames: readonly string[] | undefined;
}

/** Hosts, SSH and networks of a stack file. `config` holds the keys without "pgha:". All faults at once. */
export function parseHosts(config: Config): Surroundings & { faults: Fault[] } {
  const faults: Fault[] = [];
  const ssh = readObject(sshSchema, readKey(config, "ssh"), ["pgha:ssh"], faults);
  const declared = readEntries(readKey(config, "hosts"), ["pgha:hosts"], faults, (data, path) =>
    readObject(hostSchema, data, path, faults),
  );
  const named = readEntries(readKey(config, "networks"), ["pgha:networks"], faults, (data, path): Reading<string> => {
    const result = network.safeParse(data);
    if (result.success) return { value: result.data, faultyPaths: [] };
    faults.push(...faultsOf(result.error, data, path));
    return { faultyPaths: [[]] };
  });
  const settings = ssh.value ?? sshSchema.parse({});
  const hosts = wholeEntries(declared).map(([name, host]) => hostDeclaration(name, host, settings));
  if (ssh.value !== undefined) faults.push(...sharedAddresses(hosts));
  return {
    hosts,
    networks: Object.fromEntries(wholeEntries(named)),
    hostNames: declared === undefined ? undefined : [...declared.keys()],
    networkNames: named === undefined ? undefined : [...named.keys()],
    faults,
  };
}

function wholeEntries<T>(entries: ReadonlyMap<string, Reading<T>> | undefined): [string, T][] {
  return [...(entries ?? [])].flatMap(([name, { value }]): [string, T][] =>
    value === undefined ? [] : [[name, value]],
  );
}

const jumpFields: TargetFields = {
  address: "pgha:ssh.jump.address",
  user: "pgha:ssh.jump.user",
  hostKey: "pgha:ssh.jump.hostKey",
  privateKeyFile: "pgha:ssh.privateKeyFile",
};

function hostDeclaration(
  name: string,
  host: z.infer<typeof hostSchema>,
  ssh: z.infer<typeof sshSchema>,
): HostDeclaration {
  const one = typeof host.address === "string" ? { service: host.address } : host.address;
  const addresses = {
    service: one.service,
    cluster: ("cluster" in one ? one.cluster : undefined) ?? one.service,
    replication: ("replication" in one ? one.replication : undefined) ?? one.service,
  };
  // The jump host is reached with the same key, or the same agent.
  const key = ssh.privateKeyFile === undefined ? {} : { privateKeyFile: ssh.privateKeyFile };
  const target: SshTarget = {
    name,
    address: addresses.service,
    port: host.sshPort ?? ssh.port,
    user: host.user ?? ssh.user,
    hostKey: host.hostKey,
    ...key,
    fields: {
      address: `pgha:hosts.${name}.address`,
      user: host.user === undefined ? "pgha:ssh.user" : `pgha:hosts.${name}.user`,
      hostKey: `pgha:hosts.${name}.hostKey`,
      privateKeyFile: "pgha:ssh.privateKeyFile",
    },
    ...(ssh.jump === undefined ? {} : { jump: { name: "the jump host", ...ssh.jump, ...key, fields: jumpFields } }),
  };
  return { name, addresses, ssh: target, packages: host.packages, commands: host.commands };
}

function sharedAddresses(hosts: readonly HostDeclaration[]): Fault[] {
  const seen = new Map<string, string>();
  return hosts.flatMap((host): Fault[] => {
    const endpoint = `${host.addresses.service} port ${host.ssh.port}`;
    const other = seen.get(endpoint);
    seen.set(endpoint, host.name);
    if (other === undefined) return [];
    return [
      {
        path: ["pgha:hosts", host.name, "address"],
        found: `${endpoint}, which is also ${other}`,
        expected: "an address of its own for every host",
        remedy: "Correct one of the two.",
      },
    ];
  });
}

/** What the provider needs to reach hosts: nothing of clusters, no secrets. */
export function parseConnections(config: Config): { targets: readonly SshTarget[]; faults: readonly Fault[] } {
  const { hosts, faults } = parseHosts(config);
  return { targets: hosts.map((host) => host.ssh), faults };
}
