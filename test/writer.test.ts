import { afterEach, describe, expect, it } from "vitest";
import { type Acknowledgement, findGaps, findLost, findTwoWriters } from "./support/acknowledgements.ts";
import type { ProbeServer } from "./support/dial.ts";
import { type FakePostgres, startFakePostgres } from "./support/fakePostgres.ts";
import { startWriter } from "./support/writer.ts";

const running: FakePostgres[] = [];

async function serve(options: { writable: boolean; rows?: Set<number> }): Promise<FakePostgres> {
  const fake = await startFakePostgres(options);
  running.push(fake);
  return fake;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((fake) => fake.stop()));
});

function listed(name: string, fake: FakePostgres): ProbeServer {
  return { name, address: "127.0.0.1", port: fake.port };
}

function row(number: number, server: string, timeline: number, sentAt: number): Acknowledgement {
  return { number, server, timeline, sentAt, acknowledgedAt: sentAt + 2 };
}

describe("what a record of acknowledgements proves", () => {
  it("the longest time between two answers is the gap, and it names the servers on both sides", () => {
    const rows = [row(1, "pg1", 1, 100), row(2, "pg1", 1, 105), row(3, "pg2", 2, 205), row(4, "pg2", 2, 210)];
    expect(findGaps(rows, 215, 50)).toEqual([{ milliseconds: 100, startedAt: 107, from: "pg1", to: "pg2" }]);
  });

  it("silence until the end counts too", () => {
    expect(findGaps([row(1, "pg1", 1, 100)], 602, 50)).toEqual([
      { milliseconds: 500, startedAt: 102, from: "pg1", to: undefined },
    ]);
  });

  it("a row that is not in the table is lost", () => {
    expect(findLost([row(1, "pg1", 1, 0), row(2, "pg1", 1, 5), row(3, "pg1", 1, 10)], [3, 1])).toEqual([2]);
  });

  it("a switchover there and back is no proof of two writers", () => {
    expect(findTwoWriters([row(1, "pg1", 1, 0), row(2, "pg2", 2, 5), row(3, "pg1", 3, 10)])).toEqual([]);
  });

  it("a server that writes on after another was promoted is", () => {
    expect(findTwoWriters([row(1, "pg1", 1, 0), row(2, "pg2", 2, 5), row(3, "pg1", 1, 10)])).toEqual([
      { server: "pg1", timeline: 1, sentAt: 10, otherServer: "pg2", otherTimeline: 2 },
    ]);
  });

  it("an old primary whose last answer comes late is no proof: its row was sent before", () => {
    const late = { ...row(1, "pg1", 1, 4), acknowledgedAt: 20 };
    expect(findTwoWriters([late, row(2, "pg2", 2, 5)])).toEqual([]);
  });
});

describe("the writer", () => {
  it("writes on the server that takes writes, though a standby stands first in the list", async () => {
    const standby = await serve({ writable: false });
    const primary = await serve({ writable: true });
    const servers = [listed("pg1", standby), listed("pg2", primary)];
    const writer = await startWriter({ servers, password: "x", limitSeconds: 20 });
    await writer.waitForAcknowledgement(5);
    const result = await writer.stop();
    expect(new Set(result.acknowledgements.map((one) => one.server))).toEqual(new Set(["pg2"]));
    expect(result.acknowledged).toBe(primary.rows.size);
    expect(standby.rows.size).toBe(0);
    expect(result.lost).toEqual([]);
  });

  it("goes on after a switchover, and measures the gap", async () => {
    const rows = new Set<number>();
    const old = await serve({ writable: true, rows });
    const target = await serve({ writable: false, rows });
    const writer = await startWriter({
      servers: [listed("pg1", old), listed("pg2", target)],
      password: "x",
      limitSeconds: 20,
    });
    await old.stop();
    await new Promise((resolve) => setTimeout(resolve, 150));
    target.timeline = 2;
    target.writable = true;
    await writer.waitForAcknowledgement(5);
    const result = await writer.stop();
    expect(result.maxGap).toMatchObject({ from: "pg1", to: "pg2" });
    expect(result.maxGap.milliseconds).toBeGreaterThan(140);
    expect(result.maxGap.milliseconds).toBeLessThan(1000);
    expect(Object.keys(result.errors).length).toBeGreaterThan(0);
    expect([result.lost, result.twoWritersAtOnce]).toEqual([[], []]);
  });

  it("reports a row that vanished from the table as lost", async () => {
    const primary = await serve({ writable: true });
    const writer = await startWriter({ servers: [listed("pg1", primary)], password: "x", limitSeconds: 20 });
    await writer.waitForAcknowledgement(5);
    primary.rows.delete(1);
    const result = await writer.stop();
    expect(result.lost).toEqual([1]);
  });

  it("sees two servers that both take writes, although its own list always leads to the first", async () => {
    const one = await serve({ writable: true });
    const other = await serve({ writable: true });
    const servers = [listed("pg1", one), listed("pg2", other)];
    const writer = await startWriter({ servers, password: "x", limitSeconds: 20, watchedServers: servers });
    while (other.rows.size < 2) await writer.waitForAcknowledgement(5);
    const result = await writer.stop();
    expect(result.twoWritersAtOnce.length).toBeGreaterThan(0);
    expect(result.lost.length).toBeGreaterThan(0);
  });

  it("gives a silent server up after the statement limit, and is not held up by a silent host in the list", async () => {
    const rows = new Set<number>();
    const stalled = await serve({ writable: true, rows });
    const target = await serve({ writable: false, rows });
    const servers = [listed("pg1", stalled), listed("pg2", target)];
    const writer = await startWriter({ servers, password: "x", limitSeconds: 20 });
    stalled.silent = true;
    target.writable = true;
    target.timeline = 2;
    await writer.waitForAcknowledgement(5);
    const result = await writer.stop();
    expect(result.maxGap.milliseconds).toBeGreaterThan(480);
    expect(result.maxGap.milliseconds).toBeLessThan(800);
    expect(result.errors).toEqual({ "pg1: no answer within 500 ms": 1 });
  });

  it("ends by itself when its time is over", async () => {
    const primary = await serve({ writable: true });
    const writer = await startWriter({ servers: [listed("pg1", primary)], password: "x", limitSeconds: 0.2 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = writer.acknowledged();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(writer.acknowledged()).toBe(before);
    expect((await writer.stop()).lost).toEqual([]);
  });

  it("says what it found when nobody takes writes", async () => {
    const standby = await serve({ writable: false });
    const starting = startWriter({
      servers: [listed("pg1", standby)],
      password: "x",
      limitSeconds: 20,
      firstRowLimitSeconds: 0.3,
    });
    await expect(starting).rejects.toThrow("writer: waited 0.3 s for an acknowledged row; last seen: pg1: read-only");
  });
});
