import type { MemberAccess } from "./access.ts";
import { waitFor } from "./waitFor.ts";

/** Enables and starts the member's unit; returns once PostgreSQL accepts connections. */
export async function startService(member: MemberAccess, limitSeconds: number): Promise<void> {
  const { unit } = member.paths;
  await member.host.must({
    argv: ["sh", "-c", `systemctl reset-failed "$1" 2>/dev/null; systemctl enable --now --no-block "$1"`, "sh", unit],
    limitSeconds: 30,
    purpose: `start ${unit}`,
  });
  await waitForService(member, limitSeconds);
}

/** Until a session can be opened; a unit that failed ends the wait at once, with its last log lines. */
export async function waitForService(member: MemberAccess, limitSeconds: number): Promise<void> {
  await waitFor(`PostgreSQL of ${member.name} to accept connections`, limitSeconds, async () => {
    const session = await member.connect();
    await session.close();
    return { done: true };
  }).catch(async (error: unknown) => {
    const log = await serviceLog(member);
    throw error instanceof Error ? Object.assign(error, { message: `${error.message}\n${log}` }) : error;
  });
}

async function serviceLog(member: MemberAccess): Promise<string> {
  const result = await member.host.run({
    argv: ["journalctl", "--no-pager", "-o", "cat", "-n", "10", "-u", member.paths.unit],
    limitSeconds: 10,
    purpose: `read the log of ${member.paths.unit}`,
  });
  return result.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => `  ${line}`)
    .join("\n");
}

/** Stops the unit through systemd, so that its Restart= does not undo it, and waits until the postmaster is gone. */
export async function stopService(member: MemberAccess, limitSeconds: number): Promise<void> {
  await member.host.must({
    argv: ["systemctl", "stop", member.paths.unit],
    limitSeconds,
    purpose: `stop ${member.paths.unit}`,
  });
}
