import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { killTree } from "../support/killTree.ts";
import { plain } from "../support/labStack.ts";
import {
  createTestCluster,
  expectExit,
  expectNothingLeft,
  expectSafe,
  openTestLab,
  type TestCluster,
} from "../support/testCluster.ts";

/* A switchover killed at any moment at all, again and again, while a client writes: what no list of moments covers. */
const rounds = Number(process.env.PGHA_KILL_ROUNDS ?? 20);
const seed = Number(process.env.PGHA_SEED ?? Math.floor(Math.random() * 2 ** 31));
const longestLifeMilliseconds = 8_000;
/** A dead orchestrator loses its hold after 30 s; until then `up` says who holds the cluster. */
const recoveryLimitMilliseconds = 90_000;

let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openTestLab(3);
  cluster = await createTestCluster({ lab, name: "killed-anywhere" });
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

/** mulberry32: small, and the same on every machine for the same seed. */
function createRandom(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns what each of them said. */
async function upUntilItSucceeds(): Promise<string> {
  const deadline = performance.now() + recoveryLimitMilliseconds;
  let said = "";
  for (;;) {
    const ran = await cluster.stack.up();
    said += `\n--- exit code ${ran.exitCode}\n${plain(ran.output)}`;
    if (ran.exitCode === 0) return said;
    if (performance.now() > deadline) expectExit(ran, 0);
  }
}

test(`${rounds} switchovers killed at random moments (PGHA_SEED=${seed}) lose no row, and the next up always mends them`, async () => {
  const random = createRandom(seed);
  const observed = await cluster.observeWrites({ limitSeconds: 3_600 });
  for (let round = 0; round < rounds; round++) {
    const to = cluster.members[(round + 1) % cluster.members.length] ?? "pg1";
    await cluster.declare("primary", to);
    const running = cluster.stack.start("up", "--yes", "--skip-preview");
    const lifeMilliseconds = random() * longestLifeMilliseconds;
    const killer = setTimeout(() => killTree(running), lifeMilliseconds);
    await running.ended;
    clearTimeout(killer);
    await cluster.stack.pulumi("cancel", "--yes");
    const mended = await upUntilItSucceeds();
    // The first one that succeeds may only have mended; what is declared is there after the next at the latest.
    const last = await cluster.stack.up();
    expectExit(last, 0);
    const roles = await cluster.roles();
    const where = `round ${round}, killed after ${lifeMilliseconds.toFixed(0)} ms`;
    const writable = roles.filter((role) => / f /.test(role)).map((role) => role.split(" ")[0]);
    expect(writable, `${where}: ${roles.join(", ")}${mended}\n---\n${plain(last.output)}`).toEqual([to]);
    await expectNothingLeft(cluster, where);
  }
  expectSafe(await observed.finish());
}, 3_600_000);
