/** One thing that is wrong with what the user wrote, or with a host, in the form that every error of ours has. */
export interface Fault {
  /** Where: the path in the stack file ("pgha:clusters", "orders", "primary"), or a host's name. */
  readonly path: readonly string[];
  /** What was found there. */
  readonly found: string;
  /** What was expected. */
  readonly expected: string;
  /** A field to change or a command to type. */
  readonly remedy: string;
}

/** "pgha:clusters.orders.primary: found pg9, expected a member (pg1, pg2). Set it to one of the members." */
export function faultText(fault: Fault): string {
  return `${fault.path.join(".")}: found ${fault.found}, expected ${fault.expected}. ${fault.remedy}`;
}

/** A user's mistake or a host's state that stops the work; printed without a stack trace. Every other Error is our bug. */
export class UserError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UserError";
  }
}

/** All faults at once, one to a line. */
export class FaultsFound extends UserError {
  constructor(
    readonly faults: readonly Fault[],
    heading: string,
  ) {
    super(`${heading}\n${faults.map((fault) => `  ${faultText(fault)}`).join("\n")}`);
    this.name = "FaultsFound";
  }
}
