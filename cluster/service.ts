import type { MemberAccess } from "./access.ts";
import { type Hold, orderUnderLock } from "./order.ts";
import { WaitedTooLong, waitFor } from "./waitFor.ts";

/**
 * Starts the member's unit, with the failover manager out of the way; returns once PostgreSQL accepts connections. At boot it
 * starts by itself where no manager does that.
 */
export async function startService(member: MemberAccess, lock: Hold, limitSeconds: number): Promise<void> {
  const { unit } = member.paths;
  await member.manager.standBack(lock);
  await member.host.must({
    argv: ["sh", "-ec", startScript, "sh", unit, bootVerb(member)],
    limitSeconds: 30,
    purpose: `start ${unit}`,
  });
  await waitForService(member, limitSeconds);
}

const startScript = `
systemctl --quiet "$2" "$1"
systemctl reset-failed "$1" 2>/dev/null || true
systemctl start --no-block "$1"`;

function bootVerb({ manager }: MemberAccess): "enable" | "disable" {
  return manager.startsMembers ? "disable" : "enable";
}

/** Enables the member's unit, or disables it where the failover manager starts the members. Whether it runs is left as it is. */
export async function ensureBootStart(member: MemberAccess): Promise<void> {
  const { unit } = member.paths;
  const verb = bootVerb(member);
  await member.host.must({
    argv: ["systemctl", "--quiet", verb, unit],
    limitSeconds: 30,
    purpose: `${verb} ${unit}`,
  });
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

/**
 * Stops the unit through systemd, so that its Restart= does not undo it, and returns once the postmaster is gone. Refused on
 * the host when the lock is no longer ours: the member may have become the primary. `forGood`: it does not start at the next
 * boot either. A missing unit is stopped.
 */
export async function stopService(
  member: MemberAccess,
  lock: Hold,
  limitSeconds: number,
  { forGood = false }: { readonly forGood?: boolean } = {},
): Promise<void> {
  const { unit } = member.paths;
  await member.manager.standBack(lock);
  const answer = await orderUnderLock(member, lock, {
    verb: "stop",
    values: { unit, limitSeconds, forGood: forGood ? 1 : 0 },
    answers: ["stopped", "still runs"],
    purpose: `stop ${unit}`,
    limitSeconds: limitSeconds + 60,
  });
  if (answer === "stopped") return;
  const where = member.host.name;
  throw new WaitedTooLong(
    `${unit} on ${where}: waited ${limitSeconds} s for it to stop, and it still runs. Look at it there (\`systemctl status ${unit}\`), then run \`pulumi up\` again.`,
  );
}
