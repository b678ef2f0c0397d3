/** Everything that can go wrong between here and a host. The message is for people: host, found, expected, way out. */
export class RemoteError extends Error {
  constructor(
    readonly host: string,
    message: string,
  ) {
    super(message);
    this.name = new.target.name;
  }
}
/** No TCP connection, no SSH banner, or the connection broke. */
export class Unreachable extends RemoteError {}
/** The host offered another key than the declared one. The message shows the offered key and its fingerprint. */
export class HostKeyRefused extends RemoteError {}
/** The host key was right, but neither key nor agent was accepted. */
export class LoginRefused extends RemoteError {}
/** `sudo -n` is not allowed for the SSH user. */
export class SudoRefused extends RemoteError {}
/** The command did not end within its limit and was killed. */
export class RemoteTimeout extends RemoteError {}
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
