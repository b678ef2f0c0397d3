import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { type Lsn, lsnText, lsnValue, segmentBytes } from "../model/lsn.ts";
import type { ReachedMember, SourceFacts } from "../model/observation.ts";
import { type OwnWal, ownStretches, type WalStretch } from "../model/ownWal.ts";
import { walFileName } from "../model/timeline.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { type AgentArguments, askAgent } from "./agent.ts";

const answer = z.discriminatedUnion("result", [
  z.object({ result: z.literal("kept") }),
  z.object({ result: z.literal("refused"), reason: z.string() }),
]);

/**
 * Copies the WAL that a diverged member wrote alone to a directory of its own, durably, before it is rewound or cloned
 * away. Nothing removes it but people. Repeatable: what is kept already is not copied again. Returns the directory.
 */
export async function keepOwnWal(
  access: ClusterAccess,
  member: MemberAccess,
  { stray }: ReachedMember,
  source: SourceFacts,
  own: OwnWal,
): Promise<string> {
  if (stray === undefined) throw new Error(`${member.name}: its own WAL was not looked at`);
  const count =
    own.transactions === undefined ? "its transactions were not counted" : `${own.transactions} transactions`;
  const kept = keepingOrder(
    access,
    member,
    ownStretches(stray, source),
    own,
    count,
    "the member was rewound or cloned",
  );
  const said = await askAgent(member.host, "keep", kept, answer, {
    limitSeconds: 24 * 3600,
    purpose: `keep the WAL of ${member.name} aside`,
  });
  if (said.result === "kept") return kept.target;
  throw new UserError(
    `${member.name}: its own WAL was not kept aside: ${said.reason}.\n  Its data was left as it is. Look at the host, then run \`pulumi up\` again.`,
  );
}

/** What a member's host has to know to copy the files of these stretches aside. `what` and `before` stand in the README there. */
export function keepingOrder(
  access: ClusterAccess,
  member: MemberAccess,
  stretches: readonly WalStretch[],
  whole: WalStretch,
  what: string,
  before: string,
): AgentArguments & { readonly target: string } {
  const { timeline, fromLsn, toLsn } = whole;
  const size = segmentBytes(access.group.walSegmentSize);
  const lastByte = (lsn: Lsn) => lsnText(lsnValue(lsn) - 1n);
  return {
    dataDirectory: member.declaration.dataDirectory,
    target: `${member.paths.kept}/timeline-${timeline}-from-${fileName(fromLsn)}-to-${fileName(toLsn)}`,
    files: stretches.map(
      (one) =>
        `${walFileName(one.timeline, one.fromLsn, size)} ${walFileName(one.timeline, lastByte(one.toLsn), size)}`,
    ),
    readme: `WAL of member ${member.name} of cluster ${access.group.cluster} that no other member has: timeline ${timeline}, from ${fromLsn} to ${toLsn}, ${what}.
Kept aside before ${before}. Nothing needs it: remove this directory when nobody misses what is in it.
What is in it:
  ${member.programs}/pg_waldump --path . --timeline ${timeline} --start ${fromLsn}
`,
    user: "postgres",
  };
}

function fileName(lsn: Lsn): string {
  return lsn.replace("/", "-");
}
