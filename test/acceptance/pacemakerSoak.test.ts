import { availableParallelism } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { onHost } from "../support/labStack.ts";
import { pacemakerStatus, setUpPacemakerCluster } from "../support/pacemaker.ts";
import {
  boardOrders,
  expectAsDeclared,
  ownersIn,
  promotedMember,
  serversIn,
  underWrites,
} from "../support/pacemakerProof.ts";
import type { TestCluster } from "../support/testCluster.ts";

let lab: Lab;
let cluster: TestCluster;
const hosts = ["pg1", "pg2", "pg3"];
/** PGHA_SOAK_MINUTES for a shorter look. */
const minutes = Number(process.env.PGHA_SOAK_MINUTES ?? 30);

setUpPacemakerCluster(3, "soak", (opened) => {
  cluster = opened;
  lab = opened.lab;
});

/** One busy process for each processor, spread over the hosts; each ends by itself. */
async function keepProcessorsBusy(seconds: number): Promise<void> {
  for (let index = 0; index < availableParallelism(); index += 1) {
    const argv = ["systemd-run", `--unit=soak-load-${index}`, `--property=RuntimeMaxSec=${seconds}`];
    await onHost(lab, hosts[index % hosts.length] ?? "", [...argv, "sh", "-c", "while :; do :; done"]);
  }
}

test(
  `nobody is fenced and nobody fails over in ${minutes} minutes with every processor busy and 1 % of all frames lost`,
  async (context) => {
    const verdict = await underWrites(
      cluster,
      context,
      async () => {
        await keepProcessorsBusy(minutes * 60);
        for (const host of hosts) await lab.lose(host, 1, "from");
        await pause(minutes * 60_000);
        await lab.heal();
      },
      minutes * 60 + 300,
    );
    expect(await promotedMember(lab, "pg2")).toBe("pg1");
    for (const host of hosts) expect(await boardOrders(lab, host)).toEqual([]);
    const { fencing, failCounts, failedActions } = await pacemakerStatus(lab, "pg1");
    expect({ fencing, failCounts, failedActions }).toEqual({ fencing: [], failCounts: [], failedActions: [] });
    expect(serversIn(verdict)).toEqual(["pg1"]);
    expect(ownersIn(verdict)).toEqual(["pg1"]);
    context.task.meta.measured += `; ${verdict.acknowledged} rows`;
    await expectAsDeclared(cluster, "pg1");
  },
  (minutes + 15) * 60_000,
);
