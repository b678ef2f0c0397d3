import { waitUntilSettled } from "../cluster/converge.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { clock, type Probe, underProbe } from "./probe.ts";
import { type Section, secondsText } from "./section.ts";
import { freshCluster } from "./stack.ts";
import { silent } from "./switchovers.ts";

const most = 30;

/** Without a failover manager, systemd restarts a postmaster that died: how long until writes are acknowledged again. */
export const restarts: Section = {
  name: "restart",
  limitMinutes: 20,
  async run(bench) {
    const cluster = await freshCluster(await bench.lab(true), { walSegmentSize: "16MB" });
    const seconds: number[] = [];
    await underProbe(bench, cluster, {
      rounds: Math.min(bench.rounds, most),
      limitSecondsOfRound: 60,
      round: async (probe) => {
        seconds.push(await killOnce(cluster, probe));
        bench.report(`restart in place, round ${seconds.length}: ${secondsText(seconds.at(-1) ?? 0)}`);
      },
      keep: (seen) =>
        bench.keep({
          what: "kill -9 of the primary's postmaster, 16 MB segments, idle",
          seconds,
          goal: { p50: 0.5 },
          ...seen,
        }),
    });
    return {};
  },
};

/** kill -9 of this member's postmaster. */
export async function killPostmaster(cluster: DeclaredCluster, member: string): Promise<void> {
  const { host, declaration, paths } = cluster.access.member(member);
  // systemd counts starts, and gives up after ten within a minute: what we do here is not what that is for.
  await host.must({
    argv: [
      ...["sh", "-c", 'systemctl reset-failed "$2" 2>/dev/null; kill -KILL "$(head -n 1 "$1/postmaster.pid")"'],
      ...["sh", declaration.dataDirectory, paths.unit],
    ],
    limitSeconds: 20,
    purpose: `kill the postmaster of ${member}`,
  });
}

async function killOnce(cluster: DeclaredCluster, { writer }: Probe): Promise<number> {
  await writer.waitForAcknowledgement(30);
  const { member } = await cluster.primary();
  const since = clock();
  await killPostmaster(cluster, member);
  await writer.waitForAcknowledgement(30);
  const gap = writer.longestGap(since).milliseconds / 1000;
  await waitUntilSettled(cluster.access, member, silent);
  return gap;
}
