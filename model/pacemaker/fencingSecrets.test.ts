import { expect, it } from "vitest";
import { parsed } from "../../test/support/stackFiles.ts";
import { faultText } from "../fault.ts";
import { parseFencingSecrets } from "./fencingSecrets.ts";

const power = { agent: "fence_apc", hosts: ["pg1", "pg2", "pg3"], secretParameters: { password: "board" } };
const { pacemaker } = parsed({
  clusters: {
    orders: {
      postgresVersion: 17,
      members: { pg1: {}, pg2: {}, pg3: {} },
      primary: "pg1",
      failover: { manager: "pacemaker" },
    },
  },
  pacemaker: { main: { fencing: { devices: { power } } } },
});

it("the secrets of fence devices are those that they name", () => {
  expect(parseFencingSecrets('{"board":"hunter2"}', pacemaker)).toEqual({ secrets: { board: "hunter2" }, faults: [] });
  expect(parseFencingSecrets(undefined)).toEqual({ secrets: {}, faults: [] });
});

it("one that is named and not there is a fault", () => {
  expect(parseFencingSecrets('{"other":"hunter2"}', pacemaker).faults.map(faultText)).toEqual([
    "pgha:pacemaker.main.fencing.devices.power.secretParameters.password: found board, which is not there, expected a key of pgha:fencingSecrets (other). Set it: pulumi config set --secret --path 'pgha:fencingSecrets.board'.",
  ]);
});

it.each(["hunter2", '"hunter2"', '{"board":""}', '{"board":{"a":"hunter2"}}', '["hunter2"]'])(
  "%s is a fault that shows nothing of it",
  (text) => {
    const texts = parseFencingSecrets(text, pacemaker).faults.map(faultText);
    expect(texts).toEqual([
      "pgha:fencingSecrets: found something else, expected keys, each with a text that is not empty. Set it: pulumi config set --secret --path 'pgha:fencingSecrets.KEY'.",
    ]);
  },
);
