import type { RemoteCommand } from "./command.ts";

/** The seconds between SIGTERM and SIGKILL on the host when a command exceeds its limit. */
export const killDelaySeconds = 2;

const environment = ["LC_ALL=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
const becomePostgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env"];

/** Quotes one word for a POSIX shell. */
export function quoteWord(word: string): string {
  if (word.includes("\0"))
    throw new Error("a command's argument contains a NUL character, which no program can receive");
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Quotes the words of one command. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

/** How the announcement of the process group looks in standard error: see `commandText`. */
export const announcement = /^pgha:group=(\d+)$/;

/**
 * The text that sshd hands to the login shell.
 * A shell running as root first announces its process id on standard error, then becomes `timeout`, which makes itself the
 * leader of a process group of that id: so the whole group can be killed later, and a missing announcement means that
 * nothing was started (sudo refused). SSH's own signals would not do, because sshd refuses them for root.
 * `setpriv` and not `runuser`: it opens no PAM session, so nothing is written to the journal and no process stays in between.
 */
export function commandText(command: Pick<RemoteCommand, "argv" | "as" | "limitSeconds">, sshUser: string): string {
  const limited = ["timeout", "-k", String(killDelaySeconds), String(command.limitSeconds)];
  const switched = command.as === "postgres" ? [...becomePostgres, "env", ...environment] : [];
  const script = [
    "echo pgha:group=$$ >&2",
    "cd /",
    `export ${environment.join(" ")}`,
    `exec ${quoteWords([...limited, ...switched, ...command.argv])}`,
  ].join("; ");
  return asRoot(script, sshUser);
}

/**
 * The text that kills the process group of a command: SIGTERM now, and `timeout` itself sends SIGKILL later.
 * A moment after its announcement the shell may not have become the group's leader yet: then it is killed itself.
 */
export function killText(group: number, sshUser: string): string {
  return asRoot(`kill -s TERM -- -${group} 2>/dev/null || kill -s TERM -- ${group}`, sshUser);
}

function asRoot(script: string, sshUser: string): string {
  const sudo = sshUser === "root" ? [] : ["sudo", "-n", "--"];
  return `exec ${quoteWords([...sudo, "sh", "-c", script])}`;
}
