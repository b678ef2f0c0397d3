import { z } from "zod";
import type { Lab } from "../lab/lab.ts";
import { waitFor } from "../lab/shell.ts";
import type { DeclaredCluster } from "../test/support/declaredCluster.ts";
import { onHost } from "../test/support/labStack.ts";

const archiveHost = "pg3";
const port = 9110;
const megabitsPerSecond = 1000;

/* Takes whatever is sent and keeps nothing: only the way there is measured. */
const sink = `
import socket, sys, threading

def drain(connection):
    while connection.recv(1 << 20):
        pass
    connection.close()

server = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, _ = server.accept()
    threading.Thread(target=drain, args=(connection,), daemon=True).start()
`;

/** What members send their segments with. */
export function archiveParameters(lab: Lab): Readonly<Record<string, string>> {
  const { service } = lab.host(archiveHost).addresses;
  return { archive_mode: "on", archive_command: `bash -c 'cat "%p" > /dev/tcp/${service}/${port}'` };
}

/** Starts the archive, limits every host's network to 1 Gbit/s, and returns once the primary has archived a segment. */
export async function startArchive(lab: Lab, cluster: DeclaredCluster, limitSeconds: number): Promise<void> {
  const { service } = lab.host(archiveHost).addresses;
  await onHost(lab, archiveHost, [
    ...["systemd-run", "--quiet", "--collect", "--unit=bench-archive", `--property=RuntimeMaxSec=${limitSeconds}`],
    ...["/usr/bin/python3", "-c", sink, service, String(port)],
  ]);
  await Promise.all(lab.hosts.map((host) => lab.limitRate(host.name, megabitsPerSecond)));
  const { member } = await cluster.primary();
  const session = await cluster.connect(member);
  try {
    await session.query("select pg_switch_wal()");
    await waitFor("the primary to archive a segment", 90, async () => {
      const { working } = await session.selectOne(
        z.object({ working: z.boolean() }),
        "select coalesce(last_archived_time > coalesce(last_failed_time, '-infinity'), false) as working from pg_stat_archiver",
      );
      return working ? true : undefined;
    });
  } finally {
    await session.close();
  }
}
