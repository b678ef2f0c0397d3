import type { Duplex } from "node:stream";
import type { CommandResult, RemoteCommand } from "./command.ts";

/** How to reach one host by SSH. Parsed from `pgha:hosts` and `pgha:ssh`. */
export interface SshTarget {
  /** The host's name in the stack file; every error names it. */
  readonly name: string;
  readonly address: string;
  /** TCP port of sshd. */
  readonly port: number;
  readonly user: string;
  /** One public key in authorized_keys form ("ssh-ed25519 AAAA…"). Checked on every connection. */
  readonly hostKey: string;
  /** Path of a private key on this machine; without it the agent at SSH_AUTH_SOCK (or `agentSocket`) signs. */
  readonly privateKeyFile?: string;
  readonly agentSocket?: string;
  /** One hop in front of the host. */
  readonly jump?: Omit<SshTarget, "jump">;
}

/** A command that goes on while we talk to it: standard input stays open, standard output comes line by line. */
export interface RemoteProcess {
  /** The next line of standard output, without its newline; undefined once the process ended. */
  nextLine(limitSeconds: number): Promise<string | undefined>;
  write(text: string): void;
  /** Closes standard input. */
  end(): void;
  /** Settles when the process ended. */
  readonly exit: Promise<CommandResult>;
}

/** One host, over one shared SSH connection that is opened at first use and kept. */
export interface RemoteHost {
  readonly name: string;
  /** Runs to the end; the exit code is the caller's to judge. Throws `Unreachable`, `HostKeyRefused`, `LoginRefused`, `RemoteTimeout`. */
  run(command: RemoteCommand): Promise<CommandResult>;
  /** Runs to the end and returns standard output; throws `CommandFailed` (with standard error) when the exit code is not 0. */
  must(command: RemoteCommand): Promise<string>;
  /** Starts a command and leaves it running. */
  start(command: RemoteCommand): Promise<RemoteProcess>;
  /** A stream to a Unix socket on the host, as the SSH user. */
  socket(path: string): Promise<Duplex>;
}

/** The hosts of one provider process. */
export interface RemoteHosts {
  /** Throws when the name is not a host of the stack file. */
  host(name: string): RemoteHost;
  /** Closes every connection. */
  close(): void;
}
