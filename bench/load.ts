import { z } from "zod";
import { postgresPrograms } from "../model/names.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { probeDatabase, probeRole } from "../test/support/writer.ts";

const clients = 8;

/* The password comes by standard input. pgbench gives up when its server goes away, and is started again. */
const program = `
IFS= read -r PGPASSWORD
export PGPASSWORD PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=2
export PGHOST=$1 PGUSER=$2 PGDATABASE=$3 bin=$4 clients=$5
if [ "$6" = initialize ]; then exec "$bin/pgbench" -q -i -s 10; fi
while :; do "$bin/pgbench" -n -c "$clients" -j 2 -T 3600; sleep 0.1; done`;

/**
 * pgbench's own transactions from 8 clients as fast as they go, on the last member's host, which keeps its role.
 * Returns once its tables are there and it runs; the returned function ends it and tells how many it has committed.
 */
export async function startLoad(
  cluster: DeclaredCluster,
  password: string,
  limitSeconds: number,
): Promise<() => Promise<number>> {
  const { members, postgresVersion } = cluster.group;
  const last = members.at(-1);
  if (last === undefined) throw new Error("a cluster without members cannot be loaded");
  const { host } = cluster.access.member(last.name);
  const addresses = members.map((member) => member.serviceAddress).join(",");
  const argv = (verb: string) => [
    ...["sh", "-c", program, "pgbench", addresses, probeRole, probeDatabase],
    ...[postgresPrograms(postgresVersion), String(clients), verb],
  ];
  await host.must({
    argv: argv("initialize"),
    stdin: `${password}\n`,
    limitSeconds: 120,
    purpose: "make pgbench's tables",
  });
  const load = await host.start({ argv: argv("run"), limitSeconds, purpose: "run pgbench" });
  load.write(`${password}\n`);
  const ended = load.exit.catch(() => undefined);
  return async () => {
    load.kill();
    await ended;
    return committed(cluster);
  };
}

/** Each transaction leaves one row. */
async function committed(cluster: DeclaredCluster): Promise<number> {
  const { member } = await cluster.primary();
  const session = await cluster.connect(member, probeDatabase);
  try {
    const { count } = await session.selectOne(z.object({ count: z.string() }), "select count(*) from pgbench_history");
    return Number(count);
  } finally {
    await session.close();
  }
}
