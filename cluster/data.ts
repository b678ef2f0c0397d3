import { UserError } from "../model/fault.ts";
import { replicationRole, slotName } from "../model/names.ts";
import type { ClusterAccess, MemberAccess } from "./access.ts";
import type { ClusterLock } from "./lock.ts";
import { markerText, writeMarker } from "./marker.ts";
import type { Reporter } from "./reporter.ts";

/** Removes what lies in the member's directories. Only called where the marker says `erasing`, or that it is half made. */
export async function eraseData(member: MemberAccess): Promise<void> {
  const { dataDirectory, walDirectory } = member.declaration;
  for (const directory of [dataDirectory, walDirectory]) {
    if (directory === undefined) continue;
    await member.host.must({
      argv: ["sh", "-c", 'if [ -d "$1" ]; then find "$1" -xdev -mindepth 1 -delete; fi', "sh", directory],
      limitSeconds: 600,
      purpose: `erase ${directory} of ${member.name}`,
    });
  }
}

/*
 * One piece on the host, because the one who asks may have slept since he looked: what is marked ready by now, or runs,
 * is somebody's database. Exit code 3 refuses.
 */
const beginScript = `
set -eu
marker=$1 unit=$2; shift 2
if grep -q '"state":"ready"' "$marker" 2>/dev/null; then echo "$marker says that it is ready" >&2; exit 3; fi
if systemctl is-active --quiet "$unit"; then echo "$unit runs" >&2; exit 3; fi
umask 077
cat > "$marker.new"
sync "$marker.new"
mv -f "$marker.new" "$marker"
sync "$(dirname "$marker")"
for directory in "$@"; do
  [ ! -d "$directory" ] || find "$directory" -xdev -mindepth 1 -delete
done`;

/** Marks the member's data as begun and removes what an earlier beginning left. Refuses a database that is finished or runs. */
async function beginData(access: ClusterAccess, member: MemberAccess, state: "creating" | "cloning"): Promise<void> {
  const { dataDirectory, walDirectory } = member.declaration;
  const directories = walDirectory === undefined ? [dataDirectory] : [dataDirectory, walDirectory];
  const { exitCode, stderr } = await member.host.run({
    argv: ["sh", "-c", beginScript, "sh", member.paths.marker, member.paths.unit, ...directories],
    stdin: markerText(access.group.cluster, member, state),
    limitSeconds: 600,
    purpose: `begin the data of ${member.name}`,
  });
  if (exitCode === 0) return;
  const found = stderr.trim();
  const wayOut =
    exitCode === 3 ? "It was left as it is: run `pulumi up` again." : "Look at the host, then run `pulumi up` again.";
  throw new UserError(`${member.name}: the data was not begun: ${found}. ${wayOut}`);
}

/** initdb: marked `creating` before, `ready` with the system identifier afterwards. */
export async function initializeData(access: ClusterAccess, lock: ClusterLock, member: MemberAccess): Promise<void> {
  const { cluster, walSegmentSize } = access.group;
  const { dataDirectory, walDirectory } = member.declaration;
  lock.assertHeld();
  await beginData(access, member, "creating");
  await member.host.must({
    argv: [
      `${member.programs}/initdb`,
      ...["--pgdata", dataDirectory],
      ...(walDirectory === undefined ? [] : ["--waldir", walDirectory]),
      ...["--username", "postgres", "--encoding", "UTF8", "--locale", "C.UTF-8"],
      ...["--auth-local", "peer", "--auth-host", "scram-sha-256"],
      ...["--data-checksums", "--wal-segsize", walSegmentSize.replace(/MB$/, "")],
    ],
    as: "postgres",
    limitSeconds: 300,
    purpose: `initialise ${dataDirectory} of ${member.name}`,
  });
  lock.assertHeld();
  await writeMarker(cluster, member, "ready", await systemIdentifierOf(member));
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
  const { dataDirectory, walDirectory } = member.declaration;
  lock.assertHeld();
  await beginData(access, member, "cloning");
  await member.host.must({
    argv: [
      ...["env", `PGPASSFILE=${member.paths.passfile}`, "PGCONNECT_TIMEOUT=10"],
      `${member.programs}/pg_basebackup`,
      ...["--pgdata", dataDirectory],
      ...(walDirectory === undefined ? [] : ["--waldir", walDirectory]),
      ...["--host", primary.declaration.replicationAddress, "--port", String(primary.declaration.port)],
      ...["--username", replicationRole, "--no-password", "--wal-method", "stream", "--checkpoint", "fast"],
      ...["--slot", slotName(member.name), "--progress"],
    ],
    as: "postgres",
    limitSeconds: 24 * 3600,
    purpose: `clone ${member.name} from ${primary.name}`,
    onStderrLine: (line) => {
      const text = cloneProgress(line);
      if (text !== undefined) reporter.progress(`${member.name}: ${text}`);
    },
  });
  // A clone takes hours: what lies there now may be somebody else's, who began anew.
  lock.assertHeld();
  await markStandby(member);
  await writeMarker(cluster, member, "ready", await systemIdentifierOf(member));
}

/** pg_basebackup's "  12345/67890 kB (18%), 0/1 tablespace" as people read it; undefined for other lines. */
export function cloneProgress(line: string): string | undefined {
  const match = /(\d+)\/(\d+) kB \((\d+)%\)/.exec(line);
  if (match === null) return undefined;
  const bytes = (kilobytes: string | undefined) => `${(Number(kilobytes) / 1024).toFixed(0)} MB`;
  return `cloning, ${bytes(match[1])} of ${bytes(match[2])} (${match[3]} %)`;
}

/** The next start is as a primary: only for one that is writable, or was proved to be the only one that may be. */
export async function unmarkStandby(member: MemberAccess): Promise<void> {
  await member.host.must({
    argv: [
      "sh",
      "-c",
      'rm -f "$1" && sync "$(dirname "$1")"',
      "sh",
      `${member.declaration.dataDirectory}/standby.signal`,
    ],
    as: "postgres",
    limitSeconds: 20,
    purpose: `keep ${member.name} primary at its next start`,
  });
}

/** The next start is as a standby. Durable when it returns. */
export async function markStandby(member: MemberAccess): Promise<void> {
  const signal = `${member.declaration.dataDirectory}/standby.signal`;
  await member.host.must({
    argv: ["sh", "-c", 'touch "$1" && sync "$1" "$(dirname "$1")"', "sh", signal],
    as: "postgres",
    limitSeconds: 20,
    purpose: `make ${member.name} a standby`,
  });
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
