import { z } from "zod";
import { UserError } from "../model/fault.ts";
import type { MemberAccess } from "./access.ts";
import { type AgentArguments, askAgent } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";

/** By which hold of the cluster's lock something is ordered. */
export type Hold = Pick<ClusterLock, "epoch">;

const refusedSchema = z.object({ result: z.literal("refused"), reason: z.string() });

const lockLost = z.object({
  result: z.literal("lock lost"),
  holder: z.string(),
  since: z.string(),
  alive: z.boolean(),
});

/** What every order about a member's data names: where it lies, who may use it, and by which hold it is given. */
export function dataOrder({ declaration, paths }: MemberAccess, { epoch }: Hold): AgentArguments {
  return {
    dataDirectory: declaration.dataDirectory,
    walDirectory: declaration.walDirectory ?? "",
    marker: paths.marker,
    unit: paths.unit,
    dataUnit: paths.dataUnit,
    work: paths.rejoinLock,
    lock: paths.lock,
    epoch,
    user: "postgres",
  };
}

interface Order<T extends string> {
  readonly verb: string;
  /** Besides what every order names: the member, its lock and the epoch. Default none. */
  readonly values?: AgentArguments;
  /** What the host may answer, other than that it refuses or that the lock is lost. */
  readonly answers: readonly [T, ...T[]];
  /** What to say when the host refuses because of what it finds. Default: its reason. */
  readonly refused?: (reason: string) => string;
  /** Completes "could not …". */
  readonly purpose: string;
  /** Of the whole order. Default 40. */
  readonly limitSeconds?: number;
}

/**
 * What the member's host does in one piece with a look at its lock: done when it returns, or not at all.
 * Errors: `UserError` when the lock is no longer ours; whoever took it over decides.
 */
export async function orderUnderLock<T extends string>(
  { host, paths }: MemberAccess,
  { epoch }: Hold,
  { verb, values = {}, answers, refused, purpose, limitSeconds = 40 }: Order<T>,
): Promise<T> {
  const answer = await askAgent(
    host,
    verb,
    { member: paths.memberFile, lock: paths.lock, epoch, ...values },
    z.union([z.object({ result: z.enum(answers) }), refusedSchema, lockLost]),
    { limitSeconds, purpose },
  );
  if ("reason" in answer) {
    const { reason } = answer;
    throw new UserError(refused?.(reason) ?? `could not ${purpose}: found that ${reason}. It was left as it is.`);
  }
  if (!("holder" in answer)) return answer.result;
  const why = answer.alive ? `${answer.holder} holds the cluster since ${answer.since}` : "the lock ran out";
  throw new UserError(`could not ${purpose}: ${why}.\n  Run pulumi again: it goes on from what it finds.`);
}
