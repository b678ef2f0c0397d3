import type { Journal } from "../model/observation.ts";
import type { MemberAccess } from "./access.ts";
import { type Hold, orderUnderLock } from "./order.ts";

/**
 * Written before a handover touches anything, so that whoever comes next knows what was begun. Durable when it returns.
 * Refused where the lock is no longer ours, as its removal is: the hosts act by the journal.
 */
export async function writeJournal(members: readonly MemberAccess[], journal: Journal, lock: Hold): Promise<void> {
  const text = `${JSON.stringify(journal)}\n`;
  await Promise.all(
    members.map((member) =>
      orderUnderLock(member, lock, {
        verb: "write_journal",
        values: { path: member.paths.journal, text },
        answers: ["written"],
        purpose: `write the journal of ${member.name}`,
      }),
    ),
  );
}

/**
 * That the target of this handover was given up: before its old primary comes back, on everybody who can be reached, so
 * that it stays known when the old primary is gone or has handed over since. Durable when it returns.
 */
export async function writeGivenUp(
  members: readonly MemberAccess[],
  { epoch, to }: Journal,
  lock: Hold,
): Promise<void> {
  await Promise.all(
    members.map((member) =>
      orderUnderLock(member, lock, {
        verb: "write_given_up",
        values: { path: member.paths.givenUp, journal: epoch },
        answers: ["written"],
        purpose: `write down on ${member.name} that ${to} was given up`,
      }),
    ),
  );
}

/** Removes the journal where it is of this epoch or older: one that somebody else began meanwhile is not ours to remove. */
export async function removeJournal(members: readonly MemberAccess[], journal: number, lock: Hold): Promise<void> {
  await Promise.all(
    members.map((member) =>
      orderUnderLock(member, lock, {
        verb: "remove_journal",
        values: { path: member.paths.journal, journal },
        answers: ["removed"],
        purpose: `remove the journal of ${member.name}`,
      }),
    ),
  );
}
