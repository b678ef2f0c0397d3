import { clock, underProbe } from "./probe.ts";
import { type Section, secondsText } from "./section.ts";
import { declare, freshCluster, preview, up } from "./stack.ts";

const most = 5;

/** Measured apart, with nothing else running: user and system time of each process until it serves. */
const whereTheTimeGoes =
  "where the time goes: the engine starts four Node.js processes for each run, on two cores (language host with the program about 1 s of CPU, the provider twice and the plugin of remote.Command 0.55 s each, a third of that for TypeScript as it stands); looking at all members takes about 0.4 s of the rest";

/** What a person waits for every day: an `up` and a preview that change nothing. */
export const noChange: Section = {
  name: "noop",
  limitMinutes: 10,
  async run(bench) {
    const cluster = await freshCluster(await bench.lab(true), { walSegmentSize: "16MB" });
    cluster.close();
    const ups: number[] = [];
    const previews: number[] = [];
    try {
      for (let round = 0; round < Math.min(bench.rounds, most); round++) {
        bench.checkTime();
        ups.push(await up());
        previews.push(await preview());
        bench.report(
          `without a change: up ${secondsText(ups.at(-1) ?? 0)}, preview ${secondsText(previews.at(-1) ?? 0)}`,
        );
      }
    } finally {
      const notes = [whereTheTimeGoes];
      bench.keep({ what: "`pulumi up --yes --skip-preview`, no change", seconds: ups, goal: { p50: 3 }, notes });
      bench.keep({ what: "`pulumi preview`, no change", seconds: previews, goal: { p50: 4 } });
    }
    return {};
  },
};

/** The switchover as a user does it: one changed line and `pulumi up`, Pulumi's own work on the same machine included. */
export const wholeCli: Section = {
  name: "cli",
  limitMinutes: 15,
  async run(bench) {
    const lab = await bench.lab(true);
    const wish = { walSegmentSize: "16MB" } as const;
    const cluster = await freshCluster(lab, wish);
    const gaps: number[] = [];
    const ups: number[] = [];
    await underProbe(bench, cluster, {
      rounds: Math.min(bench.rounds, most),
      limitSecondsOfRound: 120,
      round: async ({ writer }) => {
        const { member: from } = await cluster.primary();
        const to = from === "pg1" ? "pg2" : "pg1";
        declare(lab, { ...wish, primary: to });
        const since = clock();
        const seconds = await up();
        await writer.waitForAcknowledgement(30);
        const handover = writer.gapsSince(since).find((gap) => gap.from === from && gap.to === to);
        const gap = (handover ?? writer.longestGap(since)).milliseconds / 1000;
        ups.push(seconds);
        gaps.push(gap);
        bench.report(`through the CLI: gap ${secondsText(gap)}, up ${secondsText(seconds)}`);
      },
      keep: (seen) => {
        const goal = { p50: 0.2, most: 0.5 };
        bench.keep({ what: "gap in which the server changed", seconds: gaps, goal, ...seen });
        bench.keep({ what: "the whole `pulumi up`", seconds: ups });
      },
    });
    return {};
  },
};
