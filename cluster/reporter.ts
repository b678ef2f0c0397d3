import { UserError } from "../model/fault.ts";

/** How an operation tells a person what it does. The provider's Context is one. */
export interface Reporter {
  /** True only while it lasts; at most one a second reaches the terminal. */
  progress(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  /** Aborted when the person wants to stop: operations go to the next safe point and throw `Interrupted`. */
  readonly cancelled: AbortSignal;
}

/** Stopped at a safe point because the person asked for it. */
class Interrupted extends UserError {
  constructor(what: string) {
    super(`interrupted ${what}; \`pulumi up\` goes on from here`);
    this.name = "Interrupted";
  }
}

export function stopIfCancelled(reporter: Reporter, what: string): void {
  if (reporter.cancelled.aborted) throw new Interrupted(what);
}
