import { describe, expect, it } from "vitest";
import { empty, primary, standby, stopped, unreachable } from "../test/support/observations.ts";
import type { MemberObservation } from "./observation.ts";
import { removalOf } from "./removal.ts";

const pg3 = { name: "pg3", host: "db3", dataDirectory: "/srv/pg3" };
const removal = (seen: MemberObservation) => removalOf("orders", pg3, seen);

describe("the service of a member that is taken out", () => {
  it("stops when it is a standby, and it is told that its data stays", () => {
    expect(removal(standby("pg3", "pg1"))).toEqual({
      member: "pg3",
      kind: "stop",
      unreached: false,
      text: [
        "pg3 is removed: its service is stopped, its data stays",
        "  On db3: pgha-orders-pg3.service is stopped and disabled; /srv/pg3 is not touched.",
        "  On the other members: slot pgha_pg3 is dropped.",
      ].join("\n"),
    });
  });

  it.each<[string, MemberObservation]>([
    ["is stopped already", stopped("pg3")],
    ["failed", stopped("pg3", { local: { unit: "failed" } })],
    ["waits at its boot gate", stopped("pg3", { local: { unit: "waiting" } })],
    ["is a standby that does not answer", stopped("pg3", { local: { unit: "activating", standbySignal: true } })],
    ["was never made", empty("pg3")],
  ])("stays down when it %s: it does not start at the next boot", (_, seen) => {
    expect(removal(seen).kind).toBe("stop");
  });

  it.each<[string, MemberObservation]>([
    ["is a primary", primary("pg3")],
    ["runs and does not tell whether it is a primary", stopped("pg3", { local: { unit: "active" } })],
  ])("is left when it %s, and it is told how to stop it", (_, seen) => {
    expect(removal(seen)).toEqual({
      member: "pg3",
      kind: "leave",
      unreached: false,
      text: [
        "pg3 is removed: it may take writes, so its service is left running",
        "  pgha-orders-pg3.service on db3 is not a standby. If nobody writes there on purpose: `systemctl disable --now pgha-orders-pg3.service` on db3.",
        "  Its data stays: /srv/pg3.",
      ].join("\n"),
    });
  });

  it("is left on a host that cannot be reached, and it is told what to do when it comes back", () => {
    expect(removal(unreachable("pg3"))).toEqual({
      member: "pg3",
      kind: "leave",
      unreached: true,
      text: [
        "pg3 is removed: its host cannot be reached, nothing is changed there",
        "  Its service, and its data at /srv/pg3, stay on db3 as they are.",
        "  There, now or when the host comes back: `systemctl disable --now pgha-orders-pg3.service`. Its boot gate keeps a former primary down until then.",
        "  no answer within 8 s",
      ].join("\n"),
    });
  });
});
