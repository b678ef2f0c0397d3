import { readFileSync } from "node:fs";

/** The text of a template, by its path in this folder: "postgresql/pg_hba.conf.hbs". Read once, at start. */
export function loadTemplate(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}
