import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClusterAccess, MemberAccess } from "../cluster/access.ts";
import { writeJournal } from "../cluster/journal.ts";
import type { FailoverManager } from "../cluster/managers/manager.ts";
import { noManager } from "../cluster/managers/none.ts";
import type { Reporter } from "../cluster/reporter.ts";
import { underLock } from "../cluster/underLock.ts";
import { memberPaths } from "../model/names.ts";
import { Unreachable } from "../remote/errors.ts";
import type { RemoteHost } from "../remote/host.ts";
import { createLocalHost } from "./support/localAgentHost.ts";
import { group } from "./support/shapes.ts";

/* Three members, each with a directory of its own here; the helper runs as on a host, PostgreSQL runs nowhere. */
let directory: string;
let access: ClusterAccess;
/** How often a member's host refuses before it can be reached. */
let refusals: Record<string, number>;

/** The interpreter itself: a version manager's wrapper in front of it takes longer than the helper. */
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

const names = ["pg1", "pg2", "pg3"];
const lockFile = (member: string) => join(directory, member, "lock.json");
const silent: Reporter = {
  progress: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  cancelled: new AbortController().signal,
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pgha-lock-"));
  mkdirSync(join(directory, "bin"));
  symlinkSync(python, join(directory, "bin", "python3"));
  writeFileSync(join(directory, "bin", "systemctl"), "#!/bin/sh\necho LoadState=not-found\n");
  chmodSync(join(directory, "bin", "systemctl"), 0o755);
  refusals = {};
  const declared = group();
  const members = declared.members.map((declaration): MemberAccess => {
    const { name } = declaration;
    const at = (file: string) => join(directory, name, file);
    const paths = {
      ...memberPaths("orders", name),
      lock: at("lock.json"),
      marker: at("marker"),
      journal: at("journal"),
    };
    return {
      declaration: { ...declaration, dataDirectory: at("data") },
      name,
      host: hostOf(name),
      paths,
      programs: directory,
      manager: noManager,
      connect: () => Promise.reject(new Error("no PostgreSQL here")),
    };
  });
  const member = (name: string) => members.find((one) => one.name === name) as MemberAccess;
  access = { group: declared, members, manager: noManager, member };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function hostOf(name: string): RemoteHost {
  const real = createLocalHost(join(directory, "bin"));
  return {
    ...real,
    name,
    must(command) {
      const left = refusals[name] ?? 0;
      if (left === 0) return real.must(command);
      refusals[name] = left - 1;
      return Promise.reject(new Unreachable(name, `${name}: no answer within 8 s`));
    },
  };
}

/** "1 held" or "1 free" of every member. */
function locks(): string[] {
  return names.map((name) => {
    const { epoch, holder } = JSON.parse(readFileSync(lockFile(name), "utf8")) as { epoch: number; holder: string };
    return `${epoch} ${holder === "" ? "free" : "held"}`;
  });
}

function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    (result) => `no refusal: ${String(result)}`,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe("the lock of a cluster", { timeout: 30_000 }, () => {
  it("is held on every member while the work runs, with one epoch, and free afterwards", async () => {
    const during = await underLock(access, silent, async (lock, observations) => {
      expect(observations.map((seen) => `${seen.member} ${seen.reached}`)).toEqual([
        "pg1 true",
        "pg2 true",
        "pg3 true",
      ]);
      lock.assertHeld();
      return [lock.epoch, ...locks()];
    });
    expect(during).toEqual([1, "1 held", "1 held", "1 held"]);
    expect(locks()).toEqual(["1 free", "1 free", "1 free"]);
  });

  it("is free again when the work fails, and the work's error is what is told", async () => {
    const failed = refusal(underLock(access, silent, () => Promise.reject(new Error("the clone failed"))));
    expect(await failed).toBe("the clone failed");
    expect(locks()).toEqual(["1 free", "1 free", "1 free"]);
  });

  describe("with a failover manager that stands back", () => {
    const standing = (resume: FailoverManager["resume"]): ClusterAccess => ({
      ...access,
      manager: {
        startsMembers: true,
        standBack: () => Promise.resolve(),
        standsBack: () => true,
        acts: () => false,
        resume,
      },
    });

    it("lets him manage again while the members are still held, by what they say then", async () => {
      const heard: string[] = [];
      const resume: FailoverManager["resume"] = async (seen) => {
        heard.push(`resumed by ${seen.length}`, ...locks());
      };
      await underLock(standing(resume), silent, async () => heard.push("worked"));
      expect(heard).toEqual(["worked", "resumed by 3", "1 held", "1 held", "1 held"]);
    });

    it("waits for what he began, and works by what the members say then", async () => {
      const heard: string[] = [];
      const acting = standing(async () => undefined);
      const manager: FailoverManager = {
        ...acting.manager,
        acts: () => true,
        async standBack() {
          heard.push("stands back");
          mkdirSync(join(directory, "pg2", "data"));
        },
      };
      await underLock({ ...acting, manager }, silent, async (_lock, observations) => {
        heard.push(...observations.map((seen) => (seen.reached ? seen.local.dataDirectory : "unreachable")));
      });
      expect(heard).toEqual(["stands back", "missing", "empty", "missing"]);
    });

    it("lets him manage again after work that failed, and tells why the work failed; that he cannot is a warning", async () => {
      const warnings: string[] = [];
      const reporter = { ...silent, warn: (text: string) => warnings.push(text) };
      const work = () => Promise.reject(new Error("the clone failed"));
      const refused = standing(() => Promise.reject(new Error("Pacemaker would promote pg3")));
      expect(await refusal(underLock(refused, reporter, work))).toBe("the clone failed");
      expect(warnings).toEqual(["Pacemaker would promote pg3"]);
      expect(locks()).toEqual(["1 free", "1 free", "1 free"]);
    });

    it("fails when he cannot manage again after work that was done", async () => {
      const refused = standing(() => Promise.reject(new Error("Pacemaker would promote pg3")));
      expect(await refusal(underLock(refused, silent, async () => "done"))).toBe("Pacemaker would promote pg3");
    });
  });

  it("goes to exactly one of two that come at once; the other says who holds it, since when, and touches nothing", async () => {
    for (let round = 1; round <= 3; round++) {
      const refused: Promise<string>[] = [];
      let worked = 0;
      const work = async () => {
        worked++;
        // Until the other one was told: so he cannot come afterwards instead of meanwhile.
        await Promise.race(
          refused.map((one) => one.then((text) => text.startsWith("orders:") || new Promise(() => {}))),
        );
      };
      refused.push(refusal(underLock(access, silent, work)), refusal(underLock(access, silent, work)));
      const told = await Promise.all(refused);
      expect(worked).toBe(1);
      expect(told.filter((text) => text === "no refusal: undefined")).toHaveLength(1);
      expect(told.find((text) => text !== "no refusal: undefined")).toMatch(
        /^orders: \S+@\S+, pid \d+ holds the cluster since \d{4}-\d\d-\d\dT[\d:.]+Z \(seen on pg1\)\.\n {2}Nothing was touched\. Wait for it to end, then run this again; a dead one loses its hold after 30 s\.$/,
      );
      expect(locks()).toEqual([`${round} free`, `${round} free`, `${round} free`]);
    }
  });

  it("names the switchover that may still run when a journal lies there", async () => {
    await underLock(access, silent, async () => {
      const journal = { operation: "switchover", from: "pg1", to: "pg2", epoch: 1, systemIdentifier: "7", timeline: 1 };
      writeFileSync(
        join(directory, "pg2", "journal"),
        JSON.stringify({ ...journal, startedAt: "2026-01-02T03:04:05Z", holder: "root@deploy, pid 7" }),
      );
      expect(await refusal(underLock(access, silent, async () => "worked"))).toMatch(
        /holds the cluster since \S+ \(seen on pg1\): the switchover pg1 -> pg2 may still run\.\n/,
      );
    });
  });

  it("has a higher epoch than any member that still has one: after an erasure of some, the others go on", async () => {
    await underLock(access, silent, async () => undefined);
    await underLock(access, silent, async () => undefined);
    rmSync(join(directory, "pg1"), { recursive: true });
    await underLock(access, silent, async () => undefined);
    expect(locks()).toEqual(["3 free", "3 free", "3 free"]);
  });

  it("leaves a member alone that cannot be reached", async () => {
    refusals = { pg3: 9 };
    await underLock(access, silent, async (lock) => expect([...lock.members]).toEqual(["pg1", "pg2"]));
  });

  it("is given back when a member comes back meanwhile that is not locked", async () => {
    refusals = { pg3: 1 };
    expect(await refusal(underLock(access, silent, async () => "worked"))).toBe(
      "orders: pg3 came back while the others were being locked.\n  Nothing was touched. Run this again.",
    );
    rmSync(join(directory, "pg3"), { recursive: true, force: true });
    refusals = { pg3: 9 };
    await underLock(access, silent, async (lock) => expect(lock.epoch).toBe(2));
  });

  it("is what an order needs: carried out under the hold, refused after it, and told who has taken over", async () => {
    const pg1 = access.member("pg1");
    const journal = {
      ...{ operation: "switchover" as const, from: "pg1", to: "pg2", epoch: 1, timeline: 1 },
      ...{ systemIdentifier: "7", startedAt: "then", holder: "anna@desk" },
    };
    const write = () => refusal(writeJournal([pg1], journal, { epoch: 1 }));
    const onward = "\n  Run pulumi again: it goes on from what it finds.";
    await underLock(access, silent, async () => expect(await write()).toBe("no refusal: undefined"));
    expect(JSON.parse(readFileSync(pg1.paths.journal, "utf8"))).toEqual(journal);
    rmSync(pg1.paths.journal);
    expect(await write()).toBe(`could not write the journal of pg1: the lock ran out.${onward}`);
    await underLock(access, silent, async () =>
      expect(await write()).toMatch(
        /^could not write the journal of pg1: \S+@\S+, pid \d+ holds the cluster since [\d:.TZ-]+\.\n {2}Run pulumi again: it goes on from what it finds\.$/,
      ),
    );
    expect(existsSync(pg1.paths.journal)).toBe(false);
  });
});
