import type { PacemakerNode } from "./status.ts";

/** A node of Corosync: its number, and its address on each ring where that is known. */
export interface RingNode {
  readonly id: number;
  readonly addresses: readonly (string | undefined)[];
}

/** What `corosync-cfgtool -s` prints: whether this node hears another one, by ring and the other's number. */
function heardBy(text: string): { ring: number; id: number; heard: boolean }[] {
  const found: { ring: number; id: number; heard: boolean }[] = [];
  let ring: number | undefined;
  for (const line of text.split("\n")) {
    const start = /^LINK ID (\d+)/.exec(line);
    if (start !== null) ring = Number(start[1]);
    const node = /^\s*nodeid:\s*(\d+):\s*(connected|disconnected)\s*$/.exec(line);
    if (node !== null && ring !== undefined) found.push({ ring, id: Number(node[1]), heard: node[2] === "connected" });
  }
  return found;
}

/**
 * Pairs of nodes that hear each other on one ring and not on another, a sentence each. Who is heard on no ring at all is
 * offline, and told as that. `said`: by node, what `corosync-cfgtool -s` printed there.
 */
export function brokenRings(
  nodes: Readonly<Record<string, RingNode>>,
  said: Readonly<Record<string, string>>,
): string[] {
  const names = new Map(Object.entries(nodes).map(([name, { id }]) => [id, name]));
  const place = (name: string, ring: number) => {
    const address = nodes[name]?.addresses[ring];
    return address === undefined ? name : `${name} (${address})`;
  };
  const sentences = Object.entries(said).flatMap(([host, text]) => {
    const links = heardBy(text);
    return links.flatMap(({ ring, id, heard }) => {
      const other = names.get(id);
      const isHeardElsewhere = links.some((link) => link.id === id && link.heard);
      if (heard || other === undefined || !isHeardElsewhere) return [];
      const pair = [host, other].sort().map((name) => place(name, ring));
      return [`ring ${ring}: ${pair.join(" and ")} do not hear each other`];
    });
  });
  return [...new Set(sentences)].sort();
}

/** The nodes as Pacemaker knows them, each with the addresses that `corosync-cfgtool -s` names as its own there. */
export function ringNodes(
  nodes: readonly Pick<PacemakerNode, "name" | "id">[],
  said: Readonly<Record<string, string>>,
): Record<string, RingNode> {
  return Object.fromEntries(
    nodes.map(({ name, id }) => [name, { id, addresses: ownAddresses(said[name] ?? "") }] as const),
  );
}

function ownAddresses(text: string): (string | undefined)[] {
  const addresses: (string | undefined)[] = [];
  for (const [, ring, address] of text.matchAll(/^LINK ID (\d+) .*\n\s*addr\s*= (\S+)/gm)) {
    addresses[Number(ring)] = address;
  }
  return addresses;
}
