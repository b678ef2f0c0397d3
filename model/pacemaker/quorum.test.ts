import { describe, expect, it } from "vitest";
import { orders, parsed } from "../../test/support/stackFiles.ts";
import { configurationOf, type PacemakerConfiguration } from "./configuration.ts";

/** Of a stack file with this number of hosts, all of them members of the cluster orders and fenced. */
function configuration(hosts: number, main: object = {}): PacemakerConfiguration {
  const names = Array.from({ length: hosts }, (_, index) => `pg${index + 1}`);
  const [declaration] = parsed({
    hosts: Object.fromEntries(
      names.map((name, index) => [name, { address: `198.51.100.1${index}`, hostKey: "ssh-ed25519 AAAA x" }]),
    ),
    clusters: {
      orders: {
        ...orders,
        members: Object.fromEntries(names.map((name) => [name, {}])),
        failover: { manager: "pacemaker" },
      },
    },
    pacemaker: { main: { fencing: { devices: { power: { agent: "fence_apc", hosts: names } } }, ...main } },
  }).pacemaker;
  if (declaration === undefined) throw new Error("no Corosync cluster");
  return configurationOf(declaration);
}

const priorityOf = ({ clones }: PacemakerConfiguration) => clones["pgha-orders-clone"]?.meta.priority;

describe("two hosts that do not hear each other", () => {
  it("both want to switch the other off: the one without the primary waits, so that the primary goes on", () => {
    const two = configuration(2);
    expect(two.properties).toEqual({ "stonith-enabled": "true", "priority-fencing-delay": "10s" });
    expect(priorityOf(two)).toBe("1");
  });

  it("wait as long as it is declared, or not at all", () => {
    const longer = configuration(2, { properties: { "priority-fencing-delay": "30s" } });
    expect(longer.properties["priority-fencing-delay"]).toBe("30s");
    expect(priorityOf(longer)).toBe("1");
    const none = configuration(2, { properties: { "priority-fencing-delay": 0 } });
    expect(none.properties["priority-fencing-delay"]).toBe("0");
    expect(priorityOf(none)).toBeUndefined();
  });
});

it("of three hosts the majority decides, and nobody waits", () => {
  const three = configuration(3);
  expect(three.properties).toEqual({ "stonith-enabled": "true" });
  expect(priorityOf(three)).toBeUndefined();
});
