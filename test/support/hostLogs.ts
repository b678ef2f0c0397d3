import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFailed } from "vitest";
import type { Lab } from "../../lab/lab.ts";

/* What the hosts said, kept where a test failed: the lab and its logs are gone soon after. */

/** Everything of one host that explains what Pacemaker, Corosync, PostgreSQL and our own programs did there. */
const telling = `
  section() { echo; echo "===== $*"; timeout 20 sh -c "$*" 2>&1; }
  section 'date; uptime; df -B1M'
  section 'crm_mon -1 --output-as=xml --include=all'
  section 'cibadmin --query'
  section 'corosync-quorumtool -s; corosync-cfgtool -s'
  section 'systemctl --no-pager --full status "pgha-*" pacemaker corosync'
  section 'head -c 2000 /var/lib/pgha/*/*/*.json'
  section 'ls -la --time-style=full-iso /var/lib/postgresql/*/*/ /var/lib/postgresql/*/*/pg_wal'
  section 'for d in /var/lib/postgresql/*/*/; do LC_ALL=C /usr/lib/postgresql/*/bin/pg_controldata -D $d; done'
  section 'tail -n 2000 /var/log/postgresql/*/*'
  section 'journalctl --no-pager -o short-iso-precise -n 20000'
  section 'tail -n 4000 /var/log/pacemaker/pacemaker.log'
  true`;

/** To be called in a test: if it fails, every host that runs is asked, and what it says is put into .lab/failures/NAME. */
export function keepLogsOnFailure(lab: Lab, name: string): void {
  onTestFailed(async () => {
    console.log(`what the hosts said is kept in ${await keepLogs(lab, name)}`);
  }, 180_000);
}

async function keepLogs(lab: Lab, name: string): Promise<string> {
  const at = new Date().toISOString().replace(/[:.]/g, "-");
  const directory = join(import.meta.dirname, "../../.lab/failures", `${name}-${at}`);
  await mkdir(directory, { recursive: true });
  await Promise.all(
    lab.hosts.map(async (host) => {
      const said = await lab.insideHost(host.name, ["sh", "-c", telling], 150).then(
        ({ stdout, stderr }) => stdout + stderr,
        (error: Error) => `${host.name} does not answer: ${error.message}\n`,
      );
      await writeFile(join(directory, `${host.name}.log`), said);
    }),
  );
  return directory;
}
