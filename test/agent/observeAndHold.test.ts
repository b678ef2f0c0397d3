import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { type AgentConversation, askAgent, converseWithAgent } from "../../cluster/agent.ts";
import { layHelper } from "../../cluster/helper.ts";
import type { RemoteHost } from "../../remote/host.ts";
import { bootId, bootSeconds, type Lock, lockText, scratchHost } from "../support/scratchHost.ts";

/*
 * The helper runs here as it runs on a host: sent over standard input to python3. Beside it a `systemctl` of ours, which
 * writes down what it was told, answers `show` with a file, and does what the test says for everything else.
 */
const scratch = scratchHost(["data/global"]);
const { at, program, unitIs } = scratch;
const unit = "pgha-orders-pg1.service";
beforeEach(() => {
  writeFileSync(at("data", "PG_VERSION"), "17\n");
  unitIs("active");
  program(
    "systemctl",
    `echo "$@" >> ${at("calls")}
     if [ "$1" = show ]; then cat ${at("unit")}; elif [ -e ${at("bin")}/on-"$1" ]; then . ${at("bin")}/on-"$1"; fi`,
  );
});

function lockIs(overrides: Partial<Lock> = {}): void {
  writeFileSync(at("lock.json"), lockText(overrides));
}

const limits = { limitSeconds: 20, purpose: "test the helper" };

function converse(verb: string, values: Record<string, string | number>): Promise<AgentConversation> {
  return converseWithAgent(scratch.host, verb, values, limits);
}

describe("observe", () => {
  const observe = (overrides: Record<string, string | readonly string[]> = {}) =>
    askAgent(
      scratch.host,
      "observe",
      {
        dataDirectory: at("data"),
        walDirectory: "",
        unit,
        files: [at("a.conf"), at("b.conf")],
        marker: at("marker.json"),
        journal: at("journal.json"),
        givenUp: at("given-up.json"),
        lock: at("lock.json"),
        programs: at("bin"),
        ticket: at("ticket.json"),
        switch: at("switch.json"),
        gateReason: at("gate"),
        channelKey: at("channel_key"),
        authorized: at("authorized"),
        ...overrides,
      },
      z.record(z.string(), z.unknown()),
      limits,
    );

  it("tells of a host that was never used", async () => {
    writeFileSync(at("unit"), "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n");
    const { freeBytes, walFreeBytes, now, ...rest } = await observe({ dataDirectory: at("none", "deeper", "still") });
    expect(rest).toEqual({
      marker: null,
      journal: null,
      givenUp: null,
      lock: { epoch: 0, holder: "", since: "", alive: false },
      ticket: null,
      switch: null,
      gate: null,
      channelKey: null,
      authorized: null,
      dataDirectory: "missing",
      dataToken: null,
      walDirectory: null,
      standbySignal: false,
      controlData: null,
      unit: "absent",
      unitEnabled: false,
      files: {},
      failoverManagers: [],
      pacemaker: null,
      rings: null,
      relaxed: {},
    });
    expect(walFreeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeGreaterThan(0);
    expect(Math.abs(Number(now) - Date.now() / 1000)).toBeLessThan(20);
  });

  it("tells everything of a member, each file as it is", async () => {
    const text = 'it\'s "x"\\ \t é 🐘\n\u0001end';
    writeFileSync(at("a.conf"), text);
    writeFileSync(at("marker.json"), '{"state":"ready"}');
    writeFileSync(at("journal.json"), '{"epoch":4}');
    writeFileSync(at("data", "standby.signal"), "");
    lockIs();
    program(
      "pg_controldata",
      `[ "$LC_ALL" = C ] && [ "$*" = "-D ${at("data")}" ] || exit 1
       echo 'Database system identifier:           7000000000000000001'
       echo 'Database cluster state:               in archive recovery'
       echo 'Latest checkpoint location:           1/3000060'
       echo "Latest checkpoint's TimeLineID:       3"
       echo "Min recovery ending loc's timeline:   4"
       echo 'Time of latest checkpoint:            Sun 01 Mar 2026 10:00:00'`,
    );
    expect(await observe()).toMatchObject({
      marker: '{"state":"ready"}',
      journal: '{"epoch":4}',
      lock: { epoch: 5, holder: "anna@desk", since: "then", alive: true },
      dataDirectory: "data",
      standbySignal: true,
      controlData: {
        systemIdentifier: "7000000000000000001",
        state: "in archive recovery",
        checkpointLsn: "1/3000060",
        timeline: 4,
      },
      unit: "active",
      unitEnabled: true,
      files: { [at("a.conf")]: text },
    });
  });

  it("tells where its timeline left the one before, by the history file of that timeline", async () => {
    const control = (timeline: number) =>
      program(
        "pg_controldata",
        `echo 'Database system identifier: 7'
         echo 'Database cluster state: shut down'
         echo 'Latest checkpoint location: 1/3000060'
         echo "Latest checkpoint's TimeLineID: ${timeline}"`,
      );
    control(1);
    expect(await observe()).toMatchObject({ controlData: { timeline: 1, began: null } });
    mkdirSync(at("data", "pg_wal"));
    const older = "1\t0/A01EF0\tno recovery target specified\n";
    writeFileSync(at("data", "pg_wal", "00000002.history"), older);
    writeFileSync(at("data", "pg_wal", "00000003.history"), `${older}\n2\t0/B000148\tby hand\n`);
    expect(await observe()).toMatchObject({
      controlData: { timeline: 3, began: { timeline: 2, endLsn: "0/B000148" } },
    });
    control(4);
    expect(await observe()).toMatchObject({ controlData: { timeline: 4, began: null } });
  });

  it("tells an empty directory from one that holds something else, and a failed unit from a running one", async () => {
    unitIs("failed");
    program("pg_controldata", "exit 1");
    mkdirSync(at("new"));
    mkdirSync(at("mounted", "lost+found"), { recursive: true });
    const kinds = await Promise.all(
      ["data", "new", "mounted", "unit"].map(
        async (name) => (await observe({ dataDirectory: at(name) })).dataDirectory,
      ),
    );
    expect(kinds).toEqual(["data", "empty", "foreign", "foreign"]);
    expect(await observe()).toMatchObject({ unit: "failed", controlData: null });
  });

  it("tells how much is free where pg_wal is, on a volume of its own too", async () => {
    expect(statfsSync(at()).blocks).not.toBe(statfsSync("/dev/shm").blocks);
    symlinkSync("/dev/shm", at("data", "pg_wal"));
    const { bavail, bsize } = statfsSync("/dev/shm");
    const { walFreeBytes, freeBytes } = await observe();
    expect(Math.abs(Number(walFreeBytes) - bavail * bsize)).toBeLessThan(2 ** 24);
    expect(freeBytes).not.toBe(walFreeBytes);
  });

  it("names the failover managers whose service runs", async () => {
    program(
      "systemctl",
      `shift 2
       for unit; do
         case $unit in
           ${unit}) cat ${at("unit")};;
           patroni.service|repmgrd.service) printf 'LoadState=loaded\\nActiveState=active\\n';;
           *) printf 'LoadState=not-found\\nActiveState=inactive\\n';;
         esac
         echo
       done`,
    );
    expect(await observe()).toMatchObject({ unit: "active", failoverManagers: ["patroni", "repmgrd"] });
  });

  it("tells what the directory for WAL holds, and where pg_wal leads", async () => {
    const walDirectory = at("wal", "pg1");
    const wal = async () => (await observe({ walDirectory })).walDirectory;
    const path = join(realpathSync(at()), "wal", "pg1");
    expect(await wal()).toEqual({ kind: "missing", token: null, path, pgWal: null });
    symlinkSync(walDirectory, at("data", "pg_wal"));
    expect(await wal()).toEqual({ kind: "missing", token: null, path, pgWal: path });
    mkdirSync(walDirectory, { recursive: true });
    expect(await wal()).toEqual({ kind: "empty", token: null, path, pgWal: path });
    writeFileSync(at("wal", "pg1", "000000010000000000000001"), "");
    expect(await wal()).toEqual({ kind: "foreign", token: null, path, pgWal: path });
    rmSync(at("data", "pg_wal"));
    mkdirSync(at("data", "pg_wal"));
    expect(await wal()).toMatchObject({ path, pgWal: join(realpathSync(at()), "data", "pg_wal") });
  });

  it.each(["", "garbage", "{}", "[]", '{"epoch": 5}'])("takes the damaged lock %j for none", async (text) => {
    writeFileSync(at("lock.json"), text);
    expect((await observe()).lock).toMatchObject({ holder: "", alive: false });
  });
});

describe("laying the host helper", () => {
  const text = () => readFileSync(at("agent.py"), "utf8");
  const laid = () => readdirSync(at()).filter((name) => name.startsWith("agent.py"));
  /** As root it would belong to root; here the new one is put beside the old by whoever tests. */
  const lay = (content: string) => {
    const writing: RemoteHost = {
      ...scratch.host,
      async must(command) {
        if (!command.purpose.startsWith("write ")) return scratch.host.must(command);
        writeFileSync(command.argv[4] ?? "", command.stdin ?? "");
        return "changed\n";
      },
    };
    return layHelper(writing, [{ path: at("agent.py"), content }], "orders-pg1", at("state"));
  };
  const locks = (orders: Partial<Lock>, sales: Partial<Lock>) => {
    for (const [cluster, lock] of Object.entries({ orders, sales })) {
      mkdirSync(at("state", cluster, "pg1"), { recursive: true });
      writeFileSync(at("state", cluster, "pg1", "lock.json"), lockText(lock));
    }
  };

  it("puts it there on a host without members, and in the place of an older one", async () => {
    await lay("old");
    expect(text()).toBe("old");
    locks({ holder: "" }, { renewedSecondsAgo: 31 });
    await lay("new");
    expect(text()).toBe("new");
    expect(laid()).toEqual(["agent.py"]);
  });

  it("leaves the old one while somebody holds a member there, of whichever cluster, and says who", async () => {
    await lay("old");
    locks({ holder: "" }, { renewedSecondsAgo: 28 });
    await expect(lay("new")).rejects.toThrow(
      "here: found anna@desk at work on pg1 of sales since then, expected nobody while the host helper is changed.\n  The helper was left as it is. Wait for that to end, then run this again; a dead one loses its hold after 30 s.",
    );
    expect(text()).toBe("old");
    expect(laid()).toEqual(["agent.py"]);
  });

  it("has nothing to wait for where the same one lies there", async () => {
    await lay("old");
    locks({}, {});
    await lay("old");
    expect(laid()).toEqual(["agent.py"]);
  });

  it("waits for whoever is in the middle of a piece under a member's guard", async () => {
    await lay("old");
    locks({ holder: "" }, { holder: "" });
    const guard = at("state", "orders", "pg1", "lock.json.guard");
    const holding = spawn("flock", [guard, "sh", "-c", "echo held; read line"], { stdio: ["pipe", "pipe", "inherit"] });
    await once(holding.stdout, "data");
    const holders = openedBy(guard);
    const laying = lay("new");
    await expect(Promise.race([laying, waitUntilOpenedBeside(holders, guard)])).resolves.toBe("opened");
    expect(text()).toBe("old");
    holding.stdin.end("\n");
    await laying;
    expect(text()).toBe("new");
  });
});

/** Who has this file open: process ids. */
function openedBy(path: string): string[] {
  const opens = (pid: string) => {
    try {
      const files = readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
      return files.includes(path);
    } catch {
      return false; // It has ended.
    }
  };
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && opens(name));
}

async function waitUntilOpenedBeside(holders: readonly string[], path: string): Promise<string> {
  await expect.poll(() => openedBy(path).some((pid) => !holders.includes(pid)), { timeout: 10_000 }).toBe(true);
  return "opened";
}

describe("hold", () => {
  const hold = (epoch: number, holder = "bert@laptop") =>
    converse("hold", { path: at("state", "lock.json"), epoch, holder, since: "now" });
  const file = () => JSON.parse(readFileSync(at("state", "lock.json"), "utf8")) as Record<string, unknown>;
  const lay = (overrides: Partial<Lock>) => {
    mkdirSync(at("state"));
    writeFileSync(at("state", "lock.json"), lockText(overrides));
  };

  it("takes a free lock, renews it, and gives it back", async () => {
    const conversation = await hold(1);
    expect(await conversation.answer(20)).toEqual({ result: "held" });
    const taken = file();
    expect(taken).toMatchObject({ epoch: 1, holder: "bert@laptop", since: "now", boot: bootId });
    conversation.say("renew");
    expect(await conversation.answer(20)).toEqual({ result: "renew" });
    expect(Number(file().renewed)).toBeGreaterThan(Number(taken.renewed));
    conversation.say("release");
    expect(await conversation.answer(20)).toEqual({ result: "release" });
    expect(file()).toMatchObject({ epoch: 1, holder: "" });
  });

  it("is not revived once it ran out: others may have acted on that", async () => {
    const conversation = await hold(1);
    expect(await conversation.answer(20)).toEqual({ result: "held" });
    writeFileSync(at("state", "lock.json"), lockText({ epoch: 1, holder: "bert@laptop", renewedSecondsAgo: 31 }));
    conversation.say("renew");
    expect(await conversation.answer(20)).toMatchObject({ result: "lost" });
    expect(Number(file().renewed)).toBeLessThan(bootSeconds() - 30);
  });

  it("is refused while another one is alive, whatever the epoch", async () => {
    lay({ renewedSecondsAgo: 28 });
    expect(await (await hold(99)).answer(20)).toEqual({
      result: "refused",
      epoch: 5,
      holder: "anna@desk",
      since: "then",
      alive: true,
    });
    expect(file().holder).toBe("anna@desk");
  });

  it.each<[string, Partial<Lock>]>([
    ["was not renewed for 30 s", { renewedSecondsAgo: 31 }],
    ["was given back", { holder: "" }],
    ["is from before the last boot", { boot: "another" }],
  ])("takes over one that %s, with a higher epoch only", async (_, overrides) => {
    lay(overrides);
    expect(await (await hold(5)).answer(20)).toMatchObject({ result: "refused", epoch: 5, alive: false });
    expect(await (await hold(6)).answer(20)).toEqual({ result: "held" });
    expect(file()).toMatchObject({ epoch: 6, holder: "bert@laptop" });
  });

  it("is held by one of two that come at once", async () => {
    const answers = await Promise.all([hold(1, "a"), hold(1, "b")].map(async (one) => (await one).answer(20)));
    expect(answers.map((answer) => answer.result).sort()).toEqual(["held", "refused"]);
  });

  it("says that it lost the lock to a higher epoch, and leaves that one alone", async () => {
    const conversation = await hold(1);
    await conversation.answer(20);
    writeFileSync(at("state", "lock.json"), lockText({ epoch: 2 }));
    conversation.say("renew");
    expect(await conversation.answer(20)).toEqual({ result: "lost" });
    expect(file()).toMatchObject({ epoch: 2, holder: "anna@desk" });
  });

  it("leaves the lock to run out when its orchestrator goes without a word", async () => {
    const conversation = await hold(1);
    await conversation.answer(20);
    conversation.end();
    await expect(conversation.answer(20)).rejects.toThrow("the hold helper ended without an answer");
    expect(file()).toMatchObject({ epoch: 1, holder: "bert@laptop" });
    expect(await (await hold(2)).answer(20)).toMatchObject({ result: "refused", alive: true });
  });
});
