import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { startTimes } from "../support/byHand.ts";
import { onHost, sql } from "../support/labStack.ts";
import { setUpPacemakerCluster } from "../support/pacemaker.ts";
import { expectAsDeclared, underWrites } from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* Another rule for commits under Pacemaker, and with it for promotions; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;
const three = ["pg1", "pg2", "pg3"];

setUpPacemakerCluster(3, "rules", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

test("commits that wait for two standbys and then for one again: promotions are decided by a rule that fits, under writes", async ({
  task,
}) => {
  const rules = async () => {
    const setting = await sql(lab, "pg1", "show synchronous_standby_names");
    const elections = await Promise.all(
      three.map((name) => onHost(lab, name, ["grep", "-o", '"k": *[0-9]', `/etc/pgha/orders/${name}/member.json`])),
    );
    return [setting.slice(0, 5), ...elections.map((text) => text.at(-1))];
  };
  const started = await startTimes(lab, three);
  await underWrites(cluster, { task }, async () => {
    for (const quorum of [2, 1]) {
      await cluster.declare("synchronous", { quorum });
      const up = await cluster.stack.up();
      expectExit(up, 0);
      expect(up.output).not.toContain("still");
      expect(await rules()).toEqual([`ANY ${quorum}`, ...three.map(() => `${quorum}`)]);
      expectExit(await cluster.stack.preview("--expect-no-changes"), 0);
    }
  });
  expect(await startTimes(lab, three)).toEqual(started);
  await expectAsDeclared(cluster, "pg1");
});

test("a standby that cannot be reached keeps the rule as it is, and the next up makes the change", async ({ task }) => {
  await underWrites(cluster, { task }, async () => {
    await onHost(lab, "pg3", ["systemctl", "stop", "ssh.socket", "ssh.service"]);
    await cluster.declare("synchronous", { quorum: 2 });
    const up = await cluster.stack.up();
    expect(up.output).toContain("commits still wait by the rule ANY 1 (pg1, pg2, pg3), not by ANY 2 (pg1, pg2, pg3)");
    expect(await sql(lab, "pg1", "show synchronous_standby_names")).toMatch(/^ANY 1 /);
    await onHost(lab, "pg3", ["systemctl", "start", "ssh.service"]);
    expectExit(await cluster.stack.up(), 0);
    expect(await sql(lab, "pg1", "show synchronous_standby_names")).toMatch(/^ANY 2 /);
  });
  await cluster.declare("synchronous", { quorum: 1 });
  expectExit(await cluster.stack.up(), 0);
  await expectAsDeclared(cluster, "pg1");
});
