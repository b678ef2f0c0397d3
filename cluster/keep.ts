import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { segmentBytes } from "../model/lsn.ts";
import type { ReachedMember, SourceFacts } from "../model/observation.ts";
import { type OwnWal, ownStretches } from "../model/rejoin.ts";
import { walFileName } from "../model/timeline.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import { askAgent } from "./agent.ts";

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
  const target = `${member.paths.kept}/timeline-${own.timeline}-from-${fileName(own.fromLsn)}-to-${fileName(own.toLsn)}`;
  const size = segmentBytes(access.group.walSegmentSize);
  const said = await askAgent(
    member.host,
    "keep",
    {
      dataDirectory: member.declaration.dataDirectory,
      target,
      files: ownStretches(stray, source).map(
        ({ timeline, fromLsn, toLsn }) =>
          `${walFileName(timeline, fromLsn, size)} ${walFileName(timeline, toLsn, size)}`,
      ),
      readme: readme(access, member, own),
      user: "postgres",
    },
    answer,
    { limitSeconds: 24 * 3600, purpose: `keep the WAL of ${member.name} aside` },
  );
  if (said.result === "kept") return target;
  throw new UserError(
    `${member.name}: its own WAL was not kept aside: ${said.reason}.\n  Its data was left as it is. Look at the host, then run \`pulumi up\` again.`,
  );
}

function fileName(lsn: string): string {
  return lsn.replace("/", "-");
}

function readme(access: ClusterAccess, member: MemberAccess, own: OwnWal): string {
  const { cluster } = access.group;
  const count =
    own.transactions === undefined ? "its transactions were not counted" : `${own.transactions} transactions`;
  return `WAL of member ${member.name} of cluster ${cluster} that no other member has: timeline ${own.timeline}, from ${own.fromLsn} to ${own.toLsn}, ${count}.
Kept aside before the member was rewound or cloned. Nothing needs it: remove this directory when nobody misses what is in it.
What is in it:
  ${member.programs}/pg_waldump --path . --timeline ${own.timeline} --start ${own.fromLsn}
`;
}
