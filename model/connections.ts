import { z } from "zod";
import type { Fault } from "./fault.ts";
import { address, expected, faultsOf, hostName, network, port } from "./schema.ts";
import type { SshTarget } from "./sshTarget.ts";

const hostKey = z
  .string()
  .regex(
    /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( .*)?$/,
    expected(
      'a public key such as "ssh-ed25519 AAAA..."',
      "Copy the line from /etc/ssh/ssh_host_ed25519_key.pub on the host.",
    ).error,
  );

const jumpSchema = z.strictObject({
  address: z.string().min(1),
  port: port.default(22),
  user: z.string().min(1).default("root"),
  hostKey,
});

/** `pgha:ssh`: how to reach the hosts. */
const sshSchema = z.strictObject({
  /** The user who logs in; another one than root needs `sudo -n`. Default "root". */
  user: z.string().min(1).default("root"),
  /** Port of sshd. Default 22. */
  port: port.default(22),
  /** Path of a private key on this machine; `~` is the home directory. Default: the agent at SSH_AUTH_SOCK. */
  privateKeyFile: z.string().min(1).optional(),
  /** One hop in front of all hosts. */
  jump: jumpSchema.optional(),
});

const addressesSchema = z.strictObject({
  service: address,
  cluster: address.optional(),
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
  address: z.union([address, addressesSchema]),
  /** The host's public key; checked on every connection. */
  hostKey,
  /** Port of sshd. Default: that of pgha:ssh. */
  sshPort: port.optional(),
  /** The user who logs in. Default: that of pgha:ssh. */
  user: z.string().min(1).optional(),
  /** Debian packages to hold on the host besides ours. Default: none. */
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/)).default([]),
  /** Commands of your own, run once on the host after its packages, by name. */
  commands: z.record(hostName, userCommandSchema).default({}),
});

export interface HostDeclaration {
  readonly name: string;
  readonly addresses: { readonly service: string; readonly cluster: string; readonly replication: string };
  readonly ssh: SshTarget;
  readonly packages: readonly string[];
  readonly commands: Readonly<
    Record<string, { create: string; update?: string | undefined; delete?: string | undefined }>
  >;
}

/** Networks that the stack file names, so that pg_hba.conf and the checks can speak of them. */
export type Networks = Readonly<Record<string, string>>;

export type Config = Readonly<Record<string, string | undefined>>;

/** One key of the stack file as data; a fault when its text is not JSON or not of the schema. */
export function parseKey<T>(
  config: Config,
  key: string,
  schema: z.ZodType<T>,
  faults: Fault[],
  whenMissing: unknown,
): T | undefined {
  const text = config[key];
  let data: unknown = whenMissing;
  if (text !== undefined) {
    try {
      data = JSON.parse(text);
    } catch {
      data = text;
    }
  }
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  faults.push(...faultsOf(result.error, data, [`pgha:${key}`]));
  return undefined;
}

/** Hosts, SSH and networks of a stack file. `config` holds the keys without "pgha:". All faults at once. */
export function parseHosts(config: Config): { hosts: HostDeclaration[]; networks: Networks; faults: Fault[] } {
  const faults: Fault[] = [];
  const ssh = parseKey(config, "ssh", sshSchema, faults, {});
  const declared = parseKey(config, "hosts", z.record(hostName, hostSchema), faults, {});
  const networks = parseKey(config, "networks", z.record(hostName, network), faults, {});
  if (ssh === undefined || declared === undefined || networks === undefined) return { hosts: [], networks: {}, faults };
  const hosts = Object.entries(declared).map(([name, host]): HostDeclaration => {
    const one = typeof host.address === "string" ? { service: host.address } : host.address;
    const addresses = {
      service: one.service,
      cluster: ("cluster" in one ? one.cluster : undefined) ?? one.service,
      replication: ("replication" in one ? one.replication : undefined) ?? one.service,
    };
    const target: SshTarget = {
      name,
      address: addresses.service,
      port: host.sshPort ?? ssh.port,
      user: host.user ?? ssh.user,
      hostKey: host.hostKey,
      ...(ssh.privateKeyFile === undefined ? {} : { privateKeyFile: ssh.privateKeyFile }),
      ...(ssh.jump === undefined ? {} : { jump: { name: `the jump host of ${name}`, ...ssh.jump } }),
    };
    return { name, addresses, ssh: target, packages: host.packages, commands: host.commands };
  });
  faults.push(...sharedAddresses(hosts));
  return { hosts, networks, faults };
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
