import type { Limits } from "../declaration.ts";
import type { Group } from "../group.ts";
import type { Measurements } from "../measurement.ts";
import type { MemberObservation, PostgresFacts, ReachedMember } from "../observation.ts";

/** One thing looked at before a switchover: what was measured, what is allowed, and the way out. */
export interface Check {
  readonly name: string;
  readonly verdict: "ok" | "warn" | "block";
  readonly measured: string;
  readonly limit: string;
  /** Empty when the verdict is ok. */
  readonly remedy: string;
}

/** A lock of another orchestrator that is alive. */
export interface HeldLock {
  readonly member: string;
  readonly holder: string;
  readonly since: string;
}

/** What every check judges: a switchover of which both members answer. */
export interface Subject {
  readonly group: Group;
  readonly limits: Limits;
  readonly from: string;
  readonly to: string;
  readonly observations: readonly MemberObservation[];
  readonly heldLock: HeldLock | undefined;
  readonly primary: ReachedMember & { readonly postgres: PostgresFacts };
  readonly target: ReachedMember & { readonly postgres: PostgresFacts };
  readonly measured: Measurements;
}

export function ok(name: string, measured: string, limit: string): Check {
  return { name, verdict: "ok", measured, limit, remedy: "" };
}

export function warn(name: string, measured: string, limit: string, remedy: string): Check {
  return { name, verdict: "warn", measured, limit, remedy };
}

export function block(name: string, measured: string, limit: string, remedy: string): Check {
  return { name, verdict: "block", measured, limit, remedy };
}

const mostNamed = 4;

/** "a, b, c, d and 3 more" */
export function listed(items: readonly string[]): string {
  const rest = items.length - mostNamed;
  return rest <= 0 ? items.join(", ") : `${items.slice(0, mostNamed).join(", ")} and ${rest} more`;
}

/** "1 extension", "2 libraries" */
export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** server_version_num as people write it: 170006 -> "17.6". */
export function versionText(version: number): string {
  return `${majorVersion(version)}.${version % 10_000}`;
}

export function majorVersion(version: number): number {
  return Math.floor(version / 10_000);
}

/** "0 s", "0.4 s", "61 s" */
export function secondsText(seconds: number): string {
  return `${seconds < 10 && !Number.isInteger(seconds) ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
}
