import type { Prepared } from "../lab/image.ts";
import type { Lab } from "../lab/lab.ts";
import type { Measurement, SectionResult } from "./measurement.ts";

/** What a section of the benchmark works with. */
export interface Bench {
  /** Rounds of what is measured often. */
  readonly rounds: number;
  /** The script of ours-against-by-hand; undefined leaves it out. */
  readonly byHandScript?: string;
  readonly report: (line: string) => void;
  /** The lab with hosts that have (`prepared`) or have not PostgreSQL's packages, or Pacemaker's too; made anew when it is of another kind. */
  lab(prepared: Prepared): Promise<Lab>;
  /** Throws once the section's time is over or the benchmark was interrupted; asked between rounds. */
  checkTime(): void;
  /** Called with what is measured so far, so that a section that ends early has it too. */
  keep(measurement: Measurement): void;
}

export interface Section {
  readonly name: string;
  readonly limitMinutes: number;
  run(bench: Bench): Promise<Pick<SectionResult, "ratio">>;
}

/** The section's time is over, or the person wants to stop. */
export class StoppedEarly extends Error {}

export function secondsText(value: number): string {
  return `${value.toFixed(3)} s`;
}
