import { createHash } from "node:crypto";
import type { CommandResult, RemoteCommand } from "../../remote/command.ts";
import { Unreachable } from "../../remote/errors.ts";
import type { RemoteHost } from "../../remote/host.ts";
import type { PretendNodes } from "./pretendNodes.ts";

/** One pretended daemon, of a node or of the device's host. */
export interface PretendDaemon {
  active: boolean;
  enabled: boolean;
  /** The certificate that it trusts, or signs with. */
  authority: string | undefined;
  reachable: boolean;
}

export interface PretendDevice extends PretendNodes {
  readonly daemons: Readonly<Record<string, PretendDaemon>>;
  /** From where nodes of a cluster of this name vote already. */
  readonly clients: string[];
  /** What changed something on any host, in the order in which it was done. */
  readonly done: string[];
}

const authority = "-----BEGIN CERTIFICATE-----\narbiter\n-----END CERTIFICATE-----\n";
const digest = (text: string) => createHash("sha256").update(text.trimEnd()).digest("hex");

/** A quorum device beside pretended nodes; its packages are there, as Debian leaves them. */
export function withPretendDevice(nodes: PretendNodes, server: string): PretendDevice {
  const done: string[] = [];
  const clients: string[] = [];
  const fresh = { active: false, enabled: false, authority: undefined, reachable: true };
  const daemons: Record<string, PretendDaemon> = {
    ...Object.fromEntries(Object.keys(nodes.nodes).map((name) => [name, { ...fresh }])),
    [server]: { ...fresh, active: true, enabled: true, authority },
  };

  function answer(name: string, daemon: PretendDaemon, { purpose, stdin = "" }: RemoteCommand): string | undefined {
    if (purpose.startsWith("look at the quorum device")) {
      const lines = [
        ...(daemon.active ? ["active yes"] : []),
        ...(daemon.enabled ? ["enabled yes"] : []),
        ...(daemon.authority === undefined ? [] : [`authority ${digest(daemon.authority)}`, "certified yes"]),
        ...(daemon.active && daemons[server]?.active && daemons[server].reachable ? ["connected yes"] : []),
        ...(name === server ? ["address 192.0.2.19", ...clients.map((client) => `client ${client}`)] : []),
      ];
      return `${lines.join("\n")}\n`;
    }
    if (purpose.startsWith("ask ")) return "State:\t\t\tConnected\n";
    if (/quorum device|key for|certificate of/.test(purpose)) done.push(purpose);
    else return undefined;
    if (purpose.startsWith("start the quorum device on")) {
      Object.assign(daemon, { active: true, enabled: true, authority: daemon.authority ?? authority });
      return daemon.authority;
    }
    if (purpose.startsWith("make a key")) return `request of ${name} to ${digest(stdin.toString())}`;
    if (purpose.startsWith("sign ")) return `signed ${stdin.toString()}`;
    if (purpose.startsWith("take the certificate")) {
      if (stdin.toString() !== `signed request of ${name} to ${digest(authority)}`)
        throw new Error(`signed is ${stdin}`);
      daemon.authority = authority;
    } else if (/^(re)?start /.test(purpose)) Object.assign(daemon, { active: true, enabled: true });
    else if (/^(end|take) /.test(purpose)) Object.assign(daemon, fresh);
    return "";
  }

  function hostOf(name: string): RemoteHost {
    const daemon = daemons[name];
    if (daemon === undefined) return nodes.host(name);
    const run = async (command: RemoteCommand): Promise<CommandResult> => {
      if (!daemon.reachable) throw new Unreachable(name, `${name}: found no answer, expected sshd. Start the host.`);
      const said = answer(name, daemon, command);
      if (said !== undefined) return { exitCode: 0, stdout: said, stderr: "" };
      if (/^(write .*corosync.conf|have Corosync read)/.test(command.purpose)) done.push(`${name}: ${command.purpose}`);
      return nodes.host(name).run(command);
    };
    const unused = () => Promise.reject(new Error("not pretended"));
    return { name, run, must: async (command) => (await run(command)).stdout, start: unused, socket: unused };
  }

  return Object.assign(Object.create(nodes) as PretendNodes, { daemons, clients, done, host: hostOf });
}
