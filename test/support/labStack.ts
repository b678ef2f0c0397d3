import { createHash } from "node:crypto";
import type { Lab, LabHost } from "../../lab/lab.ts";

/** What a stack file says of these hosts of a lab: all three networks, and the lab's own key. */
export function hostsConfig(
  lab: Lab,
  names: readonly string[] = lab.hosts.map((host) => host.name),
): Record<string, Record<string, unknown>> {
  return {
    "pgha:ssh": { user: "root", privateKeyFile: lab.keyFile },
    "pgha:hosts": Object.fromEntries(
      names.map((name) => {
        const { addresses, hostKey }: LabHost = lab.host(name);
        return [name, { address: { ...addresses }, hostKey }];
      }),
    ),
  };
}

/** A command inside a host that has to succeed; its standard output without the last newline. */
export async function onHost(lab: Lab, host: string, argv: readonly string[], limitSeconds = 30): Promise<string> {
  const { exitCode, stdout, stderr } = await lab.insideHost(host, argv, limitSeconds);
  if (exitCode !== 0) throw new Error(`${host}: ${argv.join(" ")}: exit code ${exitCode}: ${stderr}${stdout}`);
  return stdout.replace(/\n$/, "");
}

/** A shell script inside a host that has to succeed. */
export function scriptOnHost(lab: Lab, host: string, script: string, limitSeconds = 30): Promise<string> {
  return onHost(lab, host, ["sh", "-euc", script], limitSeconds);
}

/** What psql prints for one statement, as a superuser on the host's own socket: fields apart by |, rows by newlines. */
export function sql(lab: Lab, host: string, statement: string, port = 5432): Promise<string> {
  const psql = ["psql", "--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-p", String(port), "-c", statement];
  return onHost(lab, host, ["runuser", "-u", "postgres", "--", ...psql], 20);
}

/** Packages, accounts, and everything of ours or where data lies: the same text as long as nothing was touched. */
export async function fingerprint(lab: Lab, host: string): Promise<string> {
  const text = await scriptOnHost(
    lab,
    host,
    `dpkg-query -W -f '\${Package} \${Version} \${Status}\\n'
     look() { find "$@" -printf '%p %y %u %g %m %s %T@\\n' 2>/dev/null | sort; }
     look /etc/pgha /var/lib/pgha /etc/systemd/system /etc/postgresql-common /etc/hosts /etc/passwd
     for directory in /var/lib/postgresql /var/lib/postgresql/* /var/lib/postgresql/*/*; do
       [ -e "$directory" ] || continue
       look "$directory" -maxdepth 0
       # what runs writes by itself
       [ ! -e "$directory/PG_VERSION" ] || [ -e "$directory/postmaster.pid" ] || look "$directory"
     done
     systemctl list-units --no-legend --plain 'pgha*'`,
  );
  return createHash("sha256").update(text).digest("hex");
}

/** The diagnostics of a run without colours, the engine's progress lines and trailing blanks. */
export function plain(output: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of
  return output.replaceAll(/\u001b\[[0-9;]*m/g, "");
}
