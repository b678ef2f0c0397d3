import { z } from "zod";
import { UserError } from "../../model/fault.ts";
import type { SshTarget } from "../../model/sshTarget.ts";
import type { RemoteHost } from "../../remote/host.ts";

const endpoint = {
  host: z.string().min(1),
  port: z.int().min(1).max(65535).default(22),
  user: z.string().min(1).default("root"),
  /** Mandatory here: the official plugin takes any host for the right one without it. */
  hostKey: z.string().min(1),
  agentSocketPath: z.string().min(1).optional(),
  // The SDK fills these in; our connections have limits of their own.
  perDialTimeout: z.int().optional(),
  dialErrorLimit: z.int().optional(),
};

/** How @pulumi/command names what is in an `SshTarget`. Keys and passwords are refused: they would stand in the state. */
export const connectionSchema = z.strictObject({ ...endpoint, proxy: z.strictObject(endpoint).optional() });

export type Connection = z.infer<typeof connectionSchema>;

function toTarget(connection: z.infer<z.ZodObject<typeof endpoint>>): Omit<SshTarget, "jump"> {
  return {
    name: connection.host,
    address: connection.host,
    port: connection.port,
    user: connection.user,
    hostKey: connection.hostKey,
    ...(connection.agentSocketPath === undefined ? {} : { agentSocket: connection.agentSocketPath }),
  };
}

const opened = new Map<string, Promise<RemoteHost>>();

/** The host behind a connection. Commands with the same connection share one; it is kept until the process ends. */
export function openHost(connection: Connection): Promise<RemoteHost> {
  const key = JSON.stringify(connection);
  const known = opened.get(key);
  if (known !== undefined) return known;
  const host = open(connection);
  opened.set(key, host);
  return host;
}

async function open(connection: Connection): Promise<RemoteHost> {
  if (connection.agentSocketPath === undefined && (process.env.SSH_AUTH_SOCK ?? "") === "") {
    throw new UserError(
      `${connection.host}: found no SSH agent, expected agentSocketPath or SSH_AUTH_SOCK. Start one: eval $(ssh-agent) && ssh-add.`,
    );
  }
  const { openRemoteHosts } = await import("../../remote/pool.ts");
  const target = toTarget(connection);
  const jump = connection.proxy === undefined ? {} : { jump: toTarget(connection.proxy) };
  return openRemoteHosts([{ ...target, ...jump }]).host(target.name);
}
