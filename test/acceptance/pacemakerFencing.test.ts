import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { startBoard, stopBoard } from "../../lab/board.ts";
import type { Lab } from "../../lab/lab.ts";
import { labNames } from "../../lab/names.ts";
import { waitFor } from "../../lab/shell.ts";
import { promotedNodes } from "../../model/pacemaker/status.ts";
import { plain } from "../support/labStack.ts";
import { names, pacemakerStatus, setUpPacemakerCluster, waitUntilPromoted } from "../support/pacemaker.ts";
import {
  comeBack,
  fencingOf,
  ownersIn,
  promotedMember,
  seconds,
  serversIn,
  underWrites,
} from "../support/pacemakerProof.ts";
import type { TestCluster } from "../support/testCluster.ts";

/* Fence devices that do not do what they are asked for. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(3, "fencing", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

/** How long nobody can be fenced: longer than Pacemaker tries by itself without being asked again. */
const withoutBoard = 60_000;

test("while no fence device answers nobody is promoted, and preview says why; once it does, it goes on by itself", async (context) => {
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await stopBoard(labNames(lab.name));
    const since = Date.now();
    await lab.kill("pg1");
    const failed = async () => (await fencingOf(lab, "pg2", "pg1")) === "failed" || undefined;
    await waitFor("a fencing of pg1 that failed", 90, failed, 300);
    await pause(withoutBoard - (Date.now() - since));
    // As Pacemaker knows it: what ran there is still told to be there.
    expect(promotedNodes(await pacemakerStatus(lab, "pg2"), names.clone)).toEqual(["pg1"]);
    expect(await cluster.roles()).toEqual(["pg1 down", "pg2 t", "pg3 t"]);
    const preview = await cluster.stack.preview();
    expect(plain(preview.output)).toContain("fencing of pg1");
    await startBoard(labNames(lab.name));
    const again = Date.now();
    await waitUntilPromoted(lab, "pg2", "pg1", 120);
    await writer.waitForAcknowledgement(60);
    context.task.meta.measured = `${seconds(Date.now() - again)} from the device's return to the first row`;
  });
  const now = await promotedMember(lab, "pg2");
  expect(serversIn(verdict)).toEqual(["pg1", now]);
  expect(ownersIn(verdict)).toEqual(["pg1", now]);
  await comeBack(cluster, "pg1", now);
});
