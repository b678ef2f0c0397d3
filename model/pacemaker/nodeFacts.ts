import type { Fault } from "../fault.ts";
import { type HostFacts, missingAddressFault } from "../hostFacts.ts";
import { contains } from "../schema.ts";
import { belongingOf } from "./corosyncConf.ts";

/** What a host is to be a node of. */
export interface PlannedNode {
  /** Name of the Corosync cluster. */
  readonly corosync: string;
  /** Names of all its nodes. */
  readonly nodes: readonly string[];
  /** IP addresses that the host must have, one for each ring. */
  readonly addresses: readonly string[];
  /**
   * Addresses that will move between the nodes, by where they stand in the stack file: nobody may answer for them yet. With the
   * length of the network where their interface is found by it.
   */
  readonly virtualIps: Readonly<Record<string, string>>;
}

/** Everything about a host that speaks against its being a node. `managed`: addresses that are in Pacemaker's hands already. */
export function nodeFaults(host: string, facts: HostFacts, node: PlannedNode, managed: readonly string[]): Fault[] {
  const missing = node.addresses.filter((address) => !facts.addresses.includes(address));
  const meant = { name: node.corosync, nodes: Object.fromEntries(node.nodes.map((name) => [name, {}])) };
  const belonging = belongingOf(host, facts.corosyncConf, meant);
  return [
    ...missing.map((address) => missingAddressFault(host, facts, address)),
    ...(belonging.kind === "foreign" ? [belonging.fault] : []),
    ...Object.entries(node.virtualIps).flatMap(([place, declared]): Fault[] => {
      const [address = "", prefix] = declared.split("/");
      const networks = facts.networks.filter((network) => contains(network, address));
      if (prefix !== undefined && networks.every((network) => Number(network.split("/")[1]) > Number(prefix))) {
        return [wideFault(host, place, declared, networks)];
      }
      const who = facts.answered?.[address];
      if (who === undefined || managed.includes(address)) return [];
      return [
        {
          path: [place],
          found: `${address}, for which ${who} answers already`,
          expected: "an address that nobody has yet",
          remedy: "Choose a free one, or take it away from there.",
        },
      ];
    }),
  ];
}

/** IPaddr2 finds the interface by a route that contains the whole network: https://github.com/ClusterLabs/resource-agents, findif.sh */
function wideFault(host: string, place: string, declared: string, networks: readonly string[]): Fault {
  const has = networks.length === 0 ? "no interface in that network" : networks.join(", ");
  return {
    path: [place],
    found: `${declared}, and ${host} has ${has}`,
    expected:
      "the length of the network that the host's interface has: by a wider one it is not found, and the address starts nowhere",
    remedy: "Correct the length, or name the interface: { address: ..., nic: ... }.",
  };
}
