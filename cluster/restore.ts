import { UserError } from "../model/fault.ts";
import type { MemberAccess } from "./access.ts";
import { unmarkStandby } from "./data.ts";
import { startService, stopService } from "./service.ts";

/**
 * Puts the old primary back: only called once it is sure that nobody else was or will be promoted.
 * Returns the milliseconds until it was writable.
 */
export async function restoreOldPrimary(old: MemberAccess): Promise<number> {
  const began = performance.now();
  await stopService(old, 120);
  await unmarkStandby(old);
  await startService(old, 300);
  return performance.now() - began;
}

/**
 * After a promotion was asked for and did not succeed, nobody knows whether it still will: the target is stopped, and
 * its pg_control must say that it never left recovery. Otherwise the only way is forward, and that is for people to see.
 */
export async function stopPromotedOrPromoting(
  target: MemberAccess,
  seen: { readonly timeline: number },
  reason: string,
): Promise<void> {
  const forward = (found: string) =>
    new UserError(
      `the promotion of ${target.name} did not end as expected (${reason}), and ${found}.\n  The old primary stays down, so that there are never two. Run \`pulumi up\` again: it goes on from what it finds.`,
    );
  let text: string;
  try {
    await stopService(target, 120);
    text = await target.host.must({
      argv: ["env", "LC_ALL=C", `${target.programs}/pg_controldata`, "-D", target.declaration.dataDirectory],
      as: "postgres",
      limitSeconds: 20,
      purpose: `read pg_control of ${target.name}`,
    });
  } catch (error) {
    throw forward(`its state cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  const state = /^Database cluster state:\s+(.+)$/m.exec(text)?.[1];
  const timeline = Number(/^Latest checkpoint's TimeLineID:\s+(\d+)$/m.exec(text)?.[1]);
  if (state === "shut down in recovery" && timeline === seen.timeline) return;
  throw forward(`its pg_control says "${state}", timeline ${timeline}`);
}
