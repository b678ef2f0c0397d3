import { besideDirectory } from "../model/names.ts";
import type { Marker } from "../model/observation.ts";
import type { MemberAccess } from "./access.ts";
import type { AgentArguments } from "./agent.ts";
import { copyData, newToken } from "./data.ts";
import type { ClusterLock } from "./lock.ts";
import { dataOrder, orderUnderLock } from "./order.ts";
import type { Reporter } from "./reporter.ts";

/** One piece on the host, which looks at what lies there before it touches it. Errors: `UserError` when it refused. */
async function onData(
  lock: ClusterLock,
  member: MemberAccess,
  verb: "beside" | "swap" | "discard" | "give_up",
  purpose: string,
  more: AgentArguments = {},
): Promise<void> {
  lock.assertHeld();
  await orderUnderLock(member, lock, {
    verb,
    values: { ...dataOrder(member, lock), ...more },
    answers: ["made", "swapped", "discarded", "given up"],
    refused: (reason) =>
      `${member.name}: could not ${purpose}: found that ${reason}.\n  It was left as it is: look at the host, then run \`pulumi up\` again.`,
    purpose,
    limitSeconds: 600,
  });
}

/** A clone from the primary beside the stopped member's data, complete when it returns. What an earlier one left goes first. */
export async function cloneBeside(
  lock: ClusterLock,
  member: MemberAccess,
  primary: MemberAccess,
  reporter: Reporter,
): Promise<void> {
  const { dataDirectory, walDirectory } = member.declaration;
  await onData(lock, member, "beside", `make room for a clone beside the data of ${member.name}`, {
    token: newToken(),
  });
  const directories = {
    dataDirectory: besideDirectory(dataDirectory),
    ...(walDirectory === undefined ? {} : { walDirectory: besideDirectory(walDirectory) }),
  };
  await copyData(member, primary, directories, reporter);
}

/** Lets the finished clone take the place of the stopped member's data, which then lies beside it. Ends one that was cut off. */
export function swapIn(lock: ClusterLock, member: MemberAccess): Promise<void> {
  return onData(lock, member, "swap", `let the clone of ${member.name} take its place`);
}

/** Removes what a clone replaced or left beside the data of a member. Only for one without which others have the data too. */
export function discardReplaced(lock: ClusterLock, member: MemberAccess): Promise<void> {
  return onData(lock, member, "discard", `remove what the clone of ${member.name} replaced`);
}

/** What clones of a stopped member left beside its data goes: before the data itself is erased. */
export async function discardLeftovers(
  lock: ClusterLock,
  member: MemberAccess,
  marker: Marker | undefined,
): Promise<void> {
  if (marker?.state === "swapping") await swapIn(lock, member);
  if (marker?.beside !== undefined || marker?.replaced !== undefined) await discardReplaced(lock, member);
}

/** From now on the stopped member's data may be cloned over. Only where others have it, or where it is no whole copy. */
export function giveUpData(lock: ClusterLock, member: MemberAccess): Promise<void> {
  return onData(lock, member, "give_up", `give up the data of ${member.name}`, { token: newToken() });
}
