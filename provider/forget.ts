import { UserError } from "../model/fault.ts";
import { CommandFailed, RemoteError, Unreachable } from "../remote/errors.ts";
import type { Context } from "./resource.ts";

/**
 * Takes something away from a host. One that does not answer, or is no longer declared, must not keep its resources in the
 * state for ever: they are forgotten, with a warning. `left` says what stays there; its first line <= 80 characters.
 * Errors: whoever answers, but under another key or without letting us in, may be the host that is meant: that is said with
 * the way to forget it all the same.
 */
export async function removeOrForget(
  context: Context,
  host: string,
  left: string,
  remove: () => Promise<void>,
): Promise<void> {
  try {
    await remove();
  } catch (error) {
    if (error instanceof Unreachable) {
      context.warn(`${left}\n  ${error.message}`);
      return;
    }
    if (!(error instanceof RemoteError) || error instanceof CommandFailed) throw error;
    throw new UserError(
      `${error.message}\n  To leave what is there as it is, and only forget it: take ${host} out of pgha:hosts too, then run \`pulumi up\`.`,
    );
  }
}
