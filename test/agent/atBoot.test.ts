import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { crmMon } from "../support/crmMon.ts";
import { limitMilliseconds } from "../support/helperProcess.ts";
import { journal } from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts, state, systemIdentifier, timeline } from "../support/pretendHosts.ts";
import { layPartialRecord, partialRecord } from "../support/walFile.ts";

/*
 * The host of a former primary boots: pg1, whose WAL ends at 1/30000D8 of timeline 3. pg2 was promoted meanwhile, where a test
 * does not say otherwise.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;
let pg3: PretendHost;

const limits = { timeout: limitMilliseconds * 2 };
const candidates = ["pg1", "pg2", "pg3"];
const hurried = { SEARCH_SECONDS: 0.5, SILENCE_SECONDS: 0.5, SEARCH_RETRY_SECONDS: 0.05, STREAM_SECONDS: 10 };

/** pg2 left timeline 3 at this position, and is primary. */
async function promotePg2(at: string): Promise<void> {
  pg2.layControl({ timeline: timeline + 1, state: state.inProduction });
  pg2.set("data/pg_wal/00000004.history", `1\t0/5000148\tx\n2\t0/6000000\tx\n3\t${at}\tx\n`);
  pg2.set("data/pg_wal/000000040000000100000003", "WAL");
  pg2.set("written", "00000004 1/3000200\n");
  await pg2.startPostmaster();
}

beforeEach(() => {
  [pg1, pg2, pg3] = [hosts.host("pg1"), hosts.host("pg2"), hosts.host("pg3")];
  for (const host of [pg1, pg2, pg3]) host.putUnderPacemaker(candidates, { mode: "quorum", k: 1 });
  pg1.mayComeBack();
  pg1.set("pacemaker", "inactive enabled\n");
  pg2.set("crm_mon.xml", crmMon({ roles: { pg2: "Promoted" } }));
  pg3.set("data/standby.signal");
  pg1.set("data/pg_wal/00000003.history", "1\t0/5000148\tx\n2\t0/6000000\tx\n");
  pg1.set("data/pg_wal/000000030000000100000003", "WAL");
  pg1.set(
    "last-record",
    "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 1/03000060, prev 1/03000028, desc: CHECKPOINT_SHUTDOWN\n",
  );
});

async function boot(): Promise<string> {
  const { code, stderr } = await pg1.helper(["return_at_boot", pg1.memberFile], hurried).exit;
  expect(code, stderr).toBe(0);
  return stderr.trim();
}

async function expectLeft(reason: string): Promise<void> {
  expect(await boot()).toBe(`pg1 does not come back by itself: ${reason}. \`pulumi up\` brings it back`);
  expectUntouched();
}

function expectUntouched(): void {
  expect([pg1.standbySignal, pg1.isRunning, pg1.calls()]).toEqual([false, false, []]);
  expect(pg1.trace().filter((line) => line.includes("pg_rewind"))).toEqual([]);
}

describe("a former primary", limits, () => {
  it("of which the promoted one has everything follows without a rewind", async () => {
    await promotePg2("1/30000D8");
    expect(await boot()).toMatch(/^pg1 was primary, follows pg2 without a rewind, \d+\.\d s after it began$/);
    expect([pg1.standbySignal, pg1.isRunning, pg1.isWritable]).toEqual([true, true, false]);
    expect(pg2.has("checkpointed")).toBe(false);
    expect(pg1.read("lock")).toMatchObject({ epoch: 1, holder: "" });
  });

  it("that wrote more keeps that aside first, and is rewound once the other has its timeline on disk", async () => {
    await promotePg2("1/3000060");
    expect(await boot()).toMatch(
      /^pg1 was primary, was rewound to 1\/3000060 and follows pg2, \d+\.\d s after it began; 0 transactions of its own, WAL from 1\/3000060 to 1\/30000D8 \(timeline 3\), are kept in \S+\/kept\/timeline-3-from-1-3000060-to-1-30000D8$/,
    );
    const kept = join(pg1.paths.kept, "timeline-3-from-1-3000060-to-1-30000D8");
    expect(readdirSync(kept).sort()).toEqual(["00000003.history", "000000030000000100000003", "README"]);
    expect(readFileSync(join(kept, "README"), "utf8")).toContain("of member pg1 of cluster orders, that no other");
    expect(pg2.has("checkpointed")).toBe(true);
    expect([pg1.standbySignal, pg1.isRunning, pg1.isWritable]).toEqual([true, true, false]);
    expect(pg1.read("marker")).toEqual({ systemIdentifier, state: "ready" });
    const order = pg1
      .trace()
      .filter((line) => /^(rename timeline-3|run \S+pg_rewind .*[^n]$|run systemctl start)/.test(line));
    expect(order.map((line) => line.split(" ").slice(0, 2).join(" ").replace(/\S+\//, ""))).toEqual([
      "rename timeline-3-from-1-3000060-to-1-30000D8",
      "run pg_rewind",
      "run systemctl",
    ]);
  });

  it("whose WAL ends within a record, where the promoted one left, is cut there and follows; what it had is kept aside", async () => {
    const { path, whole, cut } = layPartialRecord(pg1);
    await promotePg2(partialRecord.lsn);
    expect(await boot()).toMatch(
      /^pg1 was primary, follows pg2 without a rewind, \d+\.\d s after it began; what it had of an unfinished record, WAL from 1\/3FFA0D8 to 1\/4000000 \(timeline 3\), is kept in \S+\/kept\/timeline-3-from-1-3FFA0D8-to-1-4000000$/,
    );
    const kept = join(pg1.paths.kept, "timeline-3-from-1-3FFA0D8-to-1-4000000");
    expect(readdirSync(kept).sort()).toEqual(["00000003.history", partialRecord.file, "README"]);
    expect(readFileSync(join(kept, partialRecord.file)).equals(whole)).toBe(true);
    expect(readFileSync(path).equals(cut)).toBe(true);
    expect([pg1.standbySignal, pg1.isRunning, pg1.isWritable]).toEqual([true, true, false]);
  });

  it("is not cut where the promoted one has more of that timeline, and so the whole record", async () => {
    const { path, whole } = layPartialRecord(pg1);
    await promotePg2("1/40F0000");
    expect(await boot()).toMatch(/^pg1 was primary, follows pg2 without a rewind, \d+\.\d s after it began$/);
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  it("whose rewind breaks off stays down, and barred, for a clone", async () => {
    await promotePg2("1/3000060");
    pg1.set("data/rewind", "echo 'pg_rewind: error: the connection broke' >&2; exit 1\n");
    expect(await boot()).toMatch(
      /^pg1 does not come back by itself: pg_rewind: broken off: pg_rewind: error: the connection broke; /,
    );
    expect(pg1.read("marker")).toMatchObject({ state: "rewinding" });
    expect([pg1.standbySignal, pg1.isRunning]).toEqual([false, false]);
    expect(existsSync(pg1.paths.kept)).toBe(true);
  });

  it("is left to Pacemaker where nobody was promoted, at once where everybody says so", async () => {
    expect(await boot()).toBe("");
    expectUntouched();
    pg3.set("unreachable");
    expect(await boot()).toBe("");
    expectUntouched();
    expect(pg1.read("lock")).toBeUndefined();
  });

  it("is no business of a standby, nor where it is not declared", async () => {
    await promotePg2("1/30000D8");
    pg1.set("data/standby.signal");
    expect(await boot()).toBe("");
    expect([pg1.isRunning, pg1.calls()]).toEqual([false, []]);
  });
});

describe("nothing is touched", limits, () => {
  it("while somebody is at work on the cluster, here or where the primary is", async () => {
    await promotePg2("1/3000060");
    pg1.layLock();
    await expectLeft("anna@desk is at work on the cluster since then");
    pg1.layLock({ holder: "" });
    pg2.layLock();
    await expectLeft("pg2: anna@desk is at work on the cluster since then");
  });

  it("while a handover is not ended, and where Pacemaker runs already", async () => {
    await promotePg2("1/3000060");
    pg1.lay("journal", journal);
    await expectLeft(`the handover of epoch ${String(journal.epoch)} is not ended; \`pulumi up\` ends it`);
    pg1.set("pacemaker", "active enabled\n");
    await expectLeft("pacemaker.service runs already");
  });

  it("where the promoted one does not run, or Pacemaker's word is missing", async () => {
    await promotePg2("1/3000060");
    pg2.set("crm_mon.xml", crmMon({ quorate: false, roles: { pg2: "Promoted" } }));
    await expectLeft("pg2: Pacemaker has no quorum on this host: the others may promote another member");
    pg2.set("crm_mon.xml", crmMon({ roles: { pg3: "Promoted" } }));
    await expectLeft("pg2: Pacemaker has promoted pg3, and does not give this host the role");
    pg2.set("mute");
    await expectLeft("pg2 was promoted, and is no primary that answers");
  });

  it("where another one holds another database", async () => {
    await promotePg2("1/3000060");
    pg3.layControl({ systemIdentifier: "8" });
    await expectLeft("pg3 holds another database (system identifier 8)");
  });

  it("where its data is not complete", async () => {
    await promotePg2("1/3000060");
    pg1.lay("marker", { systemIdentifier, state: "rewinding" });
    await expectLeft("its data is not complete (rewinding)");
  });
});

describe("the way back", limits, () => {
  const own = {
    timeline: 3,
    past: [
      [1, "0/5000148"],
      [2, "0/6000000"],
    ],
    lsn: "1/30000D8",
    oldest: "0000000100000003",
    redo: "1/3000060",
    segmentBytes: 16 * 1024 ** 2,
    canBeRewound: true,
    keptBytes: 10 * 1024 ** 3,
    partialTo: null,
    postgresVersion: 17,
    restores: 0,
  };
  const source = { past: [...own.past, [3, "1/3000060"]], oldest: "0000000100000003" };
  const wayBack = async (mine: object, theirs: object = {}) =>
    (await hosts.evaluate([["way_back", { ...own, ...mine }, { ...source, ...theirs }, "pg2"]]))[0];

  it("is a rewind to where the promoted one left, and nothing where it has it all", async () => {
    expect(await wayBack({})).toEqual([null, "1/3000060"]);
    expect(await wayBack({ lsn: "1/3000060" })).toEqual([null, null]);
    expect(await wayBack({}, { past: [...source.past, [4, "1/4000000"]] })).toEqual([null, "1/3000060"]);
  });

  it("is known by histories alone: the same number with another beginning is another timeline", async () => {
    const nothing = ["its timelines have nothing in common with those of pg2", null];
    expect(await wayBack({ past: [own.past[0], [2, "0/6000100"]] })).toEqual(nothing);
    expect(await wayBack({ timeline: 4, past: source.past })).toEqual(nothing);
    expect(await wayBack({ past: [] })).toEqual(nothing);
    expect(await wayBack({}, { past: source.past.slice(1) })).toEqual([null, "1/3000060"]);
    expect(await wayBack({}, { past: source.past.slice(2) })).toEqual(nothing);
  });

  it("is left to `pulumi up` where only a clone would do", async () => {
    const gone = { oldest: "0000000100000004" };
    expect(await wayBack({}, gone)).toEqual(["pg2 no longer has the WAL that it needs, from 1/3000060 on", null]);
    expect(await wayBack({ lsn: "1/3000050" }, gone)).toEqual([
      "pg2 no longer has the WAL that it needs, from 1/3000050 on",
      null,
    ]);
    expect(await wayBack({ lsn: "1/3000050", restores: 1 }, gone)).toEqual([null, null]);
    expect(await wayBack({ postgresVersion: 16, redo: "1/2000028" })).toEqual([
      "pg2 no longer has the WAL that it needs, from 1/2000028 on",
      null,
    ]);
    expect(await wayBack({ postgresVersion: 17, redo: "1/2000028" })).toEqual([null, "1/3000060"]);
    expect(await wayBack(gone)).toEqual(["its own WAL at 1/3000060 is gone, which a rewind needs", null]);
    expect(await wayBack({ canBeRewound: false })).toEqual([
      "neither data checksums nor wal_log_hints are on, which a rewind needs",
      null,
    ]);
  });

  it("is left to `pulumi up` where it may take long, or what it wrote cannot be kept", async () => {
    expect(await wayBack({ lsn: "1/93000060" })).toEqual([
      "a rewind may take long: it wrote 2304 MB since the last common checkpoint",
      null,
    ]);
    expect(await wayBack({ keptBytes: 16 * 1024 ** 2 })).toEqual([
      "there is no room in /var/lib/pgha to keep aside the WAL that it wrote alone",
      null,
    ]);
  });
});
