import { UserError } from "../model/fault.ts";
import type { RemoteHost } from "../remote/host.ts";
import { createQueue } from "./inputs.ts";

/** Installed versions by package name. */
export type InstalledPackages = Readonly<Record<string, string>>;

const queryLimitSeconds = 20;
/** apt serves one at a time on a host; to wait here shows which, and does not use up the limit. */
const inTurn = createQueue();

/** Which of the packages are installed, and in which version. */
export async function readInstalled(host: RemoteHost, names: readonly string[]): Promise<InstalledPackages> {
  if (names.length === 0) return {};
  const { stdout } = await host.run({
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills these in
    argv: ["dpkg-query", "--show", "--showformat", "${Package}\\t${db:Status-Status}\\t${Version}\\n", "--", ...names],
    limitSeconds: queryLimitSeconds,
    purpose: `read the installed packages of ${host.name}`,
  });
  const installed: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    const [name, status, version] = line.split("\t");
    if (name !== undefined && version !== undefined && status === "installed") installed[name] = version;
  }
  return installed;
}

/**
 * Installs what is missing, and only that: an installed package is not upgraded. Answers at once when nothing is missing.
 * `progress` gets "pg1: unpacking postgresql-17". It is not interrupted half way, because dpkg would then have to be repaired.
 */
export function installPackages(
  host: RemoteHost,
  names: readonly string[],
  options: { limitSeconds: number; progress: (text: string) => void; cancelled: AbortSignal },
): Promise<InstalledPackages> {
  return inTurn(host.name, async () => {
    const before = await readInstalled(host, names);
    const missing = names.filter((name) => before[name] === undefined);
    if (missing.length === 0) return before;
    if (options.cancelled.aborted) {
      throw new UserError(`${host.name}: cancelled before ${missing.join(", ")} were installed. Run pulumi up again.`);
    }
    options.progress(`${host.name}: installing ${missing.join(", ")}`);
    const result = await host.run({
      argv: ["sh", "-s", "--", ...missing],
      stdin: installScript,
      limitSeconds: options.limitSeconds,
      purpose: `install ${missing.join(", ")} on ${host.name}`,
      onStderrLine: (line) => {
        const step = describeLine(line);
        if (step !== undefined) options.progress(`${host.name}: ${step}`);
      },
    });
    if (result.exitCode !== 0) throw installFailed(host.name, missing, result);
    const after = await readInstalled(host, names);
    const stillMissing = names.filter((name) => after[name] === undefined);
    if (stillMissing.length === 0) return after;
    throw new UserError(
      `${host.name}: found ${stillMissing.join(", ")} not installed although apt reported success, expected a package of exactly that name. Name the real package instead of a virtual one.`,
    );
  });
}

/** Exit code of the script for a package that no source of the host has. */
const noCandidateExitCode = 65;

/*
 * Written to be fast in parallel on several hosts: nothing recommended, no translations, no fsync per file. The lists are fetched
 * only when they could matter: one of the packages is unknown, or they are older than a day.
 * Configuration files that were laid before the package keep their content.
 */
const installScript = `set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
unknown() {
  for name; do
    apt-cache policy -- "$name" | grep -q '^  Candidate: [^(]' || echo "$name"
  done
}
if [ -n "$(unknown "$@")" ] || [ -z "$(find /var/lib/apt/lists -maxdepth 1 -mmin -1440 2>/dev/null | head -n 1)" ]; then
  echo 'Updating package lists' >&2
  apt-get update -q -o Acquire::Languages=none -o DPkg::Lock::Timeout=120 >&2 || exit
  touch /var/lib/apt/lists 2>/dev/null
  without=$(unknown "$@")
  if [ -n "$without" ]; then
    echo $without
    exit ${noCandidateExitCode}
  fi
fi
if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then dpkg --configure -a >&2; fi
exec apt-get install -y -q --no-install-recommends \\
  -o Acquire::Languages=none -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \\
  -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \\
  -- "$@" >&2
`;

/** What a line of apt's output means to somebody who waits; undefined when nothing. */
function describeLine(line: string): string | undefined {
  const unpacking = /^Unpacking (\S+)/.exec(line);
  if (unpacking?.[1] !== undefined) return `unpacking ${unpacking[1]}`;
  const settingUp = /^Setting up (\S+)/.exec(line);
  if (settingUp?.[1] !== undefined) return `setting up ${settingUp[1]}`;
  const fetching = /^Get:\d+ \S+ \S+ \S+ (\S+) \S+ \S+ \[/.exec(line);
  if (fetching?.[1] !== undefined) return `downloading ${fetching[1]}`;
  if (line.startsWith("Updating package lists")) return "updating the package lists";
  if (line.startsWith("Waiting for cache lock")) return "waiting for another apt to end";
  return undefined;
}

function installFailed(
  host: string,
  names: readonly string[],
  result: { exitCode: number; stdout: string; stderr: string },
): UserError {
  if (result.exitCode === noCandidateExitCode) {
    return new UserError(
      `${host}: found no package ${result.stdout.trim().replaceAll(" ", ", ")}, expected its apt sources to have it. Correct the name, or add the source that has it.`,
    );
  }
  const reasons = result.stderr.split("\n").filter((line) => /^(E:|dpkg: error|Err:)/.test(line));
  const reason = reasons.slice(-5).join("\n  ") || `exit code ${result.exitCode}`;
  return new UserError(
    `${host}: found that apt failed, expected it to install ${names.join(", ")}. Repair apt there, then run pulumi up again.\n  ${reason}`,
  );
}
