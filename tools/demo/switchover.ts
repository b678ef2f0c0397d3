import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import pc from "picocolors";
import { UserError } from "../../model/fault.ts";
import type { Gap } from "../../test/support/acknowledgements.ts";
import { type DeclaredCluster, type KnownPrimary, openDeclaredCluster } from "../../test/support/declaredCluster.ts";
import { prepareProbe, startWriter, type WriterResult } from "../../test/support/writer.ts";
import { pulumi, stopIfInterrupted } from "./pulumi.ts";
import { declaredPrimary, demoCluster, withPrimary } from "./stackFile.ts";

/** The writer of a demo that hangs ends after so long. */
const writerLimitSeconds = 900;

/**
 * Moves the primary the way a user does, by one line of the stack file, while a client writes all the time; ends with the
 * report. False when a row was lost, two servers took writes, or another member than the declared one is primary.
 */
export async function switchUnderWrites(
  stack: string,
  stackFile: string,
  heading: (number: number, text: string) => void,
): Promise<boolean> {
  const cluster = openDeclaredCluster(await readFile(stackFile, "utf8"), demoCluster);
  try {
    const before = await cluster.primary();
    await acknowledgeDrift(stack, stackFile, before.member);
    const target = before.member === "pg1" ? "pg2" : "pg1";

    heading(3, "a client writes a row every 5 ms");
    const writer = await startProbe(cluster, before);
    let result: WriterResult;
    try {
      const through = cluster.group.virtualIps.primary;
      console.log(`it writes on ${before.member}${through === undefined ? "" : `, through ${through.address}`}`);
      heading(4, `primary: ${before.member} becomes primary: ${target} in the stack file`);
      await declarePrimary(stackFile, target);
      await pulumi("preview", ["--stack", stack, "--diff"]);
      await pulumi("up", ["--stack", stack, "--yes", "--skip-preview"]);
      await writer.waitForAcknowledgement(30);
    } finally {
      const now = await cluster.primary().catch(() => undefined);
      const session = now && (await cluster.connect(now.member, "probe"));
      result = await writer.stop(session);
      await session?.close();
    }
    stopIfInterrupted();
    heading(5, "what the client saw");
    return report(before, await cluster.primary(), target, result);
  } finally {
    cluster.close();
  }
}

/** After a failover the stack file still names the old primary; moving on begins with taking note of that. */
async function acknowledgeDrift(stack: string, stackFile: string, observed: string): Promise<void> {
  const declared = declaredPrimary(await readFile(stackFile, "utf8"));
  if (declared === observed) return;
  console.log(`\nthe stack file says primary: ${declared}, but ${observed} is primary (a failover): acknowledging it`);
  await declarePrimary(stackFile, observed);
  await pulumi("up", ["--stack", stack, "--yes", "--skip-preview"]);
}

async function declarePrimary(stackFile: string, member: string): Promise<void> {
  await writeFile(stackFile, withPrimary(await readFile(stackFile, "utf8"), member));
}

async function startProbe(cluster: DeclaredCluster, primary: KnownPrimary) {
  const password = randomBytes(16).toString("base64url");
  const superuser = await cluster.connect(primary.member);
  try {
    await prepareProbe(superuser, password);
  } finally {
    await superuser.close();
  }
  return startWriter({
    servers: cluster.clientServers,
    password,
    limitSeconds: writerLimitSeconds,
    watchedServers: cluster.servers,
  }).catch((error: unknown) => {
    throw new UserError(error instanceof Error ? error.message : String(error));
  });
}

function report(before: KnownPrimary, after: KnownPrimary, target: string, result: WriterResult): boolean {
  // Starting Pulumi on a small machine also makes the client wait now and then; the switchover's gap is where the server changed.
  const gap = result.gaps.find((one) => one.from !== one.to) ?? result.maxGap;
  const lines: [string, string, boolean][] = [
    ["old primary", `${before.member}, timeline ${before.timeline}`, true],
    ["new primary", `${after.member}, timeline ${after.timeline}`, after.member === target],
    ["write gap", gapText(gap), true],
    ["acknowledged", `${result.acknowledged} rows`, true],
    ["lost", `${result.lost.length} rows`, result.lost.length === 0],
    [
      "two at once",
      result.twoWritersAtOnce.length === 0
        ? "never"
        : `${result.twoWritersAtOnce.length} rows written on a second server`,
      result.twoWritersAtOnce.length === 0,
    ],
  ];
  for (const [what, text, good] of lines) console.log(`  ${what.padEnd(14)}${good ? text : pc.red(`${text}  WRONG`)}`);
  const failed = Object.entries(result.errors).map(([message, count]) => `${count} x ${message}`);
  const others = result.gaps.filter((one) => one !== gap);
  const longest = others.reduce<Gap | undefined>(
    (worst, one) => (worst === undefined || one.milliseconds > worst.milliseconds ? one : worst),
    undefined,
  );
  const pauses = longest === undefined ? "none" : `${others.length}, the longest ${gapText(longest)}`;
  console.log(pc.dim(`  other pauses of 0.05 s and more, while the same server went on: ${pauses}`));
  console.log(pc.dim(`  failed inserts, each tried again with a new row: ${failed.join("; ") || "none"}`));
  return lines.every(([, , good]) => good);
}

function gapText(gap: Gap): string {
  const at = new Date(gap.startedAt).toISOString().slice(11, 23);
  return `${(gap.milliseconds / 1000).toFixed(3)} s (${gap.from} -> ${gap.to ?? "nobody"}, ${at} UTC)`;
}
