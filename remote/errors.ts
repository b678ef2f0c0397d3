import { UserError } from "../model/fault.ts";

/** Everything that can go wrong between here and a host. The message is for people: host, found, expected, way out. */
export class RemoteError extends UserError {
  constructor(
    readonly host: string,
    message: string,
    /** The field of the stack file to correct, where one is to blame: "pgha:ssh.user". */
    readonly field?: string,
  ) {
    super(message);
    this.name = new.target.name;
  }
}
/** No TCP connection, no SSH banner, or the connection broke. */
export class Unreachable extends RemoteError {}
/** The name is no host of the stack file, or no longer one: to whoever only looks, or forgets, it is a host that does not answer. */
export class HostNotDeclared extends Unreachable {}
/** The host offered another key than the declared one. The message shows the offered key and its fingerprint. */
export class HostKeyRefused extends RemoteError {}
/** The host key was right, but neither key nor agent was accepted. */
export class LoginRefused extends RemoteError {}
/** `sudo -n` is not allowed for the SSH user. */
export class SudoRefused extends RemoteError {}
/** The command did not end within its limit and was killed. */
export class RemoteTimeout extends RemoteError {}
/** The command's `signal` was aborted: it was killed on the host, or never started. */
export class Cancelled extends RemoteError {}
/** The command wrote more than `outputLimitBytes`, and was killed. */
export class OutputTooLong extends RemoteError {}
/** No program accepts connections at that Unix socket, or it does not exist. */
export class NoListener extends RemoteError {}
/** sshd does not let us reach Unix sockets (AllowStreamLocalForwarding, DisableForwarding). */
export class ForwardingRefused extends RemoteError {}
/** The command ended with an exit code other than 0. */
export class CommandFailed extends RemoteError {
  constructor(
    host: string,
    message: string,
    readonly exitCode: number,
    readonly stderr: string,
  ) {
    super(host, message);
  }
}
/** No PostgreSQL server listens at that socket, or it ended while we talked to it. */
export class NoPostgres extends RemoteError {}
/** PostgreSQL refused a statement or the session. */
export class SqlFailed extends RemoteError {
  constructor(
    host: string,
    message: string,
    /** The SQLSTATE: "57P03" while the server starts, "28000" when peer authentication fails. */
    readonly code: string,
  ) {
    super(host, message);
  }
}
