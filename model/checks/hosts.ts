import { reachedMembers } from "../observation.ts";
import { block, type Check, ok, type Subject, secondsText, warn } from "./check.ts";

export function lockCheck({ heldLock }: Subject): Check {
  const name = "no other orchestrator";
  if (heldLock === undefined) return ok(name, "none", "none");
  const { holder, since, member } = heldLock;
  return block(
    name,
    `${holder} holds the cluster since ${since} (seen on ${member})`,
    "none",
    "Wait for it to end; a dead one loses its hold after 30 s.",
  );
}

/** With `failover.manager: none` nobody is to fail over: one that runs all the same may promote in the middle of ours. */
export function managerCheck({ observations }: Subject): Check {
  const name = "failover manager";
  const running = reachedMembers(observations).flatMap(({ member, local }) =>
    local.failoverManagers.map((manager) => `${manager} runs on ${member}`),
  );
  if (running.length === 0) return ok(name, "none declared, none runs", "as declared");
  return warn(
    name,
    `none declared, but ${running.join(", ")}`,
    "as declared",
    "Stop it, or make sure that it leaves this cluster alone: it may promote another member meanwhile.",
  );
}

/** Locks and tickets live by each host's own boot clock; certificates, logs and recovery to a time do not. */
export function clocksCheck({ limits, observations }: Subject): Check {
  const name = "clocks";
  const limit = `${limits.clockSeconds} s apart`;
  const clocks = reachedMembers(observations).map(({ member, local }) => ({ member, ...local.clock }));
  const pairs = clocks.flatMap((fast) =>
    clocks.map((slow) => ({
      fast: fast.member,
      slow: slow.member,
      seconds: fast.aheadSeconds - slow.aheadSeconds - fast.uncertainSeconds - slow.uncertainSeconds,
    })),
  );
  const widest = pairs.reduce((one, other) => (other.seconds > one.seconds ? other : one));
  if (widest.seconds <= limits.clockSeconds)
    return ok(name, `${secondsText(Math.max(0, widest.seconds))} apart`, limit);
  return warn(
    name,
    `${widest.fast} is ${secondsText(widest.seconds)} ahead of ${widest.slow}`,
    limit,
    "Let both hosts follow a time server (timedatectl).",
  );
}
