import { expect, it } from "vitest";
import { defaultLimits, group as threeMembers } from "../test/support/shapes.ts";
import { parsed } from "../test/support/stackFiles.ts";
import { groupInputs, groupOf, inputsOfCluster, memberOf, otherCopies, othersOf } from "./group.ts";

const orders = {
  postgresVersion: 17,
  members: { pg1: { walDirectory: "/wal/pg1" }, pg2: { candidate: false } },
  primary: "pg1",
  synchronous: "off",
  parameters: { work_mem: "64MB" },
  clientNetworks: ["198.51.100.0/24"],
  onDestroy: "erase",
  eraseConfirmation: "orders",
};

function declared() {
  const [cluster] = parsed({ clusters: { orders } }).clusters;
  if (cluster === undefined) throw new Error("no cluster");
  return cluster;
}

it("what the component hands over is what the resource reads, and the whole declaration", () => {
  const inputs = inputsOfCluster(declared(), ["root"]);
  expect(inputs).toEqual({
    cluster: "orders",
    postgresVersion: 17,
    members: {
      pg1: {
        host: "pg1",
        port: 5432,
        dataDirectory: "/var/lib/postgresql/17/orders-pg1",
        walDirectory: "/wal/pg1",
        candidate: true,
        replicationAddress: "198.51.100.11",
        serviceAddress: "198.51.100.11",
        sshPort: 22,
        hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB pg",
      },
      pg2: {
        host: "pg2",
        port: 5432,
        dataDirectory: "/var/lib/postgresql/17/orders-pg2",
        candidate: false,
        replicationAddress: "198.51.100.12",
        serviceAddress: "198.51.100.12",
        sshPort: 22,
        hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB pg",
      },
    },
    primary: "pg1",
    synchronous: "off",
    parameters: { work_mem: "64MB" },
    clientNetworks: ["198.51.100.0/24"],
    walSegmentSize: "16MB",
    slotSizeLimit: "10GB",
    socketUsers: ["root"],
    failover: { manager: "none" },
    virtualIps: {},
    onDrift: "adopt",
    switchBackAfter: "10min",
    rejoin: "auto",
    onDestroy: "erase",
    eraseConfirmation: "orders",
    disposableSlots: [],
    limits: defaultLimits,
  });
  expect(groupInputs.parse(inputs)).toEqual(inputs);
});

it("a group has its members in the order of the declaration, each with its name", () => {
  const group = groupOf(groupInputs.parse(inputsOfCluster(declared(), ["root"])));
  expect(group.members).toEqual(declared().members);
  expect(othersOf(group, "pg1").map((member) => member.name)).toEqual(["pg2"]);
  expect(memberOf(group, "pg2").candidate).toBe(false);
  expect(() => memberOf(group, "pg9")).toThrow("pg9 is not a member of orders");
});

it("an empty password is no password", () => {
  const inputs = { ...inputsOfCluster(declared(), []), superuserPassword: "" };
  expect(groupInputs.safeParse(inputs).success).toBe(false);
  expect(groupInputs.safeParse({ ...inputs, superuserPassword: "x" }).success).toBe(true);
});

it.each<[string, readonly string[], readonly string[]]>([
  ["a declared member that streams", ["pg2", "pg3"], ["pg2"]],
  ["not the member itself, whose data is to go, nor the primary", ["pg3", "pg1"], []],
  ["not what reads along: a WAL archiver, a backup, a subscription", ["pg_receivewal", "pg_basebackup", "reports"], []],
  ["nobody where nobody streams", [], []],
])("another copy of the data is %s", (_, streaming, copies) => {
  expect(otherCopies(threeMembers(), "pg3", "pg1", streaming)).toEqual(copies);
});
