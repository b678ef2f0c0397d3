import Handlebars from "handlebars";
import { loadTemplate } from "../../templates/load.ts";
import type { Fault } from "../fault.ts";
import { type Detection, type RingHost, tokenMilliseconds } from "./declaration.ts";
import { deviceSection, isTwoNode, type QuorumDevice } from "./quorum.ts";

/** Where Corosync reads what it is. */
export const corosyncConfPath = "/etc/corosync/corosync.conf";
/** The key that every node has; who has it is of the cluster. */
export const corosyncKeyPath = "/etc/corosync/authkey";

/** One node by its number and its addresses, one for each ring. */
export interface CorosyncNode {
  readonly id: number;
  readonly addresses: readonly string[];
}

/** What stands in corosync.conf. Nodes by name. */
export interface CorosyncShape {
  readonly name: string;
  readonly detection: Detection;
  readonly nodes: Readonly<Record<string, CorosyncNode>>;
  readonly device?: QuorumDevice | undefined;
}

const template = Handlebars.create().compile(loadTemplate("corosync/corosync.conf.hbs"), {
  noEscape: true,
  strict: true,
});

export function renderCorosyncConf({ name, detection, nodes, device }: CorosyncShape): string {
  return template({
    cluster: name,
    token: tokenMilliseconds[detection],
    // Each of the two has quorum alone, but only after both have seen each other: votequorum's wait_for_all comes with it.
    twoNode: isTwoNode(Object.keys(nodes).length, device),
    device: device === undefined ? null : deviceSection(device, detection),
    nodes: Object.entries(nodes)
      .map(([node, rest]) => ({ name: node, ...rest }))
      .sort((a, b) => a.id - b.id),
  });
}

/**
 * A number for every node that never changes while the node is there, whoever else comes or goes: Pacemaker knows nodes by it.
 * New ones get numbers above all that are taken, in the order of the stack file.
 */
export function numberNodes(
  hosts: readonly RingHost[],
  before: Readonly<Record<string, Pick<CorosyncNode, "id">>> = {},
): Record<string, CorosyncNode> {
  let highest = Math.max(0, ...Object.values(before).map(({ id }) => id));
  return Object.fromEntries(
    hosts.map(({ name, addresses }) => {
      const id = before[name]?.id ?? highest + 1;
      highest = Math.max(highest, id);
      return [name, { id, addresses: [...addresses] }];
    }),
  );
}

/** Whose corosync.conf it is: the cluster's name and its nodes. */
export interface CorosyncIdentity {
  readonly name: string;
  readonly nodes: readonly { readonly name: string; readonly id: number; readonly addresses: readonly string[] }[];
}

/** Reads any corosync.conf: `section {`, `key: value`, `}`, comments. What it does not say is left empty. */
export function parseCorosyncConf(text: string): CorosyncIdentity {
  const path: string[] = [];
  const nodes: Record<string, string>[] = [];
  let name = "";
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (line.endsWith("{")) {
      path.push(line.slice(0, -1).trim());
      if (path.join(" ") === "nodelist node") nodes.push({});
      continue;
    }
    if (line === "}") {
      path.pop();
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === -1) continue;
    const [key, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    if (path.join(" ") === "totem" && key === "cluster_name") name = value;
    if (path.join(" ") === "nodelist node") Object.assign(nodes.at(-1) ?? {}, { [key]: value });
  }
  return {
    name,
    nodes: nodes.map((node) => {
      const addresses = Object.entries(node).flatMap(([key, value]) => (/^ring\d+_addr$/.test(key) ? [value] : []));
      return { name: node.name ?? addresses[0] ?? "", id: Number(node.nodeid ?? 0), addresses };
    }),
  };
}

/** Debian's packages come with a cluster of one node, which nobody asked for. */
function isDebianDefault({ name, nodes }: CorosyncIdentity): boolean {
  return nodes.length <= 1 && (name === "debian" || nodes.some(({ addresses }) => addresses.includes("127.0.0.1")));
}

/** What a host has to do with a Corosync cluster: nothing yet, or it is one of its nodes. */
export type Belonging =
  | { readonly kind: "free" }
  | { readonly kind: "ours" }
  | { readonly kind: "foreign"; readonly fault: Fault };

/** Which cluster is meant: its name, and its nodes by name, with their numbers where they are known. */
export interface MeantCluster {
  readonly name: string;
  readonly nodes: Readonly<Record<string, { readonly id?: number | undefined }>>;
}

/** `conf`: undefined where there is none. `known`: the nodes of the last `up`, which may still stand there. */
export function belongingOf(
  host: string,
  conf: string | undefined,
  declared: MeantCluster,
  known: MeantCluster["nodes"] = {},
): Belonging {
  if (conf === undefined) return { kind: "free" };
  const found = parseCorosyncConf(conf);
  if (isDebianDefault(found)) return { kind: "free" };
  const isKnown = (node: { readonly name: string; readonly id: number }) => {
    const meant = declared.nodes[node.name] ?? known[node.name];
    return meant !== undefined && (meant.id === undefined || meant.id === node.id);
  };
  if (found.name === declared.name && found.nodes.every(isKnown)) return { kind: "ours" };
  return {
    kind: "foreign",
    fault: {
      path: ["pgha:hosts", host],
      found: `a node of the Corosync cluster ${found.name || "without a name"}: ${nodesText(found.nodes)}`,
      expected: `none, or ${declared.name}: ${nodesText(Object.entries(declared.nodes).map(([name, { id }]) => ({ name, id })))}`,
      remedy: `Choose another host, or take it out of that cluster first and remove ${corosyncConfPath}.`,
    },
  };
}

function nodesText(nodes: readonly { readonly name: string; readonly id?: number | undefined }[]): string {
  return nodes.map(({ name, id }) => (id === undefined ? name : `${name} (${id})`)).join(", ") || "no nodes";
}
