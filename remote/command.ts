/** A command on a host, as a value: what runs, what it reads, how long it may take. */
export interface RemoteCommand {
  /** Program and arguments; each is quoted for the remote shell. Secrets never go here: `ps` shows them. */
  readonly argv: readonly string[];
  /** What the command reads; the place for secrets. Default: nothing (an immediate end of file). */
  readonly stdin?: string | Buffer;
  /** The operating-system user it runs as. Default "root" (through `sudo -n` when the SSH user is another). */
  readonly as?: "root" | "postgres";
  /**
   * After so many seconds `RemoteTimeout` is thrown, and it is killed on the host (`timeout -k 2`) when it runs there.
   * Counted from the call: waiting for the connection, for a free session and for sshd to start it is part of it.
   */
  readonly limitSeconds: number;
  /** What it is for, as the end of "could not …" in an error: "read the state of pg1". */
  readonly purpose: string;
  /** Called with each whole line of standard error as it arrives (progress). */
  readonly onStderrLine?: (line: string) => void;
  /** When it is aborted, the command is killed on the host and `Cancelled` is thrown. Default: cannot be cancelled. */
  readonly signal?: AbortSignal;
}

export interface CommandResult {
  /** 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  /** Empty for a command that was begun with `start`: its output was read line by line. */
  readonly stdout: string;
  readonly stderr: string;
}
