import type { Journal } from "../model/observation.ts";
import { writeFile } from "../remote/files.ts";
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

/** Removes the journal where it is of this epoch or older: one that somebody else began meanwhile is not ours to remove. */
export async function removeJournal(members: readonly MemberAccess[], epoch: number): Promise<void> {
  await Promise.all(
    members.map((member) =>
      member.host.must({
        argv: ["sh", "-c", removeScript, "sh", member.paths.journal, String(epoch)],
        limitSeconds: 20,
        purpose: `remove the journal of ${member.name}`,
      }),
    ),
  );
}

const removeScript = `
set -eu
[ -e "$1" ] || exit 0
epoch=$(sed -n 's/.*"epoch":\\([0-9]*\\).*/\\1/p' "$1")
[ "\${epoch:-0}" -gt "$2" ] || { rm -f "$1"; sync "$(dirname "$1")"; }`;
