import type { ClusterAccess, MemberAccess } from "./access.ts";

/** pg_waldump's own line for the shutdown checkpoint on the new primary; a report is never failed for its evidence. */
export async function recordEvidence(
  access: ClusterAccess,
  target: MemberAccess,
  checkpointLsn: string,
  timeline: number,
): Promise<string> {
  const result = await target.host.run({
    argv: [
      `${target.programs}/pg_waldump`,
      ...["--path", `${target.declaration.dataDirectory}/pg_wal`],
      ...["--timeline", String(timeline), "--start", checkpointLsn, "--limit", "1"],
    ],
    as: "postgres",
    limitSeconds: 20,
    purpose: `show the shutdown checkpoint of ${access.group.cluster}`,
  });
  const line = result.stdout.split("\n").find((text) => text.includes("CHECKPOINT_SHUTDOWN"));
  // What follows tells about transactions, not about where it lies.
  return (
    line
      ?.replaceAll(/\s+/g, " ")
      .replace(/; fpw .*/, "")
      .trim() ?? `pg_waldump: ${result.stderr.trim().split("\n")[0]}`
  );
}
