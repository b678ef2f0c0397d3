import type { Duplex } from "node:stream";
import { faultText } from "../model/fault.ts";
import { type Connection, type Link, messageOf } from "./connection.ts";
import { startDeadline } from "./deadline.ts";
import { ForwardingRefused, NoListener, RemoteTimeout, Unreachable } from "./errors.ts";
import type { Runner } from "./run.ts";

/** The links over which a Unix socket was reached before: on those, a refusal can only mean that nobody listens. */
const forwarding = new WeakSet<Link>();

/** A stream to a Unix socket on the host. The limit counts from the call. */
export async function openSocket(
  hostName: string,
  connection: Connection,
  runner: Runner,
  path: string,
  limitSeconds: number,
): Promise<Duplex> {
  const deadline = startDeadline(limitSeconds);
  const late = (found: string, expected: string, remedy: string) => () => {
    const fault = { path: [hostName, path], found: `${found} within ${limitSeconds} s`, expected, remedy };
    return new RemoteTimeout(hostName, faultText(fault));
  };
  const link = await deadline.wait({
    begin: () => connection.open(),
    late: late("no SSH connection", "one", "Check the host and the network."),
  });
  const opened = await deadline.wait({
    begin: () => forward(link, path),
    late: late("no answer of sshd", "a stream to that socket", "Check the host's load."),
    discard: (channel) => typeof channel === "string" || channel.destroy(),
  });
  if (typeof opened !== "string") {
    forwarding.add(link);
    return mend(link, opened);
  }
  const broken = link.broken();
  if (broken !== undefined) throw new Unreachable(hostName, broken.message);
  if (!forwarding.has(link) && (await isListening(runner, path, deadline.remainingSeconds()))) {
    const remedy = "Set AllowStreamLocalForwarding yes (and no DisableForwarding) in its sshd_config, then reload ssh.";
    const found = `a refusal of sshd (${opened})`;
    throw new ForwardingRefused(
      hostName,
      faultText({ path: [hostName, path], found, expected: "a stream to that socket", remedy }),
    );
  }
  const remedy = "Start its server, or correct the directory and port.";
  throw new NoListener(
    hostName,
    faultText({ path: [hostName, path], found: "nothing that listens", expected: "a server", remedy }),
  );
}

function forward(link: Link, path: string): Promise<Duplex | string> {
  return new Promise((resolve) => {
    try {
      link.client.openssh_forwardOutStreamLocal(path, (error, channel) => resolve(error ? error.message : channel));
    } catch (error) {
      resolve(messageOf(error));
    }
  });
}

/** In /proc/net/unix, the flag 00010000 is on the sockets that accept connections. */
async function isListening(runner: Runner, path: string, limitSeconds: number): Promise<boolean> {
  const argv = [
    "awk",
    "-v",
    `path=${path}`,
    '$4 == "00010000" && $NF == path { found = 1 } END { exit !found }',
    "/proc/net/unix",
  ];
  const { exitCode } = await runner.run({ argv, limitSeconds, purpose: `see who listens at ${path}` });
  return exitCode === 0;
}

/**
 * Makes the channel end as a socket does. When the server is killed, its end of file comes, but ssh2 emits no "close" until
 * we close our side too; and when the connection breaks, a reader should learn why.
 */
function mend(link: Link, channel: Duplex): Duplex {
  const forget = link.onBroken((reason) => {
    if (channel.listenerCount("error") > 0) channel.emit("error", reason);
  });
  channel.on("end", () => {
    channel.end();
    setImmediate(() => channel.emit("close"));
  });
  channel.on("close", forget);
  return channel;
}
