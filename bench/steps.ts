import { median } from "./figures.ts";
import { clock } from "./probe.ts";

/** Where the time of a series goes: every step's milliseconds, of every round in which it was made. */
export class Steps {
  readonly #milliseconds = new Map<string, number[]>();

  add(what: string, milliseconds: number): void {
    this.#milliseconds.set(what, [...(this.#milliseconds.get(what) ?? []), milliseconds]);
  }

  /** "shut down 50 ms, proved 5 ms": medians, in the order in which the steps were first made. */
  text(): string {
    const parts = [...this.#milliseconds].map(([what, all]) => `${what} ${(median(all) ?? 0).toFixed(0)} ms`);
    return parts.join(", ");
  }
}

/**
 * Divides a stretch of time that runs now, by milliseconds since 1970. `step` ends the one before, unless it is the same; `at`:
 * when it began, where that is found out only afterwards.
 */
export function stepsFromNow(steps: Steps): { step(what: string, at?: number): void; end(): void } {
  let current: { what: string; since: number } | undefined;
  const end = (at = clock()) => {
    if (current !== undefined) steps.add(current.what, at - current.since);
    current = undefined;
  };
  return {
    step(what, at = clock()) {
      if (what === current?.what) return;
      end(at);
      current = { what, since: at };
    },
    end,
  };
}
