import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { scriptOnHost } from "./labStack.ts";
import type { Running } from "./stack.ts";
import { clusterName, type TestCluster } from "./testCluster.ts";

/* Handovers take a quarter of a second: tests hold one where they want to do something to it. */

export const dataDirectory = (member: string, cluster = clusterName) => `/var/lib/postgresql/17/${cluster}-${member}`;
export const journal = (member: string) => `/var/lib/pgha/${clusterName}/${member}/journal.json`;

/** Something that stands still until it is let go. */
export interface Held {
  release(): Promise<void>;
}

/** Returns as soon as the condition holds inside the host. */
export async function waitInside(lab: Lab, host: string, condition: string): Promise<void> {
  await scriptOnHost(lab, host, `until ${condition}; do sleep 0.003; done`, 60);
}

/** Stops one process of the member's server as soon as the condition holds inside its host; `title` as ps shows it. */
async function holdProcess(
  lab: Lab,
  member: string,
  title: string,
  condition: string,
  directory = dataDirectory(member),
): Promise<Held> {
  const server = `$(head -n 1 ${directory}/postmaster.pid)`;
  const pid = await scriptOnHost(lab, member, `pgrep -P "${server}" -f "${title}"`);
  await scriptOnHost(lab, member, `until ${condition}; do sleep 0.002; done; kill -STOP ${pid}`, 60);
  return { release: () => scriptOnHost(lab, member, `kill -CONT ${pid} || true`).then(() => undefined) };
}

/** The primary's CHECKPOINT before the outage takes as long as the test wants: journals lie there, nobody was stopped. */
export function holdBeforeOutage(lab: Lab, from: string): Promise<Held> {
  return holdProcess(lab, from, "checkpointer", `[ -e ${journal(from)} ]`);
}

/** The order to stop was given; the primary's shutdown checkpoint, and so the ticket, waits until it is let go. */
export function holdShutdown(lab: Lab, from: string, directory = dataDirectory(from)): Promise<Held> {
  return holdProcess(lab, from, "checkpointer", `[ -e ${directory}/standby.signal ]`, directory);
}

/** Nothing that its primary sends is written any more. */
export function holdReceiver(lab: Lab, member: string, directory = dataDirectory(member)): Promise<Held> {
  return holdProcess(lab, member, "walreceiver", "true", directory);
}

/** It can neither replay nor end its recovery. */
export function holdStartup(lab: Lab, member: string): Promise<Held> {
  return holdProcess(lab, member, "startup", "true");
}

/** Begins a switchover to `to` and returns when it is held there. */
export async function switchUntil(
  cluster: TestCluster,
  to: string,
  moment: Promise<Held>,
): Promise<{ readonly running: Running; readonly held: Held }> {
  await cluster.declare("primary", to);
  const running = cluster.stack.start("up", "--yes", "--skip-preview");
  const over = running.ended.then((ran) => {
    throw new Error(`pulumi up ended before the moment that the test waits for: ${ran.output}`);
  });
  over.catch(() => undefined);
  return { running, held: await Promise.race([moment, over]) };
}

/** Waits until `primary` is writable and all others stream from its timeline: what the hosts reach by themselves. */
export async function waitForPrimary(cluster: TestCluster, primary: string, limitSeconds = 60): Promise<void> {
  let seen: readonly string[] = [];
  const isReached = async (): Promise<true | undefined> => {
    seen = await cluster.roles();
    const timeline = seen.find((role) => role.startsWith(`${primary} f `))?.split(" ")[2];
    const expected = cluster.members.map((member) => `${member} ${member === primary ? "f" : "t"} ${timeline}`);
    return timeline !== undefined && seen.join() === expected.join() ? true : undefined;
  };
  await waitFor(`${primary} to be primary of all`, limitSeconds, isReached, 200).catch((error: Error) => {
    throw new Error(`${error.message}; last seen: ${seen.join(", ")}`);
  });
}
