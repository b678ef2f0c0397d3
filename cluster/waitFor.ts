import { UserError } from "../model/fault.ts";

/** A condition did not come true in time. */
export class WaitedTooLong extends UserError {}

const pauseMilliseconds = 50;

/**
 * Asks until the probe returns something other than undefined, and returns that.
 * `lastSeen` of a probe's answer is what the error tells: what was waited for, how long, and what was there instead.
 */
export async function waitFor<T>(
  awaited: string,
  limitSeconds: number,
  probe: () => Promise<{ done: T } | { lastSeen: string }>,
): Promise<T> {
  const deadline = performance.now() + limitSeconds * 1000;
  let lastSeen = "nothing yet";
  do {
    const answer = await probe().catch((error: unknown) => ({
      lastSeen: error instanceof Error ? error.message : String(error),
    }));
    if ("done" in answer) return answer.done;
    lastSeen = answer.lastSeen;
    await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
  } while (performance.now() < deadline);
  throw new WaitedTooLong(`waited ${limitSeconds} s for ${awaited}; last seen: ${lastSeen}`);
}
