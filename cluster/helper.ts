import { z } from "zod";
import { UserError } from "../model/fault.ts";
import type { RemoteFile } from "../remote/files.ts";
import { writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";
import { askAgent } from "./agent.ts";

export type HelperFile = { readonly path: string } & Pick<RemoteFile, "content">;

const answer = z.discriminatedUnion("result", [
  z.object({ result: z.literal("laid") }),
  z.object({
    result: z.literal("refused"),
    cluster: z.string(),
    member: z.string(),
    holder: z.string(),
    since: z.string(),
  }),
]);

/**
 * Lays the host helper, where it is another one than before: first beside the old, then in its place, in one piece with
 * looking at the locks of all members of the host, whosever they are. `by`: who lays it, unlike any other at the same time.
 * Errors: `UserError` while an orchestrator holds one of them. A journal alone does not forbid it: whoever finishes that
 * handover needs the new helper.
 */
export async function layHelper(
  host: RemoteHost,
  files: readonly HelperFile[],
  by: string,
  state = "/var/lib/pgha",
): Promise<void> {
  const suffix = `.${by}.next`;
  await Promise.all(
    files.map(({ path, content }) =>
      writeFile(host, { path: path + suffix, content, owner: "root", group: "root", mode: "0755", limitSeconds: 20 }),
    ),
  );
  const values = { state, suffix, files: files.map(({ path }) => path) };
  const said = await askAgent(host, "lay", values, answer, { limitSeconds: 20, purpose: "lay the host helper" });
  if (said.result === "laid") return;
  const { cluster, member, holder, since } = said;
  throw new UserError(
    `${host.name}: found ${holder} at work on ${member} of ${cluster} since ${since}, expected nobody while the host helper is changed.\n  The helper was left as it is. Wait for that to end, then run this again; a dead one loses its hold after 30 s.`,
  );
}
