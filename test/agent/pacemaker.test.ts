import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { limitMilliseconds } from "../support/helperProcess.ts";
import { pretendHosts } from "../support/pretendHosts.ts";

/* How the host helper reads what Pacemaker 3.0.0 printed on real hosts. */
const hosts = pretendHosts();
const limits = { timeout: limitMilliseconds * 2 };

function recorded(name: string): string {
  return readFileSync(new URL(`../../model/pacemaker/recorded/${name}.xml`, import.meta.url), "utf8");
}

describe("of the whole cluster", limits, () => {
  it("it reads quorum, and which nodes take part, are off, or have to be fenced", async () => {
    const [quorum, online, seen] = (await hosts.evaluate([
      ["has_quorum", recorded("failedOver")],
      ["nodes_online", recorded("failedOver")],
      ["nodes_seen", recorded("hostDied")],
    ])) as [boolean, string[], Record<string, Record<string, string>>];
    expect([quorum, online]).toEqual([true, ["pg2", "pg3"]]);
    const states = Object.entries(seen).map(([name, { online, pending, unclean }]) => [name, online, pending, unclean]);
    expect(states).toEqual([
      ["pg1", "false", "false", "true"],
      ["pg2", "true", "false", "false"],
      ["pg3", "true", "false", "false"],
    ]);
    expect(await hosts.evaluate([["has_quorum", recorded("noQuorum")]])).toEqual([false]);
  });

  it("it reads nothing where Pacemaker does not answer", async () => {
    const nothing = recorded("disconnected");
    expect(
      await hosts.evaluate([
        ["has_quorum", nothing],
        ["nodes_online", nothing],
        ["node_attributes", ""],
        ["configured_attributes", ""],
        ["role_given", nothing, "pgha-orders-clone", "pg1"],
      ]),
    ).toEqual([false, [], {}, {}, [false, null]]);
  });

  it("it reads the agent's scores, and who could take over from a crashed primary by them", async () => {
    const [attributes, successors] = (await hosts.evaluate([
      ["node_attributes", recorded("healthy")],
      ["successors", recorded("healthy"), "pgha-orders-clone", "pg1"],
    ])) as [Record<string, Record<string, string>>, string[]];
    expect(Object.keys(attributes)).toEqual(["pg1", "pg2", "pg3"]);
    expect(attributes.pg1?.["master-pgha-orders"]).toBe("1001");
    expect(successors).toEqual(["pg2", "pg3"]);
  });
});

it("of the configuration it reads the attributes of each node, among nodes that have none", limits, async () => {
  const pair =
    '<instance_attributes id="a"><nvpair id="b" value="2026" name="pgha-orders-relaxed"/></instance_attributes>';
  const text = `<cib><configuration><nodes><node id="1" uname="pg1"/><node uname="pg2" id="2">${pair}</node></nodes></configuration></cib>`;
  expect(await hosts.evaluate([["configured_attributes", text]])).toEqual([
    { pg1: {}, pg2: { "pgha-orders-relaxed": "2026" } },
  ]);
});
