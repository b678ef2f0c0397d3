import { randomBytes } from "node:crypto";
import { replicationRole, slotName } from "../model/names.ts";
import { deadPeerOptions } from "../model/rendering.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import type { ClusterLock } from "./lock.ts";
import { writeMarker } from "./marker.ts";
import { dataOrder, orderUnderLock } from "./order.ts";
import type { Reporter } from "./reporter.ts";

/** What marks directories as ours, put on them while they are empty. */
export function newToken(): string {
  return randomBytes(16).toString("hex");
}

/**
 * Marks the member's data and empties its directories, in one piece on the host: the one who asks may have slept since he
 * looked. What runs, is finished, or does not carry the token of what was begun there stays, and is a `UserError`.
 */
async function clearData(
  access: ClusterAccess,
  lock: ClusterLock,
  member: MemberAccess,
  state: "creating" | "cloning" | "erasing",
  systemIdentifier = "",
): Promise<void> {
  lock.assertHeld();
  await orderUnderLock(member, lock, {
    verb: "clear",
    values: {
      ...dataOrder(member, lock),
      cluster: access.group.cluster,
      member: member.name,
      state,
      systemIdentifier,
      token: newToken(),
    },
    answers: ["cleared"],
    refused: (reason) =>
      `${member.name}: found that ${reason}, expected only what pgha made there. It was left as it is: look at the host, then run pulumi again.`,
    purpose: `${state === "erasing" ? "erase" : "begin"} the data of ${member.name}`,
    limitSeconds: 600,
  });
}

/**
 * Removes the member's data: what was begun there, or the finished database of this system identifier. Marked `erasing`
 * until the marker goes, so that an interrupted erasure is finished by the next.
 */
export function eraseData(
  access: ClusterAccess,
  lock: ClusterLock,
  member: MemberAccess,
  systemIdentifier: string | undefined,
): Promise<void> {
  return clearData(access, lock, member, "erasing", systemIdentifier);
}

/** initdb: marked `creating` before, `ready` with the system identifier afterwards. */
export async function initializeData(access: ClusterAccess, lock: ClusterLock, member: MemberAccess): Promise<void> {
  const { cluster, walSegmentSize } = access.group;
  const { dataDirectory, walDirectory } = member.declaration;
  await clearData(access, lock, member, "creating");
  await member.host.must({
    argv: inDataUnit(member, [
      `${member.programs}/initdb`,
      ...["--pgdata", dataDirectory],
      ...(walDirectory === undefined ? [] : ["--waldir", walDirectory]),
      ...["--username", "postgres", "--encoding", "UTF8", "--locale", "C.UTF-8"],
      ...["--auth-local", "peer", "--auth-host", "scram-sha-256"],
      ...["--data-checksums", "--wal-segsize", walSegmentSize.replace(/MB$/, "")],
    ]),
    limitSeconds: 300,
    purpose: `initialise ${dataDirectory} of ${member.name}`,
  });
  await writeMarker(cluster, member, lock, { state: "ready", systemIdentifier: await systemIdentifierOf(member) });
}

/** A base backup from the primary: marked `cloning` before, `ready` afterwards; what an earlier one left is erased. */
export async function cloneData(
  access: ClusterAccess,
  lock: ClusterLock,
  member: MemberAccess,
  primary: MemberAccess,
  reporter: Reporter,
): Promise<void> {
  const { cluster } = access.group;
  await clearData(access, lock, member, "cloning");
  await copyData(member, primary, member.declaration, reporter);
  // A clone takes hours: what lies there now may be somebody else's, who began anew. Then this is refused.
  const systemIdentifier = await systemIdentifierOf(member);
  await writeMarker(cluster, member, lock, { state: "ready", systemIdentifier, standby: true });
}

/** Fills empty directories with a base backup from the primary. What an earlier one still does there was ended before. */
export async function copyData(
  member: MemberAccess,
  primary: MemberAccess,
  { dataDirectory, walDirectory }: Pick<MemberAccess["declaration"], "dataDirectory" | "walDirectory">,
  reporter: Reporter,
): Promise<void> {
  await member.host.must({
    argv: inDataUnit(member, [
      ...["env", `PGPASSFILE=${member.paths.passfile}`, "PGCONNECT_TIMEOUT=10"],
      `${member.programs}/pg_basebackup`,
      ...["--pgdata", dataDirectory],
      ...(walDirectory === undefined ? [] : ["--waldir", walDirectory]),
      ...["--host", primary.declaration.replicationAddress, "--port", String(primary.declaration.port)],
      ...[
        "--dbname",
        deadPeerOptions,
        "--username",
        replicationRole,
        "--no-password",
        "--wal-method",
        "stream",
        "--checkpoint",
        "fast",
      ],
      ...["--slot", slotName(member.name), "--progress"],
    ]),
    limitSeconds: 24 * 3600,
    purpose: `clone ${member.name} from ${primary.name}`,
    onStderrLine: (line) => {
      const text = cloneProgress(line);
      if (text !== undefined) reporter.progress(`${member.name}: ${text}`);
    },
  });
}

/**
 * As postgres, in a unit of systemd: a clone whose session broke would otherwise leave a process that holds its slot and
 * writes on. It ends when nobody listens any more, and with everything it started.
 */
function inDataUnit(member: MemberAccess, argv: readonly string[]): string[] {
  return [
    ...["systemd-run", "--quiet", "--collect", "--pipe", "--wait", `--unit=${member.paths.dataUnit}`],
    ...["--uid=postgres", "--property=IgnoreSIGPIPE=no", "--property=TimeoutStopSec=3", "--setenv=LC_ALL=C.UTF-8"],
    ...argv,
  ];
}

/** pg_basebackup's "  12345/67890 kB (18%), 0/1 tablespace" as people read it; undefined for other lines. */
function cloneProgress(line: string): string | undefined {
  const match = /(\d+)\/(\d+) kB \((\d+)%\)/.exec(line);
  if (match === null) return undefined;
  const bytes = (kilobytes: string | undefined) => `${(Number(kilobytes) / 1024).toFixed(0)} MB`;
  return `cloning, ${bytes(match[1])} of ${bytes(match[2])} (${match[3]} %)`;
}

async function systemIdentifierOf(member: MemberAccess): Promise<string> {
  const text = await member.host.must({
    argv: [`${member.programs}/pg_controldata`, "-D", member.declaration.dataDirectory],
    as: "postgres",
    limitSeconds: 20,
    purpose: `read pg_control of ${member.name}`,
  });
  const identifier = /^Database system identifier:\s+(\d+)$/m.exec(text)?.[1];
  if (identifier === undefined) throw new Error(`pg_controldata of ${member.name} names no system identifier`);
  return identifier;
}
