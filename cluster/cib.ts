import { UserError } from "../model/fault.ts";
import { type Cib, changeCib, readCib } from "../model/pacemaker/cib.ts";
import type { PacemakerConfiguration } from "../model/pacemaker/configuration.ts";
import { parseStatus, type RunningStatus, statusCommand } from "../model/pacemaker/status.ts";
import type { RemoteHost } from "../remote/host.ts";
import { waitFor } from "./waitFor.ts";

/** The whole configuration and status. Throws while Pacemaker does not answer. */
export async function queryCib(host: RemoteHost): Promise<string> {
  return host.must({ argv: ["cibadmin", "--query"], limitSeconds: 20, purpose: "read Pacemaker's configuration" });
}

/*
 * One transaction: what is applied is the difference between the configuration that was read and the wanted one, with the
 * version that was read; Pacemaker refuses it as a whole when anything changed meanwhile. Secrets are in files that only root
 * reads, in memory, and gone afterwards.
 */
const applyScript = `
set -eu
umask 077
before_bytes=$1
directory=$(mktemp -d /run/pgha-cib-XXXXXXXX)
trap 'rm -rf -- "$directory"' EXIT
cat > "$directory/both"
head -c "$before_bytes" "$directory/both" > "$directory/before"
tail -c "+$((before_bytes + 1))" "$directory/both" > "$directory/after"
set +e
crm_diff --cib --original "$directory/before" --new "$directory/after" > "$directory/patch"
[ $? -le 1 ] || { echo "crm_diff could not compare" >&2; exit 1; }
cibadmin --patch --xml-file "$directory/patch"`;

/** By which cibadmin says: the configuration is not the one that the change was made for. */
const movedExitCode = 103;

const attempts = 20;

/**
 * Makes Pacemaker's configuration what is wanted, and leaves all that is not ours. One transaction; done again from a new
 * reading when somebody else changed something in between. Returns whether anything was changed.
 */
export async function applyConfiguration(
  host: RemoteHost,
  wanted: PacemakerConfiguration,
  formerProperties: readonly string[],
): Promise<boolean> {
  let said = "";
  for (let attempt = 0; attempt < attempts; attempt++) {
    const before = await queryCib(host);
    const after = changeCib(before, wanted, formerProperties);
    if (after === undefined) return false;
    const { exitCode, stderr } = await host.run({
      argv: ["sh", "-c", applyScript, "sh", String(Buffer.byteLength(before))],
      stdin: before + after,
      limitSeconds: 60,
      purpose: "change Pacemaker's configuration",
    });
    if (exitCode === 0) return true;
    said = stderr.trim();
    if (exitCode !== movedExitCode) {
      throw new UserError(
        `${host.name}: Pacemaker refused its new configuration, nothing of it was changed (exit code ${exitCode}).\n  ${said}`,
      );
    }
  }
  throw new UserError(
    `${host.name}: Pacemaker's configuration was changed by somebody else ${attempts} times while this was to change it; nothing of it was changed.\n  Wait until nobody works on it, then run \`pulumi up\` again. ${said}`,
  );
}

/** Waits until these nodes are joined, with a coordinator that has written its properties: before that nothing may be added. */
export async function waitUntilJoined(host: RemoteHost, nodes: readonly string[], limitSeconds: number): Promise<Cib> {
  return waitFor(`Pacemaker on ${nodes.join(", ")} to join with quorum`, limitSeconds, async () => {
    const cib = readCib(await queryCib(host), []);
    const away = nodes.filter((node) => !cib.joined.includes(node));
    if (away.length === 0 && cib.quorum && cib.settled) return { done: cib };
    const lacking = [
      ...(away.length === 0 ? [] : [`${away.join(", ")} not joined`]),
      ...(cib.quorum ? [] : ["no quorum"]),
      ...(cib.settled ? [] : ["no coordinator yet"]),
    ];
    return { lastSeen: lacking.join(", ") };
  });
}

/** Waits until Pacemaker has nothing left to do. */
export async function waitUntilNothingLeft(host: RemoteHost, limitSeconds: number): Promise<void> {
  const { exitCode, stderr } = await host.run({
    argv: ["crm_resource", "--wait", `--timeout=${limitSeconds}s`],
    limitSeconds: limitSeconds + 10,
    purpose: "wait until Pacemaker has nothing left to do",
  });
  if (exitCode === 0) return;
  throw new UserError(
    `${host.name}: found Pacemaker still at work after ${limitSeconds} s, expected everything as declared.\n  ${stderr.trim().split("\n").slice(-5).join("\n  ")}\n  See there: crm_mon -1rA`,
  );
}

/** What Pacemaker says of nodes and resources. */
export async function queryStatus(host: RemoteHost): Promise<RunningStatus> {
  const { stdout } = await host.run({
    argv: [...statusCommand],
    limitSeconds: 20,
    purpose: "read Pacemaker's status",
  });
  const status = parseStatus(stdout);
  if (!status.running) throw new UserError(`${host.name}: found Pacemaker not running: ${status.reason}`);
  return status;
}
