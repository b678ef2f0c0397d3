import { describe, expect, it } from "vitest";
import { isWindowOpen, type MaintenanceWindow, maintenanceWindowSchema, windowText } from "./maintenanceWindow.ts";

const everyDay: MaintenanceWindow["days"] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

function window(changes: Partial<MaintenanceWindow>): MaintenanceWindow {
  return { days: everyDay, from: "02:00", to: "04:00", timezone: "UTC", ...changes };
}

/** Is it open at each of these moments, all in UTC? */
function open(changes: Partial<MaintenanceWindow>, moments: readonly string[]): Record<string, boolean> {
  return Object.fromEntries(moments.map((moment) => [moment, isWindowOpen(window(changes), new Date(`${moment}Z`))]));
}

describe("a window within one day", () => {
  it("is open from its first minute to the one before its last", () => {
    expect(open({}, ["2026-03-07T01:59:59", "2026-03-07T02:00", "2026-03-07T03:59:59", "2026-03-07T04:00"])).toEqual({
      "2026-03-07T01:59:59": false,
      "2026-03-07T02:00": true,
      "2026-03-07T03:59:59": true,
      "2026-03-07T04:00": false,
    });
  });

  it("opens on its days only", () => {
    expect(open({ days: ["sat", "sun"] }, ["2026-03-06T03:00", "2026-03-07T03:00", "2026-03-08T03:00"])).toEqual({
      "2026-03-06T03:00": false,
      "2026-03-07T03:00": true,
      "2026-03-08T03:00": true,
    });
  });

  it("can be the whole day", () => {
    const moments = ["2026-03-06T23:59:59", "2026-03-07T00:00", "2026-03-07T23:59:59", "2026-03-08T00:00"];
    expect(open({ days: ["sat"], from: "00:00", to: "24:00" }, moments)).toEqual({
      "2026-03-06T23:59:59": false,
      "2026-03-07T00:00": true,
      "2026-03-07T23:59:59": true,
      "2026-03-08T00:00": false,
    });
  });
});

describe("a window over midnight", () => {
  it("belongs to the day on which it begins, also from sunday to monday", () => {
    const moments = [
      "2026-03-08T01:00",
      "2026-03-08T21:59",
      "2026-03-08T22:00",
      "2026-03-09T01:59",
      "2026-03-09T02:00",
    ];
    expect(open({ days: ["sun"], from: "22:00", to: "02:00" }, [...moments, "2026-03-09T22:30"])).toEqual({
      "2026-03-08T01:00": false,
      "2026-03-08T21:59": false,
      "2026-03-08T22:00": true,
      "2026-03-09T01:59": true,
      "2026-03-09T02:00": false,
      "2026-03-09T22:30": false,
    });
  });

  it("ends at midnight with to 00:00", () => {
    const moments = ["2026-03-07T22:59", "2026-03-07T23:59", "2026-03-08T00:00"];
    expect(open({ days: ["sat"], from: "23:00", to: "00:00" }, moments)).toEqual({
      "2026-03-07T22:59": false,
      "2026-03-07T23:59": true,
      "2026-03-08T00:00": false,
    });
  });
});

describe("time zones", () => {
  it("the times are local, in winter and in summer", () => {
    const moments = ["2026-01-10T00:59", "2026-01-10T01:00", "2026-07-11T00:00", "2026-07-11T02:00"];
    expect(open({ timezone: "Europe/Berlin" }, moments)).toEqual({
      "2026-01-10T00:59": false,
      "2026-01-10T01:00": true,
      "2026-07-11T00:00": true,
      "2026-07-11T02:00": false,
    });
  });

  it("the day is the local one too", () => {
    expect(open({ days: ["sat"], from: "08:00", to: "10:00", timezone: "Asia/Tokyo" }, ["2026-03-06T23:30"])).toEqual({
      "2026-03-06T23:30": true,
    });
    expect(
      open({ days: ["fri"], from: "20:00", to: "23:00", timezone: "America/New_York" }, ["2026-03-07T02:00"]),
    ).toEqual({ "2026-03-07T02:00": true });
  });

  it("in the night in which the hour from 2 to 3 does not exist, a window of that hour does not open", () => {
    // 2026-03-29: Berlin goes from 01:59:59 (+1) straight to 03:00 (+2).
    const moments = ["2026-03-29T00:59", "2026-03-29T01:00", "2026-03-28T01:30"];
    expect(open({ to: "03:00", timezone: "Europe/Berlin" }, moments)).toEqual({
      "2026-03-29T00:59": false,
      "2026-03-29T01:00": false,
      "2026-03-28T01:30": true,
    });
  });

  it("in the night in which that hour comes twice, the window is open in both", () => {
    const moments = ["2026-10-24T23:59", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:00"];
    expect(open({ to: "03:00", timezone: "Europe/Berlin" }, moments)).toEqual({
      "2026-10-24T23:59": false,
      "2026-10-25T00:30": true,
      "2026-10-25T01:30": true,
      "2026-10-25T02:00": false,
    });
  });

  it("half hours count", () => {
    expect(open({ from: "05:30", to: "06:00", timezone: "Asia/Kolkata" }, ["2026-03-07T00:00"])).toEqual({
      "2026-03-07T00:00": true,
    });
  });
});

describe("a declared window", () => {
  const declared = { from: "02:00", to: "04:00", timezone: "Europe/Berlin" };

  it("begins on every day unless days are named", () => {
    expect(maintenanceWindowSchema.parse(declared)).toEqual({ ...declared, days: everyDay });
  });

  it.each([
    ["from equal to to", { to: "02:00" }],
    ["no days", { days: [] }],
    ["an unknown zone", { timezone: "Europe/Berlim" }],
    ["a zone left out", { timezone: undefined }],
    ["an empty zone", { timezone: "" }],
    ["a day that is none", { days: ["saturday"] }],
    ["a time that is none", { from: "25:00" }],
    ["a time without its zero", { from: "2:00" }],
    ["an end after the end of the day", { to: "24:01" }],
    ["a key that is not known", { until: "05:00" }],
  ])("with %s is refused", (_, changes) => {
    expect(maintenanceWindowSchema.safeParse({ ...declared, ...changes }).success).toBe(false);
  });

  it("is told in the order of the week", () => {
    expect(windowText(window({ days: ["sun", "sat"], timezone: "Europe/Berlin" }))).toBe(
      "sat, sun 02:00 to 04:00 (Europe/Berlin)",
    );
    expect(windowText(window({}))).toBe("every day 02:00 to 04:00 (UTC)");
  });
});
