import { median } from "./figures.ts";

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

/** Divides a stretch of time that runs now. `step` ends the one before, unless it is the same. */
export function stepsFromNow(steps: Steps): { step(what: string): void; end(): void } {
  let current: { what: string; since: number } | undefined;
  const end = () => {
    if (current !== undefined) steps.add(current.what, performance.now() - current.since);
    current = undefined;
  };
  return {
    step(what) {
      if (what === current?.what) return;
      end();
      current = { what, since: performance.now() };
    },
    end,
  };
}
