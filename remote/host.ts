import type { Duplex } from "node:stream";
import type { CommandResult, RemoteCommand } from "./command.ts";

/** A command that goes on while we talk to it: standard input stays open, standard output comes line by line. */
export interface RemoteProcess {
  /**
   * The next line of standard output, without its newline; undefined once the process ended.
   * Throws `RemoteTimeout` when none came within the limit (the process goes on), `Unreachable` when the connection broke.
   */
  nextLine(limitSeconds: number): Promise<string | undefined>;
  write(text: string): void;
  /** Closes standard input. */
  end(): void;
  /** Sends SIGTERM to it and all it started, SIGKILL 2 s later. `exit` tells when it is gone. */
  kill(): void;
  /** Settles when the process ended. */
  readonly exit: Promise<CommandResult>;
}

/** One host, over one shared SSH connection that is opened at first use and kept. */
export interface RemoteHost {
  readonly name: string;
  /**
   * Runs to the end; the exit code is the caller's to judge.
   * Throws `Unreachable`, `HostKeyRefused`, `LoginRefused`, `SudoRefused`, `RemoteTimeout`, `Cancelled`, `OutputTooLong`.
   * A command is never run a second time: after `Unreachable` it may have run or not.
   */
  run(command: RemoteCommand): Promise<CommandResult>;
  /** Runs to the end and returns standard output; throws `CommandFailed` (with standard error) when the exit code is not 0. */
  must(command: RemoteCommand): Promise<string>;
  /** Starts a command and leaves it running, for at most its `limitSeconds`. A host has room for 6 at the same time. */
  start(command: RemoteCommand): Promise<RemoteProcess>;
  /**
   * A stream to a Unix socket on the host, as the SSH user. Throws `NoListener`, `ForwardingRefused`, and `RemoteTimeout` when
   * it is not open within the limit, counted from the call.
   */
  socket(path: string, limitSeconds: number): Promise<Duplex>;
}

/** The hosts of one provider process. */
export interface RemoteHosts {
  /** All of them. */
  names(): Promise<readonly string[]>;
  /** Throws when the name is not a host of the stack file. */
  host(name: string): RemoteHost;
  /** Closes every connection. */
  close(): void;
}
