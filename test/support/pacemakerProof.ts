import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { boardFiles } from "../../lab/board.ts";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { promotedNodes } from "../../model/pacemaker/status.ts";
import { waitUntilStreaming } from "./byHand.ts";
import { expectRoles, names, pacemakerStatus, waitUntilRunning } from "./pacemaker.ts";
import { expectExit, expectSafe, type Observed, type TestCluster, type Verdict } from "./testCluster.ts";

/* What a failure under Pacemaker did to those who write through the virtual IP, and what the hosts say of it afterwards. */

declare module "vitest" {
  interface TaskMeta {
    /** What the test has measured, as the results of the acceptance tests show it. */
    measured?: string;
  }
}

/** The test that measures, as vitest hands it to its function. */
export interface Measured {
  readonly task: { readonly meta: { measured?: string } };
}

/**
 * A failure and what follows from it, under writes through the virtual IP; no row may be lost, and nobody be two.
 * `limitSeconds`: for all of it.
 */
export async function underWrites(
  cluster: TestCluster,
  { task }: Measured,
  happens: (observed: Observed) => Promise<void>,
  limitSeconds = 900,
): Promise<Verdict> {
  const observed = await cluster.observeWrites({ virtualIp: cluster.lab.virtualIp, limitSeconds });
  const since = Date.now();
  await happens(observed);
  await observed.writer.waitForAcknowledgement(60);
  const gap = `${seconds(observed.writer.longestGap(since).milliseconds)} without a row`;
  task.meta.measured = task.meta.measured === undefined ? gap : `${task.meta.measured}; ${gap}`;
  console.log(task.meta.measured);
  const verdict = await observed.finish();
  expectSafe(verdict);
  return verdict;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Who had the virtual IP, one after the other. */
export function ownersIn({ owners }: Verdict): string[] {
  return owners?.owners.map(({ owner }) => owner) ?? [];
}

/** Who wrote the rows, each once, in the order in which they began. */
export function serversIn({ writer }: Verdict): string[] {
  return [...new Set(writer.acknowledgements.map(({ server }) => server))];
}

/** The member that Pacemaker has promoted. */
export async function promotedMember(lab: Lab, asked: string): Promise<string> {
  const promoted = promotedNodes(await pacemakerStatus(lab, asked), names.clone);
  expect(promoted).toHaveLength(1);
  return promoted[0] ?? "";
}

/** Everything as it was declared, and Pulumi sees nothing to do. */
export async function expectAsDeclared(cluster: TestCluster, primary: string): Promise<void> {
  await expectRoles(cluster.lab, primary, cluster.members);
  expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
}

/** The stack file says who is primary now: after `up` every member streams, and there is nothing more to do. */
export async function adoptPrimary(cluster: TestCluster, primary: string): Promise<void> {
  await cluster.declare("primary", primary);
  expectExit(await cluster.stack.up(), 0);
  const others = cluster.members.filter((name) => name !== primary);
  await waitUntilStreaming(cluster.lab, primary, others);
  await expectAsDeclared(cluster, primary);
}

/** Its host runs again, whoever switches it on, and Pacemaker has started its member; then as `adoptPrimary`. */
export async function comeBack(cluster: TestCluster, member: string, primary: string): Promise<void> {
  await cluster.lab.start(member);
  await waitUntilRunning(cluster.lab, primary, member, 90);
  await adoptPrimary(cluster, primary);
}

/** What the management board was told to do with this host, in order. */
export async function boardOrders(lab: Lab, host: string): Promise<string[]> {
  const log = await readFile(boardFiles(lab.name).log, "utf8");
  return [...log.matchAll(new RegExp(`^\\S+ (On|ForceOff|ForceRestart) ${host}$`, "gm"))].map(
    ([, order]) => order ?? "",
  );
}

/** Waits until the management board was told exactly this about the host, in this order. */
export async function waitForBoardOrders(lab: Lab, host: string, expected: readonly string[]): Promise<void> {
  let last: readonly string[] = [];
  await waitFor(`the board to be told ${expected.join(", ")} for ${host}`, 60, async () => {
    last = await boardOrders(lab, host);
    return last.join() === expected.join() || undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it was told ${last.join(", ") || "nothing"}`);
  });
}

/** How the newest fencing of this host ended, as Pacemaker has it. */
export async function fencingOf(lab: Lab, asked: string, host: string): Promise<string | undefined> {
  return (await pacemakerStatus(lab, asked)).fencing.find(({ target }) => target === host)?.status;
}

/** Waits until Pacemaker on this host sees exactly these nodes online and clean. */
export async function waitUntilOnline(lab: Lab, asked: string, nodes: readonly string[], limitSeconds: number) {
  await waitFor(
    `Pacemaker on ${asked} to see ${nodes.join(", ")} online, and nobody else`,
    limitSeconds,
    async () => {
      const status = await pacemakerStatus(lab, asked).catch(() => undefined);
      const online = status?.nodes.filter((node) => node.online && !node.unclean && !node.pending) ?? [];
      const found = online.map(({ name }) => name).sort();
      return found.join() === [...nodes].sort().join() || undefined;
    },
    300,
  );
}
