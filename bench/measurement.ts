import type { Machine } from "./machine.ts";

/** One series of measurements of the same thing. */
export interface Measurement {
  /** "write gap of a planned switchover, 16 MB segments, idle" */
  readonly what: string;
  /** Every round, in seconds, in the order of measuring. */
  readonly seconds: readonly number[];
  /** What we want to reach, in seconds. */
  readonly goal?: { readonly p50?: number; readonly most?: number };
  /** What preview had predicted, in seconds, of each round. */
  readonly predictedSeconds?: readonly number[];
  /** Rows of the continuous writer during the series. */
  readonly rows?: { readonly acknowledged: number; readonly lost: number; readonly onSecondServer: number };
  /** Everything else worth knowing, one sentence each. */
  readonly notes?: readonly string[];
}

export interface SectionResult {
  readonly measuredAt: string;
  readonly tookSeconds: number;
  readonly machine: Machine;
  readonly measurements: readonly Measurement[];
  /** A ratio of two of the measurements, when the section is a comparison. */
  readonly ratio?: { readonly what: string; readonly value: number; readonly goal: number };
  /** Why the section ended early; what it had measured until then is there. */
  readonly stopped?: string;
}

/** One day's results: a section measured again replaces its earlier figures. */
export interface Results {
  readonly date: string;
  readonly sections: Readonly<Record<string, SectionResult>>;
}
