import { z } from "zod";
import { expected } from "./schema.ts";

const unitSeconds: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3600, d: 86_400 };

const form = /^(0|[1-9][0-9]{0,5})(s|min|h|d)$/;

/** A span of time as PostgreSQL writes it: "30s", "10min", "2h", "1d". */
export const duration = z
  .string(expected("a duration such as 10min", "Write a whole number and s, min, h or d."))
  .regex(form, expected("a duration such as 10min", "Write a whole number and s, min, h or d.").error);

/** The seconds of a text that `duration` took. */
export function durationSeconds(text: string): number {
  const [, count, unit] = form.exec(text) ?? [];
  const seconds = unitSeconds[unit ?? ""];
  if (seconds === undefined) throw new Error(`${text} is not a duration`);
  return Number(count) * seconds;
}
