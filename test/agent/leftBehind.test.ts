import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";
import { layPartialRecord, type PartialRecord, partialRecord } from "../support/walFile.ts";

/*
 * pg1 is a standby whose WAL ends within a record of timeline 3 that nobody will finish: another member was promoted where that
 * record begins, and pg1 knows of that one's timeline. Its PostgreSQL would ask for the rest of the record for ever.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let record: PartialRecord;

const limits = { timeout: limitMilliseconds * 2 };
const monitor = () => pg1.standInOfMonitor("pg_isready", "-h", "/var/run/postgresql", "-p", "5432").exit;
const fileNow = () => readFileSync(record.path);
const isCut = () => fileNow().equals(record.cut);

/** The next timeline left the third one here. */
function knowsOfNext(lsn: string): void {
  pg1.set("data/pg_wal/00000004.history", `1\t0/5000148\tx\n2\t0/6000000\tx\n3\t${lsn}\tx\n`);
}

beforeEach(() => {
  pg1 = hosts.host("pg1");
  pg1.putUnderPacemaker(["pg1", "pg2", "pg3"], { mode: "quorum", k: 1 });
  pg1.set("data/standby.signal");
  record = layPartialRecord(pg1);
  knowsOfNext(partialRecord.lsn);
  // As systemd does with a unit whose process ended, where nobody stopped it.
  pg1.set(
    "on-kill",
    `echo "$*" >> "$FAKE_ROOT/killed"; : > "$FAKE_ROOT/starting"; kill -QUIT "$pid"; rm -f "$FAKE_ROOT/started"
     while [ -n "$(tr -d '\\0' 2>/dev/null < "/proc/$pid/cmdline")" ]; do sleep 0.01; done
     rm "$FAKE_ROOT/postmaster"
     setsid "$FAKE_ROOT/unit" start > "$FAKE_ROOT/unit.log" 2>&1 < /dev/null &\n`,
  );
});

/** Its unit starts it, through the boot gate. */
async function start(): Promise<void> {
  pg1.startUnit();
  await expect.poll(() => pg1.isRunning, soon).toBe(true);
  await expect.poll(() => pg1.has("started"), soon).toBe(true);
}

describe("before its start", limits, () => {
  it("what it has of that record is kept aside and cut off", async () => {
    await start();
    expect(isCut()).toBe(true);
    const kept = join(pg1.paths.kept, "timeline-3-from-1-3FFA0D8-to-1-4000000");
    expect(readdirSync(kept).sort()).toEqual(["00000003.history", partialRecord.file, "00000004.history", "README"]);
    expect(readFileSync(join(kept, partialRecord.file)).equals(record.whole)).toBe(true);
    expect(pg1.get("unit.log")).toContain(
      "pg1: what it had of an unfinished record, WAL from 1/3FFA0D8 to 1/4000000 (timeline 3), is kept in ",
    );
  });

  it.each<[string, () => void]>([
    ["the next timeline has more of this one, and so the whole record", () => knowsOfNext("1/4000100")],
    ["it has a whole record that the next timeline lacks: those are data", () => knowsOfNext("1/3FFA060")],
    [
      "nobody was promoted, as far as it knows: whoever began the record may end it",
      () => pg1.unset("data/pg_wal/00000004.history"),
    ],
    [
      "the next timeline is of another history",
      () => pg1.set("data/pg_wal/00000004.history", `1\t0/5000148\tx\n2\t0/6000100\tx\n3\t${partialRecord.lsn}\tx\n`),
    ],
    ["it has WAL of the next timeline", () => pg1.layWal("000000040000000100000003")],
  ])("nothing is cut where %s", async (_, arrange) => {
    arrange();
    await start();
    expect(fileNow().equals(record.whole)).toBe(true);
    expect(existsSync(pg1.paths.kept)).toBe(false);
  });
});

describe("while it runs", limits, () => {
  beforeEach(async () => {
    pg1.unset("data/pg_wal/00000004.history");
    await start();
    knowsOfNext(partialRecord.lsn);
  });

  it("Pacemaker's monitor has it started again, once, and waits for it; its boot gate cuts the record off", async () => {
    expect(await monitor()).toEqual({ code: 0, stderr: "" });
    expect(pg1.get("killed")).toBe("kill --kill-who=main --signal=SIGINT pgha-orders-pg1.service\n");
    expect([pg1.isRunning, isCut()]).toEqual([true, true]);
    expect(await monitor()).toEqual({ code: 0, stderr: "" });
    expect(pg1.get("killed").trim().split("\n")).toHaveLength(1);
  });

  it("once in a boot for one record, also where it could not be cut off", async () => {
    pg1.set("on-kill", 'echo "$*" >> "$FAKE_ROOT/killed"\n');
    await monitor();
    await monitor();
    expect(pg1.get("killed").trim().split("\n")).toHaveLength(1);
  });

  it("not while an orchestrator is at work, who does it himself", async () => {
    pg1.layLock();
    await monitor();
    expect(pg1.has("killed")).toBe(false);
  });

  it("not where it streams what the next timeline has", async () => {
    pg1.layWal("000000040000000100000003");
    await monitor();
    expect(pg1.has("killed")).toBe(false);
  });

  it("not by what is asked for once: it may be an operator", async () => {
    await pg1.standIn("pg_isready", "-h", "/var/run/postgresql", "-p", "5432").exit;
    expect(pg1.has("killed")).toBe(false);
  });
});
