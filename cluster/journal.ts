import { z } from "zod";
import type { Journal } from "../model/observation.ts";
import type { MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";
import { type ClusterLock, lockLost, refuseLost } from "./lock.ts";

type Hold = Pick<ClusterLock, "epoch">;

/**
 * Written before a handover touches anything, so that whoever comes next knows what was begun. Durable when it returns.
 * Refused where the lock is no longer ours, as its removal is: the hosts act by the journal.
 */
export async function writeJournal(members: readonly MemberAccess[], journal: Journal, lock: Hold): Promise<void> {
  const text = `${JSON.stringify(journal)}\n`;
  await Promise.all(members.map((member) => changeJournal(member, lock, "write_journal", { text })));
}

/** Removes the journal where it is of this epoch or older: one that somebody else began meanwhile is not ours to remove. */
export async function removeJournal(members: readonly MemberAccess[], journal: number, lock: Hold): Promise<void> {
  await Promise.all(members.map((member) => changeJournal(member, lock, "remove_journal", { journal })));
}

async function changeJournal(
  member: MemberAccess,
  { epoch }: Hold,
  verb: "write_journal" | "remove_journal",
  values: { readonly text: string } | { readonly journal: number },
): Promise<void> {
  const { lock, journal: path } = member.paths;
  const what = `${verb === "write_journal" ? "write" : "remove"} the journal of ${member.name}`;
  const answer = await askAgent(
    member.host,
    verb,
    { lock, epoch, path, ...values },
    z.union([z.object({ result: z.enum(["written", "removed"]) }), lockLost]),
    { limitSeconds: 20, purpose: what },
  );
  if (answer.result === "lock lost") throw refuseLost(`could not ${what}`, answer);
}
