import { expect, it } from "vitest";
import { weakenedCommit } from "./durability.ts";
import type { GroupInputs } from "./group.ts";

function weakened(parameters: Record<string, string>, synchronous: GroupInputs["synchronous"] = { quorum: 1 }) {
  return weakenedCommit({ parameters, synchronous });
}

const local = {
  level: "warn",
  text:
    "synchronous_commit = local: commits do not wait for standbys\n" +
    "  They wait only for the primary's own disk. Rows that were acknowledged may be lost at a failover; a planned switchover loses none.\n" +
    "  Take parameters.synchronous_commit out, so that commits wait as synchronous: { quorum: 1 } says. Sessions that may lose rows can set it for themselves.",
};

it("local beside a synchronous rule is a warning", () => {
  expect(weakened({ synchronous_commit: "local" })).toEqual(local);
});

it("the name and the value are read as PostgreSQL reads them", () => {
  expect(weakened({ Synchronous_Commit: " LOCAL " })).toEqual(local);
});

it.each(["off", "false", "no", "0"])("%s beside a synchronous rule is a warning", (value) => {
  expect(weakened({ synchronous_commit: value }, { priority: 2 })).toEqual({
    level: "warn",
    text:
      `synchronous_commit = ${value}: commits do not wait for standbys\n` +
      "  They wait for no disk at all. Rows that were acknowledged may be lost at a failover; a planned switchover loses none.\n" +
      "  Take parameters.synchronous_commit out, so that commits wait as synchronous: { priority: 2 } says. Sessions that may lose rows can set it for themselves.",
  });
});

it("remote_write is mentioned", () => {
  expect(weakened({ synchronous_commit: "remote_write" })).toEqual({
    level: "info",
    text:
      "synchronous_commit = remote_write: commits do not wait for a standby's disk\n" +
      "  Rows that were acknowledged are lost if the primary dies and the standbys' hosts crash at the same moment.\n" +
      "  Take parameters.synchronous_commit out, so that commits wait as synchronous: { quorum: 1 } says.",
  });
});

it.each([{}, { synchronous_commit: "on" }, { synchronous_commit: "true" }, { synchronous_commit: "remote_apply" }])(
  "%j keeps the promise",
  (parameters) => {
    expect(weakened(parameters)).toBeUndefined();
  },
);

it("without a synchronous rule nothing was promised", () => {
  expect(weakened({ synchronous_commit: "off" }, "off")).toBeUndefined();
});
