import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { type PretendHost, pretendHosts, timeline } from "../support/pretendHosts.ts";

/*
 * What Pacemaker's agent PAF takes for PostgreSQL's programs, called as the agent calls it: the instance runs in its own unit,
 * boot gate included.
 */
const hosts = pretendHosts();
let pg1: PretendHost;

beforeEach(() => {
  pg1 = hosts.host("pg1");
});

const limits = { timeout: limitMilliseconds * 2 };
const link = ["--pgdata", "/var/lib/pgha/orders/data"];

/** As pg_control numbers them. */
const state = {
  shutDown: 1,
  shutDownInRecovery: 2,
  shuttingDown: 3,
  inCrashRecovery: 4,
  inArchiveRecovery: 5,
  inProduction: 6,
};

describe("the agent's pg_ctl", limits, () => {
  it("starts the unit, once it has failed too, and stops it through systemd: the next start has to prove its right", async () => {
    pg1.set("data/standby.signal");
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "--timeout", "120", "start").exit).toMatchObject({ code: 0 });
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    await expect.poll(() => pg1.has("started"), soon).toBe(true);
    expect(pg1.hasPass).toBe(true);
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "--timeout", "120", "-m", "fast", "stop").exit).toMatchObject({
      code: 0,
    });
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
    expect(pg1.hasPass).toBe(false);
  });

  it("does not start a primary that leaves its role to another member: the agent would wait for its recovery", async () => {
    pg1.yield();
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "--timeout", "60", "start").exit).toEqual({
      code: 1,
      stderr: "pg_ctl: it leaves the role to a member that can take over sooner than it has recovered\n",
    });
    pg1.set("data/standby.signal");
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "--timeout", "60", "start").exit).toMatchObject({ code: 0 });
  });

  it("promotes by an election", async () => {
    const [pg2, pg3] = [hosts.host("pg2"), hosts.host("pg3")];
    pg1.putUnderPacemaker(["pg1", "pg2", "pg3"], { mode: "quorum", k: 1 });
    for (const host of [pg1, pg2]) {
      host.set("data/standby.signal");
      host.set("received", "1/30000D8\n");
      await host.startPostmaster();
    }
    pg3.set("unreachable");
    pg2.set("received", "1/30000E0\n");
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "promote").exit).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("pg1 is not promoted: pg2 has WAL up to 1/30000E0"),
    });
    pg2.set("received", "1/30000D8\n");
    expect(await pg1.standIn("pg_ctl", ...link, "-w", "promote").exit).toMatchObject({ code: 0 });
    expect(pg1.isWritable).toBe(true);
    expect(pg1.timeline).toBe(timeline + 1);
  });

  it("does nothing that it does not know", async () => {
    expect(await pg1.standIn("pg_ctl", ...link, "initdb").exit).toEqual({
      code: 1,
      stderr: `pg_ctl: found ${[...link, "initdb"].join(" ")}, expected start, stop, status, promote or reload.\n`,
    });
    expect(pg1.calls()).toEqual([]);
  });
});

describe("the agent's pg_isready", limits, () => {
  const asked = () => pg1.trace().filter((line) => line === "run pg_isready").length;
  const words = ["-h", "/var/run/postgresql", "-p", "5432", "-t", "70"];
  const isReady = () => pg1.standIn("pg_isready", ...words).exit;

  it("answers at once where the member runs, and where nobody starts it", async () => {
    expect(await isReady()).toEqual({ code: 2, stderr: "" });
    await pg1.startPostmaster();
    expect(await isReady()).toEqual({ code: 0, stderr: "" });
    expect(asked()).toBe(2);
  });

  it("waits while systemd starts a member again whose process died", async () => {
    pg1.set("starting");
    const waiting = isReady();
    await expect.poll(asked, soon).toBeGreaterThan(2);
    await pg1.startPostmaster();
    pg1.unset("starting");
    expect(await waiting).toEqual({ code: 0, stderr: "" });
  });

  it("does not wait for one that leaves the role to a member that can take over sooner", async () => {
    pg1.set("starting");
    pg1.yield();
    expect(await pg1.standInOfMonitor("pg_isready", ...words).exit).toEqual({ code: 2, stderr: "" });
    expect(asked()).toBe(1);
  });

  it("ends a postmaster that lives and lets nobody in, and goes on once systemd has started it again", async () => {
    await pg1.startPostmaster();
    pg1.set("hung");
    pg1.set("on-kill", 'echo "$*" > "$FAKE_ROOT/killed"; rm "$FAKE_ROOT/hung"\n');
    expect(await pg1.standInOfMonitor("pg_isready", ...words).exit).toEqual({ code: 0, stderr: "" });
    expect(pg1.get("killed")).toBe("kill --kill-who=main --signal=SIGKILL pgha-orders-pg1.service\n");
    expect(pg1.get("logged")).toMatch(
      /^-t pgha -p daemon.err pg1 let nobody in for 5 s although its postmaster \(process \d+\) lives: it is killed, /,
    );
  });

  it("tells of it where it outlives even that, before the monitor's time is over", async () => {
    await pg1.startPostmaster();
    pg1.set("hung");
    pg1.set("on-kill", ":\n");
    expect(await pg1.standInOfMonitor("pg_isready", ...words).exit).toEqual({ code: 2, stderr: "" });
  });

  it("ends nothing when it is asked for once: it may be an operator, or a stop that is under way", async () => {
    await pg1.startPostmaster();
    pg1.set("hung");
    pg1.set("on-kill", 'touch "$FAKE_ROOT/killed"\n');
    expect(await isReady()).toEqual({ code: 2, stderr: "" });
    expect(pg1.has("killed")).toBe(false);
  });

  it("does not wait for ever: a member that stays at its boot gate is down", async () => {
    pg1.set("starting");
    expect(await isReady()).toEqual({ code: 2, stderr: "" });
    expect(asked()).toBeGreaterThan(2);
  });
});

describe("the agent's pg_controldata", limits, () => {
  async function seen(): Promise<string | undefined> {
    await pg1.standIn("pg_controldata", "-D", pg1.dataDirectory).exit;
    return /^Database cluster state: +(.*)$/m.exec(pg1.get("said"))?.[1];
  }

  it("tells a primary whose host lost its power as one that is stopped", async () => {
    pg1.layControl({ state: state.inProduction });
    expect(await seen()).toBe("in production"); // its process died in this boot
    pg1.reboot();
    expect(await seen()).toBe("shut down");
  });

  it("tells one that died in its crash recovery or shutdown as a primary that died, and once its host was off as one that is stopped", async () => {
    for (const number of [state.inCrashRecovery, state.shuttingDown]) {
      pg1.layControl({ state: number });
      expect(await seen()).toBe("in production");
    }
    pg1.reboot();
    for (const number of [state.inCrashRecovery, state.shuttingDown]) {
      pg1.layControl({ state: number });
      expect(await seen()).toBe("shut down");
    }
  });

  it("does so neither while it runs, nor where it was stopped in this boot and did not end as it should", async () => {
    pg1.reboot();
    await pg1.startPostmaster();
    expect(await seen()).toBe("in production");
    process.kill(Number(pg1.get("postmaster")), "SIGQUIT");
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
    pg1.unset("var/lib/pgha/orders/pg1/pass");
    expect(await seen()).toBe("in production");
  });

  it("tells a standby that does not run as one that is stopped", async () => {
    pg1.set("data/standby.signal");
    await pg1.startPostmaster();
    expect(await seen()).toBe("in archive recovery");
    process.kill(Number(pg1.get("postmaster")), "SIGQUIT");
    await expect.poll(() => pg1.isRunning, soon).toBe(false);
    expect(await seen()).toBe("shut down in recovery");
  });

  it("changes nothing else", async () => {
    pg1.reboot();
    for (const [number, text] of [
      [state.shutDown, "shut down"],
      [state.shutDownInRecovery, "shut down in recovery"],
    ] as const) {
      pg1.layControl({ state: number });
      expect(await seen()).toBe(text);
    }
  });
});
