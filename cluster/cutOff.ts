import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { segmentBytes } from "../model/lsn.ts";
import type { WalStretch } from "../model/ownWal.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";
import { keepingOrder } from "./keep.ts";
import { dataOrder, type Hold } from "./order.ts";

const answer = z.discriminatedUnion("result", [
  z.object({ result: z.literal("cut") }),
  z.object({ result: z.literal("refused"), reason: z.string() }),
]);

/**
 * Cuts an unfinished record off the end of a stopped member's WAL, once the file that holds it is kept aside. Its host looks
 * once more whether the last whole record ends there. Repeatable. Returns the directory in which it is kept.
 */
export async function cutOff(
  access: ClusterAccess,
  member: MemberAccess,
  lock: Hold,
  partial: WalStretch,
): Promise<string> {
  const what = "the begin of an unfinished record";
  const kept = keepingOrder(access, member, [partial], partial, what, "that record was cut off");
  const said = await askAgent(
    member.host,
    "cut",
    {
      ...kept,
      ...dataOrder(member, lock),
      programs: member.programs,
      timeline: partial.timeline,
      fromLsn: partial.fromLsn,
      segmentBytes: segmentBytes(access.group.walSegmentSize),
    },
    answer,
    { limitSeconds: 600, purpose: `cut an unfinished record off the WAL of ${member.name}` },
  );
  if (said.result === "cut") return kept.target;
  throw new UserError(
    `${member.name}: the unfinished record at the end of its WAL was not cut off: ${said.reason}.\n  Its data was left as it is. Look at the host, then run \`pulumi up\` again.`,
  );
}
