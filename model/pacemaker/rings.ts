import type { CorosyncNode } from "./corosyncConf.ts";

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
  nodes: Readonly<Record<string, CorosyncNode>>,
  said: Readonly<Record<string, string>>,
): string[] {
  const names = new Map(Object.entries(nodes).map(([name, { id }]) => [id, name]));
  const place = (name: string, ring: number) => `${name} (${nodes[name]?.addresses[ring] ?? "?"})`;
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
