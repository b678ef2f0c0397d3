import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { boardFiles } from "../../lab/board.ts";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { waitUntilStreaming } from "../support/byHand.ts";
import { onHost } from "../support/labStack.ts";
import {
  address,
  declarePacemakerCluster,
  names,
  openPacemakerLab,
  pacemakerStatus,
  waitUntilPromoted,
  waitUntilRunning,
  waitUntilSettled,
  whereItRuns,
} from "../support/pacemaker.ts";
import { expectExit, expectSafe, type Observed, type TestCluster, type Verdict } from "../support/testCluster.ts";

/* Two members, fenced by the lab's management board, and no third host that could decide. The tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

beforeAll(async () => {
  lab = await openPacemakerLab(2);
  cluster = await declarePacemakerCluster(lab, "two-nodes");
});
afterAll(async () => {
  await cluster?.close();
  await lab?.down();
});

function other(host: string): string {
  return host === "pg1" ? "pg2" : "pg1";
}

/** Everything as it was declared, and Pulumi sees nothing to do. */
async function expectAsDeclared(primary: string): Promise<void> {
  await waitUntilSettled(lab, primary, 120);
  const members = [`${primary} Promoted`, `${other(primary)} Unpromoted`].sort();
  expect(whereItRuns(await pacemakerStatus(lab, primary))).toBe(
    `${names.resource}: ${members.join(", ")}; ${address}: ${primary} Started`,
  );
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

/** What the management board was told to do with this host so far. */
async function orders(host: string): Promise<string[]> {
  const log = await readFile(boardFiles(lab.name).log, "utf8");
  return [...log.matchAll(new RegExp(`^\\S+ (On|ForceOff|ForceRestart) ${host}$`, "gm"))].map(
    ([, order]) => order ?? "",
  );
}

async function waitForOrders(host: string, expected: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await waitFor(`the board to be told ${expected.join(", ")} for ${host}`, 60, async () => {
    last = await orders(host);
    return last.join() === expected.join() || undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it was told ${last.join(", ") || "nothing"}`);
  });
}

/** Writes until they go on after what was done at `since`; says for how long none was acknowledged. */
async function finish(observed: Observed, what: string, since: number): Promise<Verdict> {
  const verdict = await observed.finish();
  console.log(`${what}: ${observed.writer.longestGap(since).milliseconds.toFixed(0)} ms without a row`);
  expectSafe(verdict);
  return verdict;
}

/** Its host runs again and Pacemaker has started it there; the stack file says who is primary now, and `up` makes it follow. */
async function comeBack(member: string): Promise<void> {
  const primary = other(member);
  await lab.start(member);
  await waitUntilRunning(lab, primary, member, 120);
  await cluster.declare("primary", primary);
  expectExit(await cluster.stack.up(), 0);
  await waitUntilStreaming(lab, primary, [member]);
  await expectAsDeclared(primary);
}

const corosync = (host: string, key: string) => onHost(lab, host, ["corosync-cmapctl", "-g", key]);

test("two hosts have quorum each, and the one with the primary goes first when both want to switch the other off", async () => {
  expectExit(await cluster.stack.up(), 0);
  expect(await corosync("pg2", "runtime.votequorum.two_node")).toBe("runtime.votequorum.two_node (u8) = 1");
  expect(await onHost(lab, "pg2", ["crm_attribute", "--query", "--quiet", "--name", "priority-fencing-delay"])).toBe(
    "10s",
  );
  await expectAsDeclared("pg1");
});

test("cut off from each other, the primary's host switches the other off and goes on; the other, back alone, does nothing", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await lab.partition("pg1", { from: ["pg2"] });
  await waitForOrders("pg2", ["ForceOff", "On"]);
  expect(await orders("pg1")).toEqual([]);
  await lab.start("pg2");
  // Without having seen the other it has no quorum, and neither promotes nor fences.
  await waitFor("Pacemaker on pg2 to run", 60, async () => await pacemakerStatus(lab, "pg2").catch(() => undefined));
  expect((await pacemakerStatus(lab, "pg2")).quorum).toBe(false);
  expect((await pacemakerStatus(lab, "pg1")).resources.filter(({ role }) => role === "Promoted")).toHaveLength(1);
  await lab.heal();
  const verdict = await finish(observed, "two hosts, cut off from each other", since);
  expect(new Set(verdict.writer.acknowledgements.map((row) => row.server))).toEqual(new Set(["pg1"]));
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1"]);
  await waitUntilRunning(lab, "pg1", "pg2", 120);
  await waitUntilStreaming(lab, "pg1", ["pg2"]);
  await expectAsDeclared("pg1");
  expect(await orders("pg1")).toEqual([]);
});

test("a primary whose host is cut off from everything is switched off, and the other is promoted", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const [before, since] = [await orders("pg1"), Date.now()];
  await lab.partition("pg1");
  expect(await waitUntilPromoted(lab, "pg2", "pg1", 90)).toBe("pg2");
  console.log(`two hosts, primary cut off: promoted after ${Date.now() - since} ms`);
  expect(await orders("pg1")).toEqual([...before, "ForceOff", "On"]);
  await lab.heal("pg1");
  // A commit needs the second copy again.
  await comeBack("pg1");
  const verdict = await finish(observed, "two hosts, primary cut off", since);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1", "pg2"]);
});

test("a primary whose host dies is fenced, and the other is promoted without a lost row", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await lab.kill("pg2");
  expect(await waitUntilPromoted(lab, "pg1", "pg2", 90)).toBe("pg1");
  console.log(`two hosts, host death: promoted after ${Date.now() - since} ms`);
  await comeBack("pg2");
  const verdict = await finish(observed, "two hosts, host death", since);
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg2", "pg1"]);
});

test("after the power of both, one alone does nothing, and both together come back by themselves", async () => {
  const observed = await cluster.observeWrites({ virtualIp: lab.virtualIp });
  const since = Date.now();
  await Promise.all(["pg1", "pg2"].map((host) => lab.kill(host)));
  await lab.start("pg2");
  await waitFor("Pacemaker on pg2 to run", 60, () => pacemakerStatus(lab, "pg2").catch(() => undefined));
  expect((await pacemakerStatus(lab, "pg2")).quorum).toBe(false);
  await lab.start("pg1");
  await waitUntilSettled(lab, "pg1", 120);
  const verdict = await finish(observed, "two hosts, both without power", since);
  expect(new Set(verdict.writer.acknowledgements.map((row) => row.server))).toEqual(new Set(["pg1"]));
  expect(verdict.owners?.owners.map(({ owner }) => owner)).toEqual(["pg1"]);
  await expectAsDeclared("pg1");
});
