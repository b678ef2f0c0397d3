import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { figuresOf } from "./figures.ts";
import type { Machine } from "./machine.ts";
import { resultsText } from "./resultsText.ts";

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

/** Puts a section into the results of this day, as JSON for programs and as text for people. */
export function saveSection(folder: string, date: string, name: string, section: SectionResult): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${date}.json`);
  const before = readResults(file) ?? { date, sections: {} };
  const results: Results = { date, sections: { ...before.sections, [name]: section } };
  writeAtomically(file, `${JSON.stringify(withFigures(results), undefined, 2)}\n`);
  const textFile = join(folder, `${date}.md`);
  writeAtomically(textFile, resultsText(results));
  return textFile;
}

function readResults(file: string): Results | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Results;
  } catch {
    return undefined;
  }
}

/** The JSON carries the figures beside the rounds, so that nobody has to compute them again. */
function withFigures(results: Results): object {
  const sections = Object.entries(results.sections).map(([name, section]) => {
    const measurements = section.measurements.map((one) => ({ ...one, figures: figuresOf(one.seconds) }));
    return [name, { ...section, measurements }];
  });
  return { ...results, sections: Object.fromEntries(sections) };
}

function writeAtomically(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
