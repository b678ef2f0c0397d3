import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { figuresOf } from "./figures.ts";
import type { Results, SectionResult } from "./measurement.ts";
import { resultsText } from "./resultsText.ts";

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
