import { z } from "zod";
import { UserError } from "../model/fault.ts";
import type { MemberAccess } from "./access.ts";
import { type AgentArguments, type AgentConversation, converseWithAgent } from "./agent.ts";

/** What a unit of a handover tells: "armed" first, or "refused". */
export const unitEvent = z.looseObject({
  event: z.string(),
  reason: z.string().optional(),
  milliseconds: z.number().optional(),
  checkpointLsn: z.string().optional(),
});
export type UnitEvent = z.infer<typeof unitEvent>;

/**
 * Starts one of the processes of a handover on the member's host, as a unit of systemd that no session owns, and returns once
 * it stands ready; the conversation ends with it. Throws with its reason when it cannot.
 */
export async function startUnit(
  member: MemberAccess,
  role: "give" | "take" | "guard" | "back",
  values: AgentArguments & { readonly epoch: number },
): Promise<AgentConversation> {
  const { memberFile } = member.paths;
  const conversation = await converseWithAgent(
    member.host,
    "drive",
    { member: memberFile, role, epoch: values.epoch, arguments: { member: memberFile, ...values } },
    { limitSeconds: 3600, purpose: `stand ready for the handover on ${member.name}` },
  );
  const answer = unitEvent.parse(await conversation.answer(40));
  if (answer.event === "armed") return conversation;
  conversation.end();
  throw new UserError(
    `${member.name} cannot stand ready for the handover: ${answer.reason ?? answer.event}.\n  Find the cause (\`journalctl -u 'pgha-*'\` there) and run \`pulumi up\` again.`,
  );
}
