import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { HostDeclaration } from "../model/connections.ts";
import { File, Packages } from "./resources.ts";

/** What a `Host` is made of. */
export interface HostArgs {
  /** Its name, addresses and way in, its packages and commands, from `parseEnvironment`. */
  readonly host: HostDeclaration;
  /** Debian packages to hold, besides those that the host itself declares. */
  readonly packages: readonly string[];
  /** Every host of the environment: their names go to /etc/hosts. */
  readonly neighbours: readonly HostDeclaration[];
  /** The Unix socket of the SSH agent that signs for `remote.Command`; the key itself never enters the state. Default SSH_AUTH_SOCK. */
  readonly agentSocketPath?: string;
}

/* Repeatable, and before the packages: Debian would otherwise make a cluster of its own on port 5432. */
const prepare = [
  "set -eu",
  "mkdir -p /etc/postgresql-common/createcluster.d",
  "printf 'create_main_cluster = false\\n' > /etc/postgresql-common/createcluster.d/pgha.conf",
].join("\n");

/** One host: prepared once, its packages held, its neighbours known by name, the user's own commands run. */
export class Host extends pulumi.ComponentResource {
  /** What apt holds there: whatever needs its packages depends on it. */
  readonly packages: Packages;

  constructor(name: string, args: HostArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgha:index:Host", name, {}, options);
    const { host } = args;
    const connection = connectionOf(host, args.agentSocketPath);
    const prepared = new remote.Command(
      `${name}-prepare`,
      {
        connection,
        create: commandText(host.ssh.user, prepare),
        addPreviousOutputInEnv: false,
      },
      { parent: this },
    );
    this.packages = new Packages(
      `${name}-packages`,
      { host: host.name, names: [...new Set([...args.packages, ...host.packages])].sort() },
      { parent: this, dependsOn: [prepared] },
    );
    new File(
      `${name}-hosts`,
      { host: host.name, path: "/etc/hosts", content: hostsBlock(args.neighbours), placement: "block" },
      { parent: this, dependsOn: [prepared] },
    );
    for (const [key, command] of Object.entries(host.commands)) {
      new remote.Command(
        `${name}-${key}`,
        {
          connection,
          create: commandText(host.ssh.user, command.create),
          ...(command.update === undefined ? {} : { update: commandText(host.ssh.user, command.update) }),
          ...(command.delete === undefined ? {} : { delete: commandText(host.ssh.user, command.delete) }),
          addPreviousOutputInEnv: false,
        },
        { parent: this, dependsOn: [this.packages], deleteBeforeReplace: true },
      );
    }
    this.registerOutputs({});
  }
}

/** `remote.Command` has no time limit of its own and knows no sudo. */
function commandText(user: string, script: string): string {
  const quoted = `'${script.replaceAll("'", "'\\''")}'`;
  return `${user === "root" ? "" : "sudo -n "}timeout -k 5 600 sh -c ${quoted}`;
}

function hostsBlock(hosts: readonly HostDeclaration[]): string {
  return hosts.map((host) => `${host.addresses.service} ${host.name}\n`).join("");
}

function connectionOf(host: HostDeclaration, agentSocketPath: string | undefined) {
  const { ssh } = host;
  const agent = agentSocketPath === undefined ? {} : { agentSocketPath };
  return {
    host: ssh.address,
    port: ssh.port,
    user: ssh.user,
    hostKey: ssh.hostKey,
    ...agent,
    ...(ssh.jump === undefined
      ? {}
      : {
          proxy: {
            host: ssh.jump.address,
            port: ssh.jump.port,
            user: ssh.jump.user,
            hostKey: ssh.jump.hostKey,
            ...agent,
          },
        }),
  };
}
