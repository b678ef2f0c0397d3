import { waitUntilSettled } from "../cluster/converge.ts";
import { SwitchoverUndone } from "../cluster/handOver.ts";
import { switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import type { Lab } from "../lab/lab.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { dataDirectory, holdReceiver, holdShutdown } from "../test/support/handoverMoments.ts";
import { underProbe } from "./probe.ts";
import { type Section, secondsText } from "./section.ts";
import { benchCluster, freshCluster } from "./stack.ts";
import { silent } from "./switchovers.ts";

const most = 20;

/** How soon the old primary accepts connections again, once it is certain that nobody was promoted. */
export const aborts: Section = {
  name: "abort",
  limitMinutes: 15,
  async run(bench) {
    const lab = await bench.lab(true);
    const cluster = await freshCluster(lab, { walSegmentSize: "16MB" });
    const seconds: number[] = [];
    await underProbe(bench, cluster, {
      rounds: Math.min(bench.rounds, most),
      limitSecondsOfRound: 60,
      round: async ({ writer }) => {
        await writer.waitForAcknowledgement(60);
        seconds.push(await abortOnce(lab, cluster));
        bench.report(`abort, round ${seconds.length}: ${secondsText(seconds.at(-1) ?? 0)}`);
      },
      keep: (seen) =>
        bench.keep({ what: "from the decision until writable, 16 MB segments", seconds, goal: { most: 1.5 }, ...seen }),
    });
    return {};
  },
};

async function abortOnce(lab: Lab, cluster: DeclaredCluster): Promise<number> {
  const { member: from, timeline, systemIdentifier } = await cluster.primary();
  const to = from === "pg1" ? "pg2" : "pg1";
  const outcome = underLock(cluster.access, silent, (lock) =>
    switchOver(cluster.access, from, to, { timeline, systemIdentifier }, lock, silent),
  ).then(
    () => new Error(`the switchover ${from} -> ${to} was not undone`),
    (error: unknown) => error,
  );
  const shutdown = await holdShutdown(lab, from, dataDirectory(from, benchCluster));
  const receiver = await holdReceiver(lab, to, dataDirectory(to, benchCluster));
  await shutdown.release();
  const undone = await outcome;
  await receiver.release();
  if (!(undone instanceof SwitchoverUndone)) throw undone;
  await waitUntilSettled(cluster.access, from, silent);
  return undone.writableAfterMilliseconds / 1000;
}
