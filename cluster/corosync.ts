import { createHash } from "node:crypto";
import { corosyncConfPath, corosyncKeyPath } from "../model/pacemaker/corosyncConf.ts";
import type { SbdFacts } from "../model/pacemaker/sbd.ts";
import { statusCommand } from "../model/pacemaker/status.ts";
import { CommandFailed, RemoteError } from "../remote/errors.ts";
import { writeFile } from "../remote/files.ts";
import type { RemoteHost, RemoteHosts } from "../remote/host.ts";
import { readWordLines } from "./wordLines.ts";

/** One host as a node of a Corosync cluster: what lies and runs there. */
export type NodeView =
  | { readonly host: string; readonly reached: false; readonly reason: string; readonly error: RemoteError }
  | ({ readonly host: string; readonly reached: true } & NodeFacts);

export interface NodeFacts {
  /** Text of corosync.conf; undefined where there is none. */
  readonly conf: string | undefined;
  /** SHA-256 of the key file; undefined where there is none. */
  readonly key: string | undefined;
  readonly services: Readonly<Record<ServiceName, { readonly active: boolean; readonly enabled: boolean }>>;
  readonly sbd: SbdFacts;
  /** The programs that are needed and are not there. */
  readonly missing: readonly string[];
  /** Its IP addresses, without prefix. */
  readonly addresses: readonly string[];
  /** Pacemaker's configuration and status as it answers; undefined where it does not. */
  readonly cib: string | undefined;
  /** What crm_mon prints; undefined where Pacemaker does not run. */
  readonly status: string | undefined;
  /** What corosync-cfgtool says of its rings; undefined where Corosync does not run. */
  readonly rings: string | undefined;
}

/** Both run, now and at every boot. */
export const serviceNames = ["corosync", "pacemaker"] as const;
type ServiceName = (typeof serviceNames)[number];

/* POSIX shell: one "word value" a line, texts in base64. */
const lookScript = `
conf=$1 key=$2; shift 2
[ ! -f "$conf" ] || echo "conf $(base64 -w 0 "$conf")"
[ ! -f "$key" ] || echo "key $(sha256sum "$key" | cut -d ' ' -f 1)"
for service in corosync pacemaker; do
  ! systemctl -q is-active $service.service || echo "active $service"
  ! systemctl -q is-enabled $service.service 2>/dev/null || echo "enabled $service"
done
! systemctl -q is-enabled sbd.service 2>/dev/null || echo "enabled sbd"
[ ! -f /etc/default/sbd ] || echo "sbd $(. /etc/default/sbd; echo "$SBD_DEVICE")"
for program; do command -v "$program" >/dev/null || echo "missing $program"; done
ip -o addr show 2>/dev/null | awk '{sub("/.*","",$4); print "address " $4}'
if systemctl -q is-active pacemaker.service && cib=$(timeout 10 cibadmin --query 2>/dev/null); then
  echo "cib $(printf '%s' "$cib" | base64 -w 0)"
  echo "status $(timeout 10 ${statusCommand.join(" ")} 2>/dev/null | base64 -w 0)"
fi
if systemctl -q is-active corosync.service; then
  echo "rings $(timeout 5 corosync-cfgtool -s 2>/dev/null | base64 -w 0)"
fi
true`;

const programs = ["corosync", "corosync-cfgtool", "pacemakerd", "cibadmin", "crm_diff", "crm_resource", "crm_mon"];

/** All nodes at once; who cannot be asked is data. `agents`: fence agents that must be there too. */
export function lookAtNodes(
  hosts: RemoteHosts,
  names: readonly string[],
  agents: readonly string[] = [],
): Promise<NodeView[]> {
  return Promise.all(
    names.map(async (name): Promise<NodeView> => {
      try {
        return { host: name, reached: true, ...(await lookAtNode(hosts.host(name), agents)) };
      } catch (error) {
        if (!(error instanceof RemoteError) || error instanceof CommandFailed) throw error;
        return { host: name, reached: false, reason: error.message.split("\n")[0] ?? "", error };
      }
    }),
  );
}

async function lookAtNode(host: RemoteHost, agents: readonly string[]): Promise<NodeFacts> {
  const text = await host.must({
    argv: ["sh", "-c", lookScript, "sh", corosyncConfPath, corosyncKeyPath, ...programs, ...agents],
    limitSeconds: 20,
    purpose: `look at Corosync and Pacemaker on ${host.name}`,
  });
  const all = readWordLines(text);
  const decoded = (word: string) => {
    const [value] = all(word);
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
  };
  const service = (name: ServiceName) => ({
    active: all("active").includes(name),
    enabled: all("enabled").includes(name),
  });
  return {
    conf: decoded("conf"),
    key: all("key")[0],
    services: { corosync: service("corosync"), pacemaker: service("pacemaker") },
    sbd: {
      enabled: all("enabled").includes("sbd"),
      devices: all("sbd").flatMap((text) => text.split(/[;\s]+/).filter((device) => device !== "")),
    },
    missing: all("missing"),
    addresses: all("address"),
    cib: decoded("cib"),
    status: decoded("status"),
    rings: decoded("rings"),
  };
}

/** What a fence agent says of its parameters, as XML. */
export function agentMetadata(host: RemoteHost, agent: string): Promise<string> {
  return host.must({
    argv: [agent, "-o", "metadata"],
    limitSeconds: 20,
    purpose: `ask ${agent} for its parameters`,
  });
}

export function keyDigest(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/**
 * Ends what Debian's packages began by themselves: a cluster of this one host, with a configuration of its own. Only for a host
 * whose corosync.conf says so, or that has none, and where Pacemaker has nothing to do. A CIB with resources stays.
 */
export async function clearDefaultCluster(host: RemoteHost): Promise<void> {
  await host.must({
    argv: [
      "sh",
      "-euc",
      "systemctl stop pacemaker.service corosync.service; ! grep -qs '<primitive' /var/lib/pacemaker/cib/cib.xml || exit 0; find /var/lib/pacemaker/cib -mindepth 1 -maxdepth 1 -delete",
    ],
    limitSeconds: 90,
    purpose: `clear the one-node cluster of Debian's packages on ${host.name}`,
  });
}

/** Lays key and configuration; whether the configuration changed. The key travels by standard input. */
export async function layCorosync(host: RemoteHost, conf: string, key: string): Promise<boolean> {
  const common = { owner: "root", group: "root", limitSeconds: 20 };
  await writeFile(host, { path: corosyncKeyPath, content: key, mode: "0400", ...common });
  return writeFile(host, { path: corosyncConfPath, content: conf, mode: "0644", ...common });
}

/** Both services, now and at every boot. */
export async function startServices(host: RemoteHost): Promise<void> {
  await host.must({
    argv: [
      "sh",
      "-euc",
      "systemctl -q enable corosync.service pacemaker.service; systemctl start corosync.service; systemctl start pacemaker.service",
    ],
    limitSeconds: 120,
    purpose: `start Corosync and Pacemaker on ${host.name}`,
  });
}

/** All nodes read their corosync.conf anew; asked of one that runs. */
export async function reloadCorosync(host: RemoteHost): Promise<void> {
  await host.must({
    argv: ["corosync-cfgtool", "-R"],
    limitSeconds: 30,
    purpose: "have Corosync read its configuration",
  });
}

/** Both services are stopped and not started at boot; configuration, key and Pacemaker's own files are removed. */
export async function removeCorosync(host: RemoteHost): Promise<void> {
  await host.must({
    argv: [
      "sh",
      "-euc",
      `systemctl -q disable corosync.service pacemaker.service
systemctl stop pacemaker.service
systemctl stop corosync.service
find /var/lib/pacemaker/cib -mindepth 1 -maxdepth 1 -delete
rm -f -- "$1" "$2"`,
      "sh",
      corosyncConfPath,
      corosyncKeyPath,
    ],
    limitSeconds: 120,
    purpose: `remove Corosync's configuration from ${host.name}`,
  });
}
