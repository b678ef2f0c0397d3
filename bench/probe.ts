import { randomBytes } from "node:crypto";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { prepareProbe, probeDatabase, startWriter, type Writer } from "../test/support/writer.ts";
import type { Measurement } from "./measurement.ts";
import type { Bench } from "./section.ts";

export interface Probe {
  readonly writer: Writer;
  readonly password: string;
}

/** The continuous writer on this cluster. */
async function startProbe(cluster: DeclaredCluster, limitSeconds: number): Promise<Probe> {
  const password = randomBytes(16).toString("base64url");
  const primary = await cluster.primary();
  const superuser = await cluster.connect(primary.member);
  await prepareProbe(superuser, password).finally(() => superuser.close());
  return { writer: await startWriter({ servers: cluster.clientServers, password, limitSeconds }), password };
}

/** Ends the writer, whatever the cluster is like, and compares its record with the table on the current primary. */
async function endProbe(cluster: DeclaredCluster, { writer }: Probe): Promise<Rows> {
  const session = await cluster.primary().then(
    (primary) => cluster.connect(primary.member, probeDatabase).catch(() => undefined),
    () => undefined,
  );
  const result = await writer.stop(session).finally(() => session?.close());
  return {
    acknowledged: result.acknowledged,
    lost: result.lost.length,
    onSecondServer: result.twoWritersAtOnce.length,
  };
}

export type Rows = NonNullable<Measurement["rows"]>;

/** What is known of a series beside its figures. While it lasts, nothing. */
export type Seen = Pick<Measurement, "rows" | "notes">;

/** Rounds under the continuous writer. */
export interface ProbedRounds {
  readonly rounds: number;
  /** The writer ends by itself after so long for each round, and a minute. */
  readonly limitSecondsOfRound: number;
  /** Starts what runs beside the rounds; what it returns ends that. Default: nothing. */
  readonly beside?: (probe: Probe) => Promise<() => Promise<void>>;
  readonly round: (probe: Probe) => Promise<void>;
  /** Called after every round, and once more with what the writer saw, however the rounds ended. */
  readonly keep: (seen: Seen) => void;
}

/**
 * Measures round by round under the continuous writer, until all are done, the section's time is over, or one fails. The
 * writer and the connections to the cluster end in every case: what stays open would keep the process from ending.
 */
export async function underProbe(
  bench: Pick<Bench, "checkTime">,
  cluster: DeclaredCluster,
  wish: ProbedRounds,
  start: typeof startProbe = startProbe,
): Promise<void> {
  try {
    const probe = await start(cluster, 60 + wish.rounds * wish.limitSecondsOfRound);
    const [measured] = await Promise.allSettled([measureRounds(bench, probe, wish)]);
    const [compared] = await Promise.allSettled([endProbe(cluster, probe)]);
    wish.keep(compared.status === "fulfilled" ? { rows: compared.value } : { notes: [notCompared(compared.reason)] });
    for (const outcome of [measured, compared]) if (outcome.status === "rejected") throw outcome.reason;
  } finally {
    cluster.close();
  }
}

async function measureRounds(bench: Pick<Bench, "checkTime">, probe: Probe, wish: ProbedRounds): Promise<void> {
  const endBeside = await wish.beside?.(probe);
  try {
    for (let done = 0; done < wish.rounds; done++) {
      bench.checkTime();
      await wish.round(probe);
      wish.keep({});
    }
  } finally {
    await endBeside?.();
  }
}

function notCompared(reason: unknown): string {
  const text = reason instanceof Error ? reason.message.split("\n")[0] : String(reason);
  return `whether acknowledged rows were lost is not known: ${text}`;
}

/** Milliseconds since 1970 on the writer's clock. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}
