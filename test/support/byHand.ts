import { expect } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost, plain, sql } from "./labStack.ts";
import type { Ran } from "./stack.ts";

/* What people and failures do to cluster orders behind Pulumi's back, and how to read what Pulumi says about it. */

export const unit = (member: string) => `pgha-orders-${member}`;

export async function stopByHand(lab: Lab, member: string): Promise<void> {
  await onHost(lab, member, ["systemctl", "stop", unit(member)]);
}

export async function promoteByHand(lab: Lab, member: string): Promise<void> {
  expect(await sql(lab, member, "select pg_promote(true, 30)")).toBe("t");
}

/** When the server of each member was started: the same as before where none was started again. */
export function startTimes(lab: Lab, members: readonly string[]): Promise<string[]> {
  return Promise.all(members.map((member) => sql(lab, member, "select pg_postmaster_start_time()")));
}

export async function waitUntilStreaming(lab: Lab, primary: string, standbys: readonly string[]): Promise<void> {
  const deadline = performance.now() + 60_000;
  const asking = "select application_name from pg_stat_replication where state = 'streaming'";
  for (;;) {
    const streaming = (await sql(lab, primary, asking)).split("\n");
    const missing = standbys.filter((standby) => !streaming.includes(standby));
    if (missing.length === 0) return;
    if (performance.now() > deadline) {
      throw new Error(`waited 60 s for ${missing.join(", ")} to stream from ${primary}`);
    }
  }
}

/** Waits until these standbys stream from nobody any more. */
export async function waitUntilAlone(lab: Lab, standbys: readonly string[]): Promise<void> {
  const deadline = performance.now() + 60_000;
  const asking = "select count(*) from pg_stat_wal_receiver where status = 'streaming'";
  for (;;) {
    const streaming = await Promise.all(standbys.map((standby) => sql(lab, standby, asking)));
    if (streaming.every((count) => count === "0")) return;
    if (performance.now() > deadline) throw new Error(`waited 60 s for ${standbys.join(", ")} to stream no more`);
  }
}

/** What is said, without the engine's indentation. */
export function said(ran: Ran): string {
  return plain(ran.output)
    .split("\n")
    .map((line) => line.trim())
    .join("\n");
}

/** The resource itself, not the stack's outputs, shows a change of its primary. */
export function showsChangeOfPrimary(ran: Ran): boolean {
  return /~ primary: "/.test(plain(ran.output));
}
