import { expect, it } from "vitest";
import { brokenRings, ringNodes } from "./rings.ts";

const nodes = {
  pg1: { id: 1, addresses: ["192.0.2.11", "203.0.113.11"] },
  pg2: { id: 2, addresses: ["192.0.2.12", "203.0.113.12"] },
  pg3: { id: 3, addresses: ["192.0.2.13", "203.0.113.13"] },
};

/** As Corosync 3.1.9 prints it on pg1, with what it says of pg2 and pg3 on either ring. */
const onFirst = (ring0: readonly [string, string], ring1: readonly [string, string]) => `\
Local node ID 1, transport knet
LINK ID 0 udp
	addr	= 192.0.2.11
	status:
		nodeid:          1:	localhost
		nodeid:          2:	${ring0[0]}
		nodeid:          3:	${ring0[1]}
LINK ID 1 udp
	addr	= 203.0.113.11
	status:
		nodeid:          1:	localhost
		nodeid:          2:	${ring1[0]}
		nodeid:          3:	${ring1[1]}
`;
const [yes, no] = ["connected", "disconnected"];

it("rings that are whole are not told", () => {
  expect(brokenRings(nodes, { pg1: onFirst([yes, yes], [yes, yes]) })).toEqual([]);
});

it("a ring on which two nodes do not hear each other is told once, with their addresses there", () => {
  const onSecond = onFirst([no, yes], [yes, yes]).replaceAll("nodeid:          2", "nodeid:          1");
  expect(brokenRings(nodes, { pg1: onFirst([no, no], [yes, yes]), pg2: onSecond })).toEqual([
    "ring 0: pg1 (192.0.2.11) and pg2 (192.0.2.12) do not hear each other",
    "ring 0: pg1 (192.0.2.11) and pg3 (192.0.2.13) do not hear each other",
  ]);
});

it("the nodes are known from Pacemaker and from what each says of itself", () => {
  const said = { pg1: onFirst([no, yes], [yes, yes]) };
  const known = ringNodes(
    [nodes.pg1, nodes.pg2].map(({ id }) => ({ id, name: `pg${id}` })),
    said,
  );
  expect(known).toEqual({ pg1: nodes.pg1, pg2: { id: 2, addresses: [] } });
  expect(brokenRings(known, said)).toEqual(["ring 0: pg1 (192.0.2.11) and pg2 do not hear each other"]);
});

it("who is heard on no ring is offline, which Pacemaker tells", () => {
  expect(brokenRings(nodes, { pg1: onFirst([yes, no], [yes, no]) })).toEqual([]);
});

it("of what is no answer nothing is known", () => {
  expect(brokenRings(nodes, { pg1: "", pg2: "Could not initialize corosync configuration API error 2" })).toEqual([]);
});
