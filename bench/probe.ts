import { randomBytes } from "node:crypto";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { prepareProbe, startWriter, type Writer } from "../test/support/writer.ts";
import type { Measurement } from "./results.ts";

export interface Probe {
  readonly writer: Writer;
  readonly password: string;
}

/** The continuous writer on this cluster. */
export async function startProbe(cluster: DeclaredCluster, limitSeconds: number): Promise<Probe> {
  const password = randomBytes(16).toString("base64url");
  const primary = await cluster.primary();
  const superuser = await cluster.connect(primary.member);
  await prepareProbe(superuser, password).finally(() => superuser.close());
  return { writer: await startWriter({ servers: cluster.servers, password, limitSeconds }), password };
}

export type Rows = NonNullable<Measurement["rows"]>;

export const noRows: Rows = { acknowledged: 0, lost: 0, onSecondServer: 0 };

/** Ends the writer, compares its record with the table on the current primary, and adds to what was counted before. */
export async function stopProbe(cluster: DeclaredCluster, probe: Probe, before: Rows): Promise<Rows> {
  const primary = await cluster.primary().catch(() => undefined);
  const session = primary && (await cluster.connect(primary.member, "probe"));
  const result = await probe.writer.stop(session).finally(() => session?.close());
  return {
    acknowledged: before.acknowledged + result.acknowledged,
    lost: before.lost + result.lost.length,
    onSecondServer: before.onSecondServer + result.twoWritersAtOnce.length,
  };
}

/** Milliseconds since 1970 on the writer's clock. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}
