import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, scriptOnHost, sql } from "../support/labStack.ts";
import {
  createTestCluster,
  expectExit,
  expectNothingLeft,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

let lab: Lab;
/** Two states of one cluster, as two people have them who do not share a backend. */
let states: readonly TestCluster[];

const holder = /orders: \S+@\S+, pid \d+ holds the cluster since \d{4}-\d\d-\d\dT[\d:.]+Z \(seen on pg1\)\./;

beforeAll(async () => {
  lab = await openTestLab(3);
  const declaration = { onDestroy: "stop" };
  const one = await createTestCluster({ lab, name: "one-state", declaration });
  states = [one, await createTestCluster({ lab, name: "another-state", declaration })];
});
afterAll(async () => {
  for (const state of states ?? []) await state.close();
});

/** As a human does it who gives a member up: its data and what is known of it are gone. */
async function emptyMember(member: string): Promise<void> {
  await scriptOnHost(
    lab,
    member,
    `systemctl stop pgha-orders-${member}
     rm -r /var/lib/postgresql/17/orders-${member} /var/lib/pgha/orders/${member}/marker.json`,
  );
}

/** Makes the first clone that begins on this host stand still, and tells its process. */
function holdFirstClone(host: string): Promise<string> {
  const script = "until pid=$(pgrep -o -x pg_basebackup); do sleep 0.005; done; kill -STOP $pid; echo $pid";
  return scriptOnHost(lab, host, script, 240);
}

test("of two `pulumi up` that want to clone the same empty member one does, and the other says who holds the cluster", async () => {
  await emptyMember("pg3");
  const cloning = holdFirstClone("pg3");
  const runs = states.map((state) => ({ state, running: state.stack.start("up", "--yes", "--skip-preview") }));
  const ended = runs.map(async ({ state, running }) => ({ state, ran: await running.ended }));
  // The one that clones cannot end before its clone goes on, so the first to end is the other one.
  const refused = await Promise.race(ended);
  const process = await cloning;
  try {
    expectExit(refused.ran, 1);
    expect(plain(refused.ran.output)).toMatch(holder);
    expect(plain(refused.ran.output)).toContain("Nothing was touched. Wait for it to end, then run this again;");

    const destroyed = await refused.state.stack.destroy();
    expect(destroyed.exitCode, destroyed.output).not.toBe(0);
    expect(plain(destroyed.output)).toMatch(holder);
    expect(await sql(lab, "pg1", "select pg_is_in_recovery()")).toBe("f");
  } finally {
    await onHost(lab, "pg3", ["kill", "-CONT", process]);
  }
  const both = await Promise.all(ended);
  expect(both.map(({ ran }) => ran.exitCode).sort()).toEqual([0, 1]);
  expect(await refused.state.roles()).toEqual(["pg1 f 1", "pg2 t 1", "pg3 t 1"]);
  await expectNothingLeft(refused.state);
});

test("afterwards neither of them has anything left to do", async () => {
  for (const state of states) expectExit(await state.stack.up("--expect-no-changes"), 0);
});
