import { z } from "zod";
import { expected } from "./schema.ts";

/** In the order of the week. */
const weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

const minutesOfDay = 24 * 60;

function timeOfDay(form: RegExp, what: string) {
  const refusal = expected(what, "Write hours and minutes in quotes.");
  return z.string(refusal).regex(form, refusal.error);
}

/** When a cluster may be switched back without anybody at hand. */
export const maintenanceWindowSchema = z
  .strictObject({
    /** The days on which it begins. Default: every day. */
    days: z
      .array(z.enum(weekdays, expected(`a day (${weekdays.join(", ")})`, "Write one of them.")))
      .min(
        1,
        expected("at least one day: without one the window never opens", "Name a day, or remove days: for every day."),
      )
      .default([...weekdays]),
    /** Local time at which it opens, "22:30". */
    from: timeOfDay(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'a time of day from "00:00" to "23:59"'),
    /** Local time at which it closes. One that is earlier than `from` is on the next day. "24:00" is the end of the day. */
    to: timeOfDay(/^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$/, 'a time of day from "00:00" to "24:00"'),
    /** Name of a time zone as the tz database has it. The times are local there, in summer and in winter. */
    timezone: z
      .string(expected("a time zone such as Europe/Berlin or UTC", "Name the zone in which the times are meant."))
      .refine(
        isTimezone,
        expected("a time zone such as Europe/Berlin or UTC", "Correct its spelling (names of the tz database)."),
      ),
  })
  .refine(({ from, to }) => from !== to, {
    path: ["to"],
    ...expected(
      "another time than from: as it stands the window never opens",
      'Correct it; the whole day is from: "00:00", to: "24:00".',
    ),
  });

/** Days, local times and time zone of a window, parsed. */
export type MaintenanceWindow = z.infer<typeof maintenanceWindowSchema>;

function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Is it open at this moment? A window over midnight belongs to the day on which it begins. */
export function isWindowOpen(window: MaintenanceWindow, now: Date): boolean {
  const { day, minute } = localTime(window.timezone, now);
  const [from, to] = [minutesOf(window.from), minutesOf(window.to)];
  const beginsOn = (index: number) => window.days.includes(weekdays[(index + 7) % 7] ?? "mon");
  if (from < to) return beginsOn(day) && minute >= from && minute < to;
  return (beginsOn(day) && minute >= from) || (beginsOn(day - 1) && minute < to);
}

/** "sat, sun 22:00 to 02:00 (Europe/Berlin)" */
export function windowText({ days, from, to, timezone }: MaintenanceWindow): string {
  const named = weekdays.filter((day) => days.includes(day));
  return `${named.length === 7 ? "every day" : named.join(", ")} ${from} to ${to} (${timezone})`;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(":").map(Number);
  return hours * 60 + minutes;
}

function localTime(timezone: string, now: Date): { day: number; minute: number } {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
  const dayName = parts.get("weekday")?.toLowerCase();
  const day = weekdays.findIndex((name) => dayName?.startsWith(name));
  const minute = Number(parts.get("hour")) * 60 + Number(parts.get("minute"));
  if (day < 0 || !(minute >= 0 && minute < minutesOfDay)) throw new Error(`no local time in ${timezone}`);
  return { day, minute };
}
