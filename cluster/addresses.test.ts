import { describe, expect, it } from "vitest";
import type { Group } from "../model/group.ts";
import type { MemberObservation } from "../model/observation.ts";
import type { RemoteHosts } from "../remote/host.ts";
import { primary, standby } from "../test/support/observations.ts";
import { group } from "../test/support/shapes.ts";
import { accessDeclared } from "./access.ts";
import { movingAddresses, settleAddresses } from "./addresses.ts";

const moving = group({
  virtualIps: {
    primary: { address: "198.51.100.50", prefix: 24 },
    replication: { address: "203.0.113.50", prefix: 24, nic: "eth1" },
  },
});
const addresses = [
  { address: "198.51.100.50", prefix: 24, nic: "" },
  { address: "203.0.113.50", prefix: 24, nic: "eth1" },
];

/** "host verb owner": what the hosts were ordered, with the addresses that each order named. */
async function ordered(declared: Group, seen: readonly MemberObservation[], held: readonly string[]) {
  const orders: { order: string; addresses: unknown }[] = [];
  const unused = () => Promise.reject(new Error("not needed here"));
  const hosts: RemoteHosts = {
    names: async () => [],
    close() {},
    host: (name) => ({
      ...{ name, run: unused, start: unused, socket: unused },
      async must({ argv }) {
        const { owner, addresses } = JSON.parse(argv.at(-1) ?? "");
        orders.push({ order: `${name} ${argv.at(-2)} ${owner}`, addresses });
        return '{"result":"settled"}';
      },
    }),
  };
  await settleAddresses(accessDeclared(declared, undefined, hosts), seen, { epoch: 5, members: new Set(held) });
  return orders;
}

const all = ["pg1", "pg2", "pg3"];
const seen = [primary("pg2"), standby("pg1", "pg2"), standby("pg3", "pg2")];

it("the readers' address is none of those that move with the primary", () => {
  const virtualIps = { ...moving.virtualIps, readers: { address: "198.51.100.51", prefix: 24 } };
  expect(movingAddresses({ virtualIps })).toEqual(addresses);
});

it("addresses are given to the hosts with every field, in the order of the declaration", () => {
  expect(movingAddresses(moving)).toEqual(addresses);
});

describe("before the failover manager manages again", () => {
  it("the addresses are taken from every host but the primary's, and only then does that one answer", async () => {
    const orders = await ordered(moving, seen, all);
    expect(orders.map(({ order }) => order)).toEqual([
      "pg1 settle_addresses 0",
      "pg3 settle_addresses 0",
      "pg2 settle_addresses 1",
    ]);
    expect(orders.map((one) => one.addresses)).toEqual([addresses, addresses, addresses]);
  });

  it("members on which the cluster is not held are left alone", async () => {
    const orders = await ordered(moving, seen, ["pg1", "pg2"]);
    expect(orders.map(({ order }) => order)).toEqual(["pg1 settle_addresses 0", "pg2 settle_addresses 1"]);
    expect((await ordered(moving, seen, ["pg1", "pg3"])).map(({ order }) => order)).toEqual([
      "pg1 settle_addresses 0",
      "pg3 settle_addresses 0",
    ]);
  });

  it("nothing is ordered without addresses, or while the primary is not known", async () => {
    expect(await ordered(group(), seen, all)).toEqual([]);
    expect(await ordered(moving, [primary("pg1"), primary("pg2"), standby("pg3", "pg2")], all)).toEqual([]);
  });
});
