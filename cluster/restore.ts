import { z } from "zod";
import { UserError } from "../model/fault.ts";
import type { Journal } from "../model/observation.ts";
import type { MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";
import { writeJournal } from "./journal.ts";
import { type Hold, orderUnderLock } from "./order.ts";
import { waitForService } from "./service.ts";
import { startUnit, unitEvent } from "./units.ts";

/** Until the postmaster has ended; one that hangs is ended before that. */
const stopLimitSeconds = 60;

/**
 * Puts the old primary of an unfinished handover back: only called once its ticket was taken away, or its target given up.
 * Its host does it by itself from here on, and refuses when the lock is no longer ours: whoever took it over decides.
 */
export async function restoreOldPrimary(old: MemberAccess, journal: Journal, lock: Hold): Promise<void> {
  await writeJournal([old], journal, lock); // an earlier recovery may have removed it here and died
  const unit = await startUnit(old, "back", {
    epoch: lock.epoch,
    journal: journal.epoch,
    limitSeconds: stopLimitSeconds,
  });
  try {
    const told = unitEvent.parse(await unit.answer(stopLimitSeconds + 60));
    if (told.event !== "restored") {
      throw new UserError(
        `${old.name} was not made primary again: ${told.reason ?? told.event}.\n  Look at it on its host (\`systemctl status ${old.paths.unit}\`), then run \`pulumi up\` again: it goes on from what it finds.`,
      );
    }
  } finally {
    unit.end();
  }
  await waitForService(old, 300);
}

/** What the target says when the right to be promoted is to be taken from it. Only `revoked` lets the old primary come back. */
export type Revocation = "revoked" | "consumed" | "promoted" | "overtaken" | "unreadable";

/** Durable on the target's host when it returns: a ticket of that handover is worth nothing from then on. */
export async function takeTicketBack(target: MemberAccess, journal: Journal): Promise<Revocation> {
  const answer = await askAgent(
    target.host,
    "take_back",
    { member: target.paths.memberFile, journal: journal.epoch, timeline: journal.timeline },
    z.object({ result: z.enum(["revoked", "consumed", "promoted", "overtaken", "unreadable"]) }),
    { limitSeconds: 40, purpose: `take the right to be promoted from ${target.name}` },
  );
  return answer.result;
}

/** Goes on with a promotion whose ticket was consumed, in case its host died in the middle of it. */
export async function completePromotion(target: MemberAccess, lock: Hold): Promise<void> {
  const purpose = `complete the promotion of ${target.name}`;
  await orderUnderLock(target, lock, { verb: "complete", answers: ["forward"], purpose });
}

/** The old primary follows for good: its host asks the target no more, and its next start is as a standby. */
export async function giveWay(old: MemberAccess, { epoch }: Journal, lock: Hold): Promise<void> {
  const purpose = `let ${old.name} follow`;
  await orderUnderLock(old, lock, { verb: "give_way", values: { journal: epoch }, answers: ["follows"], purpose });
}

/** The confirmed primary may start as such: its boot gate asks nobody. */
export async function admitPrimary(primary: MemberAccess, lock: Hold): Promise<void> {
  const purpose = `let ${primary.name} start as primary`;
  await orderUnderLock(primary, lock, { verb: "admit", answers: ["admitted"], purpose });
}

/** The next start is as a standby. Durable when it returns. */
export async function markStandby(member: MemberAccess, lock: Hold): Promise<void> {
  const purpose = `make ${member.name} a standby at its next start`;
  await orderUnderLock(member, lock, {
    verb: "next_start",
    values: { role: "standby" },
    answers: ["standby"],
    purpose,
  });
}

/** The next start is as a primary. Refused on the host for one that is no primary there and then. */
export async function unmarkStandby(member: MemberAccess, lock: Hold): Promise<void> {
  const purpose = `keep ${member.name} primary at its next start`;
  const answer = await orderUnderLock(member, lock, {
    verb: "next_start",
    values: { role: "primary" },
    answers: ["primary", "not primary"],
    purpose,
  });
  if (answer === "primary") return;
  throw new UserError(
    `could not ${purpose}: it is no longer writable, and its standby.signal was left.\n  Run \`pulumi up\` again: it goes on from what it finds.`,
  );
}
