import { expect, test } from "vitest";
import type { Lab } from "../../lab/lab.ts";
import { waitFor } from "../../lab/shell.ts";
import { keepLogsOnFailure } from "../support/hostLogs.ts";
import { plain, scriptOnHost, sql } from "../support/labStack.ts";
import { names, setUpPacemakerCluster, waitUntilPromoted } from "../support/pacemaker.ts";
import {
  adoptPrimary,
  boardOrders,
  fencingOf,
  type Measured,
  ownersIn,
  seconds,
  serversIn,
  underWrites,
  waitForBoardOrders,
  waitUntilOnline,
} from "../support/pacemakerProof.ts";
import { expectExit, type TestCluster } from "../support/testCluster.ts";

/* A primary whose disk is full while its host lives; the tests go on from each other. */
let lab: Lab;
let cluster: TestCluster;

setUpPacemakerCluster(
  3,
  "disk",
  (opened) => {
    cluster = opened;
    lab = opened.lab;
  },
  { wish: { dataVolumeMegabytes: 500 } },
);

let primary = "pg1";

/** Under writes; resolves with who was promoted, once a row was acknowledged there. */
async function fillUntilReplaced(context: Measured, fillIt: (member: string) => Promise<unknown>): Promise<string> {
  const [asked = ""] = others(primary);
  let promoted = "";
  const verdict = await underWrites(cluster, context, async ({ writer }) => {
    await fillIt(primary);
    const since = Date.now();
    promoted = await waitUntilPromoted(lab, asked, primary, 240);
    await writer.waitForAcknowledgement(60);
    context.task.meta.measured = `${promoted} promoted ${seconds(Date.now() - since)} after the last page`;
  });
  expect(serversIn(verdict)).toEqual([primary, promoted]);
  expect(ownersIn(verdict)).toEqual([primary, promoted]);
  expect(await fencingOf(lab, promoted, primary)).toBe("success");
  return promoted;
}

const others = (member: string) => lab.hosts.map(({ name }) => name).filter((name) => name !== member);

/** Its host is back, and its disk as full as before; then there is room. */
async function comesBackWithRoom(member: string, promoted: string): Promise<void> {
  await lab.start(member);
  await waitUntilOnline(lab, promoted, ["pg1", "pg2", "pg3"], 90);
  await cluster.declare("primary", promoted);
  const full = await cluster.stack.preview();
  expectExit(full, 0);
  expect(plain(full.output)).toContain(`${member}: less than 64 MB free at /var/lib/postgresql`);
  await scriptOnHost(lab, member, `rm ${ballast} ${ballast}-rest`);
  await adoptPrimary(cluster, promoted);
}

test("a primary whose disk is full is fenced once, another member is promoted, and it comes back by `up` when there is room", async (context) => {
  keepLogsOnFailure(lab, "disk");
  const before = await boardOrders(lab, primary);
  const promoted = await fillUntilReplaced(context, fillDisk);
  await comesBackWithRoom(primary, promoted);
  await waitForBoardOrders(lab, primary, [...before, "ForceOff", "On"]);
  primary = promoted;
});

test("standbys that have received the begin of the record that the full disk cut, too: they are started again without it, and commits go on", async (context) => {
  keepLogsOnFailure(lab, "disk-standbys");
  const promoted = await fillUntilReplaced(context, fillDiskUnderStandbys);
  const [left = ""] = others(primary).filter((name) => name !== promoted);
  const journal = await scriptOnHost(lab, left, "journalctl --boot --output=cat --identifier=pgha --no-pager");
  console.log(journal);
  expect(journal).toMatch(
    new RegExp(
      `${left} asks in vain for the rest of a record, begun at \\S+, where timeline \\d+ was left: it is started again`,
    ),
  );
  expect(journal).toMatch(
    new RegExp(`${left}: what it had of an unfinished record, WAL from \\S+ to \\S+ \\(timeline \\d+\\), is kept in `),
  );
  await comesBackWithRoom(primary, promoted);
  primary = promoted;
});

const ballast = "/var/lib/postgresql/ballast";

/** Nothing is left for tables, and then for WAL, of which `$message` writes so much. */
const fill = (recordBytes: number) => `free=$(df --output=avail --block-size=1 /var/lib/postgresql | tail -n 1)
  fallocate -l $((free - 4194304)) ${ballast}
  dd if=/dev/zero of=${ballast}-rest bs=64k 2>/dev/null || true
  sync ${ballast}-rest
  cd /
  postmaster=$(head -1 ${names.dataLink}/postmaster.pid)
  message="select pg_logical_emit_message(false, 'full', repeat('x', ${recordBytes}));"`;

/** PostgreSQL cannot go on, nor recover. Returns when it has stopped. */
function fillDisk(member: string): Promise<unknown> {
  return scriptOnHost(
    lab,
    member,
    `${fill(900_000)}
     while kill -0 $postmaster 2>/dev/null && timeout 10 runuser -u postgres -- psql --no-psqlrc -qAtc "$message" >/dev/null 2>&1; do :; done`,
    120,
  );
}

/**
 * The same, where the standbys receive what there is of the last record: it is longer than the WAL buffers (1 MB), so that its
 * begin is on the disk before its end, and the postmaster stands still meanwhile, so that a session that fails takes nobody along.
 */
async function fillDiskUnderStandbys(member: string): Promise<void> {
  await scriptOnHost(
    lab,
    member,
    `${fill(12_000_000)}
     { echo "\\\\! kill -STOP $postmaster"; for _ in $(seq 20); do echo "$message"; done; } |
       timeout 60 runuser -u postgres -- psql --no-psqlrc -qAt -v ON_ERROR_STOP=1 >/dev/null 2>&1 || true`,
    120,
  );
  const atSegment =
    "select (pg_last_wal_receive_lsn() - '0/0') % 1048576 = 0 and pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()";
  await waitFor(
    "every standby to have received WAL up to the end of a file, and a part of a record with it",
    30,
    async () => {
      const found = await Promise.all(others(member).map((standby) => sql(lab, standby, atSegment)));
      return found.every((one) => one === "t") || undefined;
    },
  );
  // Pacemaker's monitor may have ended it meanwhile.
  await scriptOnHost(lab, member, `kill -CONT $(head -1 ${names.dataLink}/postmaster.pid) || true`);
}
