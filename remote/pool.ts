import type { SshTarget } from "../model/sshTarget.ts";
import { type Connection, createConnection } from "./connection.ts";
import { HostNotDeclared } from "./errors.ts";
import type { RemoteHost, RemoteHosts } from "./host.ts";
import { createRunner } from "./run.ts";
import { openSocket } from "./socket.ts";

/**
 * The hosts behind these targets. Nothing is connected yet: each host is at its first use.
 * `connectLimitSeconds`: how long an attempt may take; default as in model/sshTarget.ts.
 */
export function openRemoteHosts(
  targets: readonly SshTarget[],
  options: { readonly connectLimitSeconds?: number } = {},
): RemoteHosts {
  const limitSeconds = options.connectLimitSeconds;
  const connections: Connection[] = [];
  const jumps = new Map<string, Connection>();
  const hosts = new Map<string, RemoteHost>();

  /** Hosts behind the same jump host share its connection. */
  function jumpConnection(jump: NonNullable<SshTarget["jump"]>): Connection {
    const key = JSON.stringify([
      jump.address,
      jump.port,
      jump.user,
      jump.hostKey,
      jump.privateKeyFile,
      jump.agentSocket,
    ]);
    const known = jumps.get(key);
    if (known !== undefined) return known;
    const connection = createConnection(jump, { limitSeconds });
    jumps.set(key, connection);
    return connection;
  }

  for (const target of targets) {
    const connection = createConnection(target, {
      jump: target.jump && jumpConnection(target.jump),
      limitSeconds,
    });
    connections.push(connection);
    const runner = createRunner(target.name, connection);
    const socket = (path: string, limitSeconds: number) =>
      openSocket(target.name, connection, runner, path, limitSeconds);
    hosts.set(target.name, { name: target.name, ...runner, socket });
  }

  return {
    names: async () => [...hosts.keys()],
    host(name) {
      const host = hosts.get(name);
      if (host !== undefined) return host;
      const known = [...hosts.keys()].join(", ") || "none";
      throw new HostNotDeclared(
        name,
        `pgha:hosts: found no host ${name}, expected one of the declared hosts (${known}). Add it there.`,
      );
    },
    close() {
      for (const connection of [...connections, ...jumps.values()]) connection.close();
    },
  };
}
