import type { Journal } from "../model/observation.ts";
import { removeFile, writeFile } from "../remote/files.ts";
import type { MemberAccess } from "./access.ts";

/** Written before a handover touches anything, so that whoever comes next knows what was begun. Durable when it returns. */
export async function writeJournal(members: readonly MemberAccess[], journal: Journal): Promise<void> {
  await Promise.all(
    members.map((member) =>
      writeFile(member.host, {
        path: member.paths.journal,
        content: `${JSON.stringify(journal)}\n`,
        owner: "root",
        group: "root",
        mode: "0600",
        limitSeconds: 20,
      }),
    ),
  );
}

export async function removeJournal(members: readonly MemberAccess[]): Promise<void> {
  await Promise.all(members.map((member) => removeFile(member.host, member.paths.journal, 20)));
}
