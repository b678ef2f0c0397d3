import { expect, test } from "vitest";
import { faultsIn } from "./faults.ts";

// As nft 1.0.6 lists a table with one partition, one separated pair and two loss rules.
const listed = JSON.stringify({
  nftables: [
    { metainfo: { version: "1.0.6", json_schema_version: 1 } },
    { table: { family: "bridge", name: "pgha_test", handle: 8 } },
    { set: { family: "bridge", name: "cut", table: "pgha_test", type: "ifname", handle: 1, elem: ["test-pg1s"] } },
    {
      set: {
        family: "bridge",
        name: "pairs",
        table: "pgha_test",
        type: ["ifname", "ifname"],
        handle: 2,
        elem: [{ concat: ["test-pg2s", "test-pg1s"] }],
      },
    },
    {
      rule: {
        family: "bridge",
        table: "pgha_test",
        chain: "loss",
        handle: 9,
        expr: [
          { match: { op: "==", left: { meta: { key: "iifname" } }, right: "test-pg2r" } },
          { match: { op: "<", left: { numgen: { mode: "random", mod: 100, offset: 0 } }, right: 50 } },
          { drop: null },
        ],
      },
    },
    {
      rule: {
        family: "bridge",
        table: "pgha_test",
        chain: "loss_to",
        handle: 10,
        expr: [
          { match: { op: "==", left: { meta: { key: "oifname" } }, right: "test-pg3s" } },
          { match: { op: "<", left: { numgen: { mode: "random", mod: 100, offset: 0 } }, right: 30 } },
          { drop: null },
        ],
      },
    },
    {
      rule: {
        family: "bridge",
        table: "pgha_test",
        chain: "to_hosts",
        handle: 7,
        expr: [{ match: { op: "==", left: { meta: { key: "oifname" } }, right: "@cut" } }, { drop: null }],
      },
    },
  ],
});

test("every fault on the bridges is found with the command that ends it, and the lab's own rules are not faults", () => {
  expect(faultsIn(listed).map((fault) => [fault.kind, fault.ports, fault.undo("pgha_test")])).toEqual([
    ["cut", ["test-pg1s"], 'delete element bridge pgha_test cut { "test-pg1s" }'],
    ["pair", ["test-pg2s", "test-pg1s"], 'delete element bridge pgha_test pairs { "test-pg2s" . "test-pg1s" }'],
    ["loss", ["test-pg2r"], "delete rule bridge pgha_test loss handle 9"],
    ["loss", ["test-pg3s"], "delete rule bridge pgha_test loss_to handle 10"],
  ]);
});
