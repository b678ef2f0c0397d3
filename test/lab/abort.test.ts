import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { holdReceiver, holdShutdown, switchUntil, waitForPrimary } from "../support/handoverMoments.ts";
import { plain } from "../support/labStack.ts";
import {
  createTestCluster,
  expectExit,
  expectNothingLeft,
  expectSafe,
  type Observed,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

/* A step of the outage fails: the old primary comes back by itself, as soon as it is certain that nobody was promoted. */

let lab: Lab;
let cluster: TestCluster;
let observed: Observed;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "abort" });
  observed = await cluster.observeWrites();
});
afterAll(() => cluster?.close());

test("a target that does not receive the shutdown checkpoint: refused, and the old primary is writable again", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  const receiver = await holdReceiver(lab, "pg2");
  await held.release();
  const undone = await running.ended;
  await receiver.release();
  expectExit(undone, 1);
  expect(plain(undone.output)).toMatch(
    /switchover pg1 -> pg2 undone: the target received WAL up to \S+, but the old primary's shutdown checkpoint ends at \S+\.\n +pg1 is primary again \(writable \d+\.\d\d s after the decision\)/,
  );
  await waitForPrimary(cluster, "pg1");
  await expectNothingLeft(cluster);
});

test("a target whose host dies before the ticket: the old primary waits for its word, and comes back with it", async () => {
  const { running, held } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  await lab.kill("pg2");
  await held.release();
  const broken = await running.ended;
  expectExit(broken, 1);
  expect(plain(broken.output)).toContain(
    "pg2 does not answer, and may have been promoted: pg1 stays down until it is known.",
  );
  expect((await cluster.roles()).filter((role) => role.includes(" f "))).toEqual([]);
  await lab.start("pg2");
  await waitForPrimary(cluster, "pg1");
  expectExit(await cluster.stack.up(), 0);
});

test("an old primary whose host dies before the ticket: it comes back as primary when its power does", async () => {
  const { running } = await switchUntil(cluster, "pg2", holdShutdown(lab, "pg1"));
  await lab.kill("pg1");
  const broken = await running.ended;
  expectExit(broken, 1);
  await lab.start("pg1");
  await waitForPrimary(cluster, "pg1", 120);
  expectExit(await cluster.stack.up(), 0);
});

test("in all of it no acknowledged row was lost, and no two members were ever writable at once", async () => {
  expectSafe(await observed.finish());
});
