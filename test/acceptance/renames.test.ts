import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { said, stopByHand } from "../support/byHand.ts";
import { fingerprint } from "../support/labStack.ts";
import type { Ran } from "../support/stack.ts";
import { createTestCluster, expectExit, openTestLab, type TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  // The sharpest policy: what a renaming would take for a removed cluster would be erased.
  cluster = await createTestCluster({
    lab,
    name: "renames",
    declaration: { onDestroy: "erase", eraseConfirmation: "orders" },
  });
});
afterAll(async () => await cluster?.close());

const running = ["pg1 f 1", "pg2 t 1", "pg3 t 1"];

/** Every one of these runs fails with this text and leaves every host as it was. */
async function expectRefused(text: string, ...runs: readonly (() => Promise<Ran>)[]): Promise<void> {
  const prints = () => Promise.all(cluster.members.map((member) => fingerprint(lab, member)));
  const before = await prints();
  for (const run of runs) {
    const ran = await run();
    expectExit(ran, 1);
    expect(said(ran)).toContain(text);
    expect(await prints()).toEqual(before);
  }
}

const preview = () => cluster.stack.preview();
const up = () => cluster.stack.up();
const upInSpite = () => cluster.stack.up("--continue-on-error");

async function renameCluster(from: string, to: string): Promise<void> {
  const members = Object.fromEntries(cluster.members.map((member) => [member, {}]));
  const declaration = {
    ...{ postgresVersion: 17, members, primary: "pg1", synchronous: { quorum: 1 }, walSegmentSize: "1MB" },
    ...{ clientNetworks: ["lab"], onDestroy: "erase", eraseConfirmation: to },
  };
  await cluster.stack.edit(["pgha:clusters", from], undefined);
  await cluster.stack.edit(["pgha:clusters", to], declaration);
}

test("a member under another name is refused as the renaming that it is, before any host is asked", async () => {
  await cluster.declare("members", { pg1: {}, pg2: {}, third: { host: "pg3" } });
  await expectRefused(
    "pgha:clusters.orders.members.third: found third in the place of pg3 (host pg3, port 5432), and pg3 gone, expected pg3: a member is not renamed, its service, slots and data bear its name. Write pg3 again.",
    preview,
    up,
    upInSpite,
  );
  expect(await cluster.roles()).toEqual(running);
  await cluster.declare("members", { pg1: {}, pg2: {}, pg3: {} });
});

test("a cluster under another name is refused: the old one is not erased, the new one not made", async () => {
  await renameCluster("orders", "sales");
  const text =
    "pgha:clusters.sales: found sales in the place of orders: pg1 (host pg1, port 5432), pg2 (host pg2, port 5432), pg3 (host pg3, port 5432), and orders without it, expected orders: a cluster is not renamed";
  await expectRefused(text, preview, up, upInSpite);
  expect(await cluster.roles()).toEqual(running);
});

test("it is refused too when the state is lost, by what stands on the hosts, and also where the old cluster is stopped", async () => {
  expectExit(await cluster.stack.pulumi("stack", "rm", "--force", "--preserve-config", "--yes"), 0);
  expectExit(await cluster.stack.pulumi("stack", "init"), 0);
  await stopByHand(lab, "pg3");
  const text = (member: string) =>
    `pgha:clusters.sales.members.${member}.port: found port 5432 on ${member}, which ${member} of cluster orders has (its data is in /var/lib/postgresql/17/orders-${member}), expected a place of its own; what is there is never overwritten. If it was renamed: write the old name.`;
  await expectRefused(text("pg1"), preview);
  await expectRefused(text("pg2"), up);
  await expectRefused(text("pg3"), up);
});

test("under its old name it is taken over as it is, and nothing has happened to it", async () => {
  await renameCluster("sales", "orders");
  const takenOver = await up();
  expectExit(takenOver, 0);
  expect(said(takenOver)).toContain("orders: recorded: pg1 is primary, as declared");
  expect(said(takenOver)).toContain("1 of 3 members unhealthy; the next `pulumi up` repairs it\npg3: service stopped");
  expect(await cluster.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 down"]);
  expectExit(await up(), 0);
  expect(await cluster.roles()).toEqual(running);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
});
