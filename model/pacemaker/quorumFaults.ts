import type { Fault } from "../fault.ts";
import type { UncheckedPacemaker } from "./declaration.ts";

/** What a rule about quorum needs of one Corosync cluster. */
interface QuorumParts {
  readonly parts: Partial<UncheckedPacemaker>;
  /** A path below this Corosync cluster. */
  readonly at: (...path: string[]) => string[];
  /** Its hosts, in the order of the stack file. */
  readonly nodes: readonly string[];
  /** Every host of the stack file. */
  readonly hosts: readonly string[];
  /** The names of its PostgreSQL clusters. */
  readonly clusters: readonly string[];
}

/** The rules about who decides when the hosts do not hear each other. */
export function quorumFaults(read: QuorumParts): Fault[] {
  return [...sizeFaults(read), ...deviceFaults(read)];
}

function sizeFaults({ parts, at, nodes, clusters }: QuorumParts): Fault[] {
  const found = `${nodes.length} host${nodes.length === 1 ? "" : "s"} (of the members of ${clusters.join(", ")})`;
  if (nodes.length < 2) {
    return [{ path: at(), found, expected: "at least 2: one for the other", remedy: "Add members on further hosts." }];
  }
  const { fencing, quorumDevice } = parts;
  if (nodes.length > 2 || quorumDevice !== undefined || fencing === undefined || fencing.devices !== undefined)
    return [];
  return [
    {
      path: at(),
      found: `${found} without fencing and without a quorum device`,
      expected:
        "something that decides between two hosts that do not hear each other: otherwise both become primary, or neither",
      remedy: "Declare fencing devices, or quorumDevice: { host: ... } on a third host, or add a member there.",
    },
  ];
}

function deviceFaults({ parts: { quorumDevice }, at, nodes, hosts }: QuorumParts): Fault[] {
  if (quorumDevice === undefined) return [];
  const { host, algorithm } = quorumDevice;
  const faults: Fault[] = [];
  const others = hosts.filter((name) => !nodes.includes(name));
  const path = at("quorumDevice", "host");
  const wanted = `a host of pgha:hosts that has no member in this Corosync cluster (${others.join(", ") || "there is none"})`;
  if (nodes.includes(host)) {
    const remedy = "Declare another host: a device that dies with a node decides nothing.";
    faults.push({ path, found: `${host}, which is one of its nodes`, expected: wanted, remedy });
  } else if (!hosts.includes(host)) {
    faults.push({
      path,
      found: `${host}, which is not declared`,
      expected: wanted,
      remedy: "Correct it, or declare it.",
    });
  }
  if (algorithm === "ffsplit" && nodes.length % 2 === 1) {
    faults.push({
      path: at("quorumDevice", "algorithm"),
      found: `ffsplit with ${nodes.length} hosts`,
      expected: "lms with an odd number of hosts: by one vote more that number would be even, and could be halved",
      remedy: "Write lms, or remove the quorum device.",
    });
  }
  return faults;
}
