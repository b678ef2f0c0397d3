import { CommandFailed, RemoteError } from "../remote/errors.ts";
import type { RemoteHost, RemoteHosts } from "../remote/host.ts";
import { waitFor } from "./waitFor.ts";
import { readWordLines } from "./wordLines.ts";

/*
 * The quorum device: corosync-qnetd on a host of its own, corosync-qdevice on every node. They know each other by certificates:
 * the device's host signs what each node asks for. Private keys stay where they were made.
 */

/** A node as a client of its device. */
export interface DeviceNode {
  readonly active: boolean;
  readonly enabled: boolean;
  readonly missing: readonly string[];
  /** SHA-256 of the certificate by which it knows its device; undefined where there is none. */
  readonly authority: string | undefined;
  /** A certificate of its own for this cluster, signed by that authority, with its key. */
  readonly certified: boolean;
  readonly connected: boolean;
}

/** The host of the device. */
export interface DeviceServer {
  readonly active: boolean;
  readonly enabled: boolean;
  readonly missing: readonly string[];
  /** SHA-256 of the certificate by which it signs; undefined where there is none. */
  readonly authority: string | undefined;
  /** Its IP addresses, without prefix. */
  readonly addresses: readonly string[];
  /** From where nodes of a cluster of this name are connected. */
  readonly clients: readonly string[];
}

/** What was seen of one host, or why it could not be looked at. */
export type Seen<T> = ({ readonly reached: true } & T) | { readonly reached: false; readonly reason: string };

/* POSIX shell: one "word value" a line. */
const lookAtNodeScript = `
cluster=$1 db=/etc/corosync/qdevice/net/nssdb
for program in corosync-qdevice corosync-qdevice-tool corosync-qdevice-net-certutil certutil; do
  command -v "$program" >/dev/null || echo "missing $program"
done
! systemctl -q is-active corosync-qdevice.service || echo "active yes"
! systemctl -q is-enabled corosync-qdevice.service 2>/dev/null || echo "enabled yes"
if authority=$(certutil -L -a -n "QNet CA" -d "$db" 2>/dev/null); then
  echo "authority $(printf '%s' "$authority" | sha256sum | cut -d ' ' -f 1)"
fi
if certutil -V -u C -n "Cluster Cert" -d "$db" >/dev/null 2>&1 &&
   certutil -L -n "Cluster Cert" -d "$db" 2>/dev/null | grep -qF "Subject: \\"CN=$cluster\\""; then
  echo "certified yes"
fi
! timeout 5 corosync-qdevice-tool -s 2>/dev/null | grep -q '^State:[[:space:]]*Connected$' || echo "connected yes"
`;

const lookAtServerScript = `
cluster=$1 db=/etc/corosync/qnetd/nssdb
for program in corosync-qnetd corosync-qnetd-certutil corosync-qnetd-tool certutil; do
  command -v "$program" >/dev/null || echo "missing $program"
done
! systemctl -q is-active corosync-qnetd.service || echo "active yes"
! systemctl -q is-enabled corosync-qnetd.service 2>/dev/null || echo "enabled yes"
if authority=$(certutil -L -a -n "QNet CA" -d "$db" 2>/dev/null); then
  echo "authority $(printf '%s' "$authority" | sha256sum | cut -d ' ' -f 1)"
fi
ip -o addr show 2>/dev/null | awk '{sub("/.*","",$4); print "address " $4}'
timeout 5 corosync-qnetd-tool -l -c "$cluster" 2>/dev/null |
  sed -n 's/^[[:space:]]*Client address:[[:space:]]*\\(.*\\):[0-9]*$/client \\1/p' | sed 's/::ffff://; s/[][]//g'
true
`;

async function look<T>(
  host: () => RemoteHost,
  script: string,
  cluster: string,
  purpose: string,
  read: (all: (word: string) => string[]) => T,
): Promise<Seen<T>> {
  try {
    const text = await host().must({ argv: ["sh", "-c", script, "sh", cluster], limitSeconds: 20, purpose });
    return { reached: true, ...read(readWordLines(text)) };
  } catch (error) {
    if (!(error instanceof RemoteError) || error instanceof CommandFailed) throw error;
    return { reached: false, reason: error.message.split("\n")[0] ?? "" };
  }
}

/** One node as a client of the device of its Corosync cluster. */
export function lookAtDeviceNode(hosts: RemoteHosts, node: string, cluster: string): Promise<Seen<DeviceNode>> {
  const purpose = `look at the quorum device's daemon on ${node}`;
  return look(
    () => hosts.host(node),
    lookAtNodeScript,
    cluster,
    purpose,
    (all) => ({
      active: all("active").length > 0,
      enabled: all("enabled").length > 0,
      missing: all("missing"),
      authority: all("authority")[0],
      certified: all("certified").length > 0,
      connected: all("connected").length > 0,
    }),
  );
}

/** The host of a device, as far as this Corosync cluster is concerned. */
export function lookAtDeviceServer(hosts: RemoteHosts, server: string, cluster: string): Promise<Seen<DeviceServer>> {
  const purpose = `look at the quorum device on ${server}`;
  return look(
    () => hosts.host(server),
    lookAtServerScript,
    cluster,
    purpose,
    (all) => ({
      active: all("active").length > 0,
      enabled: all("enabled").length > 0,
      missing: all("missing"),
      authority: all("authority")[0],
      addresses: all("address"),
      clients: all("client"),
    }),
  );
}

/* Several clusters may ask at the same time, in the same run. */
const locked = `
set -eu
umask 077
exec 9>/run/lock/pgha-qnetd
flock -w 30 9
db=/etc/corosync/qnetd/nssdb
`;

/* Debian's package has made the database already; where it was lost, it is made again as the package does it. */
const startServerScript = `${locked}
if [ ! -f "$db/cert9.db" ]; then
  corosync-qnetd-certutil -i -G </dev/null >&2
  chgrp coroqnetd "$db" "$db/cert9.db" "$db/key4.db"
  systemctl stop corosync-qnetd.service
fi
systemctl -q enable corosync-qnetd.service
systemctl start corosync-qnetd.service
certutil -L -a -n "QNet CA" -d "$db"
`;

/** The device runs, now and at every boot. Returns the certificate by which it signs, which is no secret. */
export function startDeviceServer(server: RemoteHost): Promise<string> {
  return server.must({
    argv: ["sh", "-c", startServerScript],
    limitSeconds: 90,
    purpose: `start the quorum device on ${server.name}`,
  });
}

/* Standard input: the device's certificate. Standard output: what is to be signed. */
const requestScript = `
set -eu
umask 077
cluster=$1 db=/etc/corosync/qdevice/net/nssdb
authority=$(mktemp)
trap 'rm -f -- "$authority"' EXIT
cat > "$authority"
rm -rf -- "$db"
corosync-qdevice-net-certutil -i -c "$authority" </dev/null >&2
corosync-qdevice-net-certutil -r -n "$cluster" </dev/null >&2
base64 -w 0 "$db/qdevice-net-node.crq"
`;

/* Standard input: what is to be signed. Standard output: the certificate. */
const signScript = `${locked}
cluster=$1
request=$(mktemp)
trap 'rm -f -- "$request"' EXIT
base64 -d > "$request"
corosync-qnetd-certutil -s -c "$request" -n "$cluster" </dev/null >&2
base64 -w 0 "$db/cluster-$cluster.crt"
`;

/* Standard input: the certificate. The tool also writes the key into a file for other nodes, which have keys of their own. */
const importScript = `
set -eu
umask 077
db=/etc/corosync/qdevice/net/nssdb
certificate=$(mktemp)
trap 'rm -f -- "$certificate" "$db/qdevice-net-node.p12" "$db/qdevice-net-node.crq"' EXIT
base64 -d > "$certificate"
corosync-qdevice-net-certutil -M -c "$certificate" </dev/null >&2
certutil -V -u C -n "Cluster Cert" -d "$db" >&2
`;

/** Gives a node a key of its own, which stays there, and a certificate that the device's host signs. May be repeated. */
export async function certifyNode(
  node: RemoteHost,
  server: RemoteHost,
  cluster: string,
  authority: string,
): Promise<void> {
  const request = await node.must({
    argv: ["sh", "-c", requestScript, "sh", cluster],
    stdin: authority,
    limitSeconds: 60,
    purpose: `make a key for the quorum device on ${node.name}`,
  });
  const certificate = await server.must({
    argv: ["sh", "-c", signScript, "sh", cluster],
    stdin: request,
    limitSeconds: 60,
    purpose: `sign the certificate of ${node.name}`,
  });
  await node.must({
    argv: ["sh", "-c", importScript],
    stdin: certificate,
    limitSeconds: 60,
    purpose: `take the certificate of ${node.name} over`,
  });
}

/*
 * Without its daemon a node has not the device's vote. Where the votes of the nodes that see each other do not suffice, that
 * would stop everything: then nothing is done.
 */
const guarded = `
set -eu
if systemctl -q is-active corosync-qdevice.service; then
  corosync-quorumtool -s | awk '/^Nodes:/ { nodes = $2 } /^Quorum:/ { quorum = $2 }
    END { if (nodes < quorum) { print "only " nodes " of the nodes see each other, and without the vote of the quorum device " quorum " are needed"; exit 1 } }' >&2
fi
`;

/** The daemon of a node reads its configuration, or starts, now and at every boot. */
export async function startDeviceNode(node: RemoteHost, isRunning: boolean): Promise<void> {
  const script = isRunning
    ? `${guarded}systemctl restart corosync-qdevice.service`
    : "set -eu\nsystemctl -q enable corosync-qdevice.service\nsystemctl start corosync-qdevice.service";
  await node.must({
    argv: ["sh", "-c", script],
    limitSeconds: 60,
    purpose: `${isRunning ? "restart" : "start"} the quorum device's daemon on ${node.name}`,
  });
}

/** Returns once the device has answered a node. */
export async function waitUntilConnected(node: RemoteHost, limitSeconds: number): Promise<void> {
  await waitFor(`${node.name} to reach its quorum device`, limitSeconds, async () => {
    const { stdout } = await node.run({
      argv: ["corosync-qdevice-tool", "-s"],
      limitSeconds: 10,
      purpose: `ask ${node.name} for its quorum device`,
    });
    const state = /^State:\s*(.*)$/m.exec(stdout)?.[1] ?? "no answer of its daemon";
    return state === "Connected" ? { done: undefined } : { lastSeen: state };
  });
}

/** Ends the daemon of a node and removes its key and certificate. `guard`: only while the nodes have quorum without the device. */
export async function stopDeviceNode(node: RemoteHost, guard: boolean): Promise<void> {
  await node.must({
    argv: [
      "sh",
      "-c",
      `${guard ? guarded : "set -eu\n"}! systemctl -q is-enabled corosync-qdevice.service 2>/dev/null || systemctl -q disable corosync-qdevice.service
! systemctl -q is-active corosync-qdevice.service || systemctl stop corosync-qdevice.service
rm -rf -- /etc/corosync/qdevice/net/nssdb`,
    ],
    limitSeconds: 60,
    purpose: `end the quorum device's daemon on ${node.name}`,
  });
}

/* The certificate that was signed last lies there under the cluster's name: those of other clusters are why the device goes on. */
const releaseScript = `${locked}
cluster=$1
rm -f -- "$db/cluster-$cluster.crt"
if [ -z "$(find "$db" -maxdepth 1 -name 'cluster-*.crt' 2>/dev/null)" ]; then
  systemctl -q disable corosync-qnetd.service
  systemctl stop corosync-qnetd.service
fi
`;

/** A cluster needs the device no more; the last one ends it. The authority stays, as Debian's package made it. */
export async function releaseDeviceServer(server: RemoteHost, cluster: string): Promise<void> {
  await server.must({
    argv: ["sh", "-c", releaseScript, "sh", cluster],
    limitSeconds: 90,
    purpose: `take ${cluster} from the quorum device on ${server.name}`,
  });
}
