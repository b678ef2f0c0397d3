import { z } from "zod";
import { UserError } from "../model/fault.ts";
import type { MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";
import { stopService, waitForService } from "./service.ts";

const stopLimitSeconds = 60;

const restoreAnswer = z.discriminatedUnion("result", [
  z.object({ result: z.literal("started") }),
  z.object({ result: z.literal("not stopped") }),
  z.object({ result: z.literal("lock lost"), holder: z.string(), since: z.string(), alive: z.boolean() }),
]);

/**
 * Puts the old primary back: only called once it is sure that nobody else was or will be promoted. Its host refuses when
 * the lock is no longer ours: whoever took it over decides. Returns the milliseconds until it was writable.
 */
export async function restoreOldPrimary(old: MemberAccess, lock: Pick<ClusterLock, "epoch">): Promise<number> {
  const began = performance.now();
  const answer = await askAgent(
    old.host,
    "restore",
    {
      dataDirectory: old.declaration.dataDirectory,
      unit: old.paths.unit,
      lock: old.paths.lock,
      epoch: lock.epoch,
      limitSeconds: stopLimitSeconds,
    },
    restoreAnswer,
    { limitSeconds: stopLimitSeconds + 60, purpose: `make ${old.name} primary again` },
  );
  if (answer.result === "lock lost") {
    const holder = answer.alive ? `${answer.holder} holds the cluster since ${answer.since}` : "the lock ran out";
    throw new UserError(
      `${old.name} was not made primary again: ${holder}.\n  Run \`pulumi up\` again: it goes on from what it finds.`,
    );
  }
  if (answer.result === "not stopped") {
    throw new UserError(
      `${old.name}: ${old.paths.unit} did not end within ${stopLimitSeconds} s.\n  Look at it on its host (\`systemctl status\`), then run \`pulumi up\` again: it goes on from what it finds.`,
    );
  }
  await waitForService(old, 300);
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
      argv: [
        "sh",
        "-c",
        'LC_ALL=C "$1" -D "$2" && if [ -e "$2/standby.signal" ]; then echo "standby.signal: there"; fi',
        "sh",
        `${target.programs}/pg_controldata`,
        target.declaration.dataDirectory,
      ],
      as: "postgres",
      limitSeconds: 20,
      purpose: `read pg_control of ${target.name}`,
    });
  } catch (error) {
    throw forward(`its state cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  const state = /^Database cluster state:\s+(.+)$/m.exec(text)?.[1];
  const timeline = Number(/^Latest checkpoint's TimeLineID:\s+(\d+)$/m.exec(text)?.[1]);
  const isStandby = /^standby.signal: there$/m.test(text);
  if (state === "shut down in recovery" && timeline === seen.timeline && isStandby) return;
  throw forward(`its pg_control says "${state}", timeline ${timeline}${isStandby ? "" : ", without standby.signal"}`);
}
