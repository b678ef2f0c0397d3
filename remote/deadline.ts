import type { RemoteError } from "./errors.ts";

/** One time limit over everything that a call waits for, one thing after another: it begins with the call. */
export interface Deadline {
  /** What is left of it, in seconds; at least a tenth, so that what comes last gets an answer of its own. */
  remainingSeconds(): number;
  /** What `work` gives; rejects as soon as the limit is over or the caller cancels. */
  wait<T>(work: Work<T>): Promise<T>;
}

/** One thing that a call waits for. */
export interface Work<T> {
  /** Its signal is aborted when nobody waits any more. */
  readonly begin: (stop: AbortSignal) => Promise<T>;
  /** The error when the limit is over first. */
  readonly late: () => RemoteError;
  /** What is done with a result that comes after that. */
  readonly discard?: (result: T) => void;
  /** The caller's cancellation, and the error for it. Default: it cannot be cancelled. */
  readonly cancel?: { readonly signal: AbortSignal | undefined; readonly error: () => RemoteError };
}

export function startDeadline(limitSeconds: number): Deadline {
  const end = performance.now() + limitSeconds * 1000;
  return {
    remainingSeconds: () => Math.max(0.1, (end - performance.now()) / 1000),
    wait: (work) => waitUntil(end, work),
  };
}

function waitUntil<T>(end: number, { begin, late, discard, cancel }: Work<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    let settled = false;
    function settle(): boolean {
      if (settled) return false;
      settled = true;
      clearTimeout(timer);
      cancel?.signal?.removeEventListener("abort", cancelled);
      return true;
    }
    function fail(error: Error): void {
      if (!settle()) return;
      stop.abort(error);
      reject(error);
    }
    function cancelled(): void {
      if (cancel !== undefined) fail(cancel.error());
    }
    const timer = setTimeout(() => fail(late()), Math.max(0, end - performance.now()));
    cancel?.signal?.addEventListener("abort", cancelled, { once: true });
    if (cancel?.signal?.aborted) return cancelled();
    begin(stop.signal).then((result) => {
      if (settle()) resolve(result);
      else discard?.(result);
    }, fail);
  });
}
