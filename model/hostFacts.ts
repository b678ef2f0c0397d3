import { formatBytes } from "./bytes.ts";
import type { Fault } from "./fault.ts";
import { clearing } from "./renames.ts";
import { within } from "./schema.ts";

/** What a member needs of its host. */
export interface PlannedMember {
  /** Name of its cluster: a marker of the two names makes what is there its own. */
  readonly cluster: string;
  /** Name of the member in its cluster. */
  readonly member: string;
  /** Major version: the distribution must offer it. */
  readonly postgresVersion: number;
  /** TCP port that must be free, or its own already. */
  readonly port: number;
  /** PGDATA, absolute: must be missing, empty or its own, with room for a new database. */
  readonly dataDirectory: string;
  /** Where pg_wal lies, absolute; the same is asked of it. */
  readonly walDirectory?: string | undefined;
  /** IP address that its host must have. */
  readonly replicationAddress: string;
}

/** What a bare host says of itself, in words of a shell script: see cluster/hostFacts.ts. */
export interface HostFacts {
  /** ID of /etc/os-release. */
  readonly system: string;
  /** VERSION_ID of /etc/os-release. */
  readonly systemVersion: string;
  /** Does systemd run it? */
  readonly hasSystemd: boolean;
  /** Is there apt-get? */
  readonly hasApt: boolean;
  /** Its IP addresses, without prefix lengths. */
  readonly addresses: readonly string[];
  /** The same with the lengths of their networks: "198.51.100.11/26". */
  readonly networks: readonly string[];
  /** Listening TCP ports with the process that has them. */
  readonly listening: readonly { readonly port: number; readonly process: string }[];
  /** By path: missing, empty, data or foreign. */
  readonly directories: Readonly<Record<string, { readonly kind: string; readonly freeBytes: number }>>;
  /** Every member that has a marker of ours on the host, declared or not, with the port of its configuration. */
  readonly markers: readonly MarkedMember[];
  /** Text of corosync.conf; undefined where there is none. */
  readonly corosyncConf?: string;
  /** Of the addresses that were asked for, those for which somebody answers, with his hardware address. */
  readonly answered?: Readonly<Record<string, string>>;
  /** Of the addresses that were asked for, those that Pacemaker on this host is configured with. */
  readonly managed?: readonly string[];
}

/** A member that a marker on a host speaks of, declared or not. */
export interface MarkedMember {
  /** The cluster whose data it is. */
  readonly cluster: string;
  /** The name that it was made under. */
  readonly member: string;
  /** Where its data lies: nobody else's is put there. */
  readonly dataDirectory: string;
  /** TCP port of its configuration: taken, whether or not it runs. Missing while it has no configuration. */
  readonly port?: number | undefined;
}

/** Major versions that the distribution itself offers; others come from the PGDG packages. */
const distributionVersions: Readonly<Record<string, number>> = { "debian 12": 15, "debian 13": 17 };

const leastBytes = 300 * 1024 * 1024;

/**
 * Everything about a host that speaks against what is declared for it. Pure. `members`: those that are looked at;
 * `declared`: all that are declared there.
 */
export function hostFaults(
  host: string,
  facts: HostFacts,
  members: readonly PlannedMember[],
  declared: readonly PlannedMember[] = members,
): Fault[] {
  const faults: Fault[] = [];
  const onHost = ["pgha:hosts", host];
  if (!facts.hasSystemd || !facts.hasApt) {
    const missing = [...(facts.hasSystemd ? [] : ["systemd"]), ...(facts.hasApt ? [] : ["apt"])].join(" and ");
    faults.push({
      path: onHost,
      found: `${facts.system} ${facts.systemVersion} without ${missing}`,
      expected: "Debian or a relative, with systemd and apt",
      remedy: "Choose another host.",
    });
  }
  const forgotten = facts.markers.filter((marked) => !declared.some((member) => isMarked(member, marked)));
  return [...faults, ...members.flatMap((member) => memberFaults(host, facts, member, forgotten))];
}

export function missingAddressFault(host: string, facts: HostFacts, address: string): Fault {
  return {
    path: ["pgha:hosts", host, "address"],
    found: `${address}, which the host does not have (it has ${facts.addresses.join(", ")})`,
    expected: "an address of the host",
    remedy: "Correct the address, or give it to the host.",
  };
}

function isMarked(member: PlannedMember, marked: MarkedMember): boolean {
  return member.cluster === marked.cluster && member.member === marked.member;
}

function memberFaults(
  host: string,
  facts: HostFacts,
  member: PlannedMember,
  forgotten: readonly MarkedMember[],
): Fault[] {
  const faults: Fault[] = [];
  const at = (key: string) => ["pgha:clusters", member.cluster, "members", member.member, key];
  if (!facts.addresses.includes(member.replicationAddress)) {
    faults.push(missingAddressFault(host, facts, member.replicationAddress));
  }
  const offered = distributionVersions[`${facts.system} ${facts.systemVersion}`];
  if (offered !== undefined && offered !== member.postgresVersion) {
    faults.push({
      path: ["pgha:clusters", member.cluster, "postgresVersion"],
      found: `${member.postgresVersion} on ${host}, which runs ${facts.system} ${facts.systemVersion}`,
      expected: `${offered}, the version of this distribution`,
      remedy: "Write that version, or choose hosts of another release.",
    });
  }
  // What bears our marker was made by an earlier `up` of this or a lost state: the cluster itself looks at it.
  if (facts.markers.some((marked) => isMarked(member, marked))) return faults;
  const holder = forgotten.find((marked) => marked.port === member.port || sharesDirectory(marked, member));
  if (holder !== undefined) return [...faults, forgottenFault(host, member, holder)];
  const listener = facts.listening.find((one) => one.port === member.port);
  if (listener !== undefined) {
    faults.push({
      path: at("port"),
      found: `${member.port}, which ${listener.process || "another service"} on ${host} listens on`,
      expected: "a free port",
      remedy: "Choose another port, or stop that service.",
    });
  }
  for (const key of ["dataDirectory", "walDirectory"] as const) {
    const directory = member[key];
    if (directory === undefined) continue;
    const state = facts.directories[directory];
    if (state === undefined) continue;
    if (state.kind === "data" || state.kind === "foreign") {
      faults.push({
        path: at(key),
        found: `${directory} on ${host} holds ${state.kind === "data" ? "a database" : "files"} that pgha did not make`,
        expected: "a missing or empty directory; what is there is never overwritten",
        remedy: "Choose another directory, or move away what is there.",
      });
    }
    if (state.freeBytes < leastBytes) {
      faults.push({
        path: at(key),
        found: `${formatBytes(state.freeBytes)} free on ${host}`,
        expected: `at least ${formatBytes(leastBytes)}`,
        remedy: "Make room there, or choose a directory on a larger volume.",
      });
    }
  }
  return faults;
}

function sharesDirectory(marked: MarkedMember, { dataDirectory, walDirectory }: PlannedMember): boolean {
  return [dataDirectory, walDirectory].some(
    (directory) =>
      directory !== undefined && (within(directory, marked.dataDirectory) || within(marked.dataDirectory, directory)),
  );
}

/** A member of ours that nobody declares any more keeps its service and its data, and so its place. */
function forgottenFault(host: string, member: PlannedMember, holder: MarkedMember): Fault {
  const old = `${holder.member} of cluster ${holder.cluster}`;
  const byPort = holder.port === member.port;
  return {
    path: ["pgha:clusters", member.cluster, "members", member.member, byPort ? "port" : "dataDirectory"],
    found: `${byPort ? `port ${member.port}` : member.dataDirectory} on ${host}, which ${old} has (its data is in ${holder.dataDirectory})`,
    expected: "a place of its own; what is there is never overwritten",
    remedy: `If it was renamed: write the old name. Otherwise choose another place, or give up ${holder.member}: ${clearing({ ...holder, host })}.`,
  };
}
