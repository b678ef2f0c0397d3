import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { crmMon } from "../support/crmMon.ts";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { epoch, journal, ticketRecord } from "../support/pretendHandover.ts";
import { type PretendHost, pretendHosts, systemIdentifier, timeline } from "../support/pretendHosts.ts";

/*
 * Pacemaker orders a promotion: it happens where no acknowledged row can be missing, by the positions of enough candidates,
 * asked over the hosts' own channel. pg1 was the primary.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;
let pg3: PretendHost;

const limits = { timeout: limitMilliseconds * 2 };
const candidates = ["pg1", "pg2", "pg3"];
const anyOne = { mode: "quorum", k: 1 };
const off = { mode: "off", k: 0 };
/** So that a refusal does not take the time that is given on real hosts. */
const hurried = { ELECTION_SECONDS: 4, AHEAD_SECONDS: 1, ELECTION_RETRY_SECONDS: 0.1 };
/** The same, with time for an answer. */
const patient = { ...hurried, ELECTION_SECONDS: 5 };

async function runStandby(host: PretendHost, received: string): Promise<void> {
  host.set("data/standby.signal");
  host.set("received", `${received}\n`);
  await host.startPostmaster();
}

/** A stopped member whose disk ends with a record from 1/3000060 to 1/30000D8. */
function layStopped(host: PretendHost, standby: boolean): void {
  if (standby) host.set("data/standby.signal");
  host.set("data/pg_wal/000000030000000100000003", "WAL");
  host.set(
    "last-record",
    "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 1/03000060, prev 1/03000028, desc: CHECKPOINT_SHUTDOWN\n",
  );
}

beforeEach(async () => {
  [pg1, pg2, pg3] = [hosts.host("pg1"), hosts.host("pg2"), hosts.host("pg3")];
  pg2.putUnderPacemaker(candidates, anyOne);
  pg1.set("unreachable");
  await Promise.all([runStandby(pg2, "1/30000D8"), runStandby(pg3, "1/30000D8")]);
});

const elect = (constants: object = {}) => pg2.helper(["elect", pg2.memberFile], { ...constants });

async function expectPromoted(constants: object = {}): Promise<void> {
  pg2.unset("var/lib/pgha/orders/pg2/pass");
  const { code, stderr } = await elect(constants).exit;
  expect(stderr).toBe("pg2 was promoted\n");
  expect(code).toBe(0);
  expect(pg2.isWritable).toBe(true);
  expect(pg2.timeline).toBe(timeline + 1);
  expect(pg2.hasPass).toBe(true);
}

async function expectRefused(reason: string, constants: object = hurried): Promise<void> {
  pg2.unset("var/lib/pgha/orders/pg2/pass");
  expect(await elect(constants).exit).toEqual({ code: 1, stderr: `pg2 is not promoted: ${reason}\n` });
  expect(pg2.isWritable).toBe(false);
  expect(pg2.hasPass).toBe(false);
  expect(pg2.trace()).not.toContain("signal SIGUSR1");
}

const gone = "ssh: connect to host 203.0.113.11 port 22: No route to host";

describe("a standby is promoted", limits, () => {
  it("when enough positions are known, and nobody is ahead: the dead primary is not waited for", async () => {
    await expectPromoted();
  });

  it("by the position of a standby that is stopped, from its disk", async () => {
    process.kill(Number(pg3.get("postmaster")), "SIGINT");
    await expect.poll(() => pg3.isRunning, soon).toBe(false);
    layStopped(pg3, true);
    await expectPromoted();
  });

  it("alone, where every commit waits for all standbys", async () => {
    pg2.putUnderPacemaker(candidates, { mode: "priority", k: 2 });
    pg3.set("unreachable");
    await expectPromoted();
  });

  it("once one that could not be reached answers", async () => {
    pg3.set("unreachable");
    const election = elect();
    await expect.poll(() => pg2.trace().filter((line) => line.startsWith("run ssh")).length, soon).toBeGreaterThan(2);
    expect(pg2.isWritable).toBe(false);
    pg3.unset("unreachable");
    expect((await election.exit).code).toBe(0);
    expect(pg2.isWritable).toBe(true);
  });

  it("once the WAL that was under way has arrived", async () => {
    pg2.set("received", "1/30000D0\n");
    const election = elect();
    await expect.poll(() => pg2.trace().filter((line) => line.includes("psql")).length, soon).toBeGreaterThan(2);
    expect(pg2.isWritable).toBe(false);
    pg2.set("received", "1/30000D8\n");
    expect((await election.exit).code).toBe(0);
  });

  it("once whoever was at work on the cluster has let go of it", async () => {
    pg2.layLock();
    const election = elect();
    await expect.poll(() => pg2.trace().filter((line) => line.startsWith("run ssh")).length, soon).toBeGreaterThan(2);
    expect(pg2.isWritable).toBe(false);
    pg2.layLock({ holder: "" });
    expect((await election.exit).code).toBe(0);
    expect(pg2.isWritable).toBe(true);
  });

  it("where it is the only member", async () => {
    pg2.putUnderPacemaker(["pg2"], { mode: "quorum", k: 1 });
    pg2.removePeer("pg1");
    pg2.removePeer("pg3");
    pg2.set("received", "\n");
    await expectPromoted();
  });

  it("without a synchronous rule, by those that can be asked", async () => {
    pg2.putUnderPacemaker(candidates, off);
    pg3.set("unreachable");
    await expectPromoted();
  });

  describe("without a synchronous rule, with a quorum device,", () => {
    beforeEach(() => {
      pg2.putUnderPacemaker(candidates, off);
      pg2.set("crm_mon.xml", crmMon({}));
      pg3.set("unreachable");
    });

    it("where Corosync has seen more than half of the nodes since it started", async () => {
      pg2.hasSeen(["pg1", "pg2"], { device: true });
      await expectPromoted();
    });

    it("where every candidate says what it has", async () => {
      pg2.putUnderPacemaker(["pg2", "pg3"], off);
      pg2.hasSeen(["pg2"], { device: true });
      pg3.unset("unreachable");
      await expectPromoted();
    });

    it("where another node is there, and its Pacemaker takes part", async () => {
      pg2.hasSeen(["pg1", "pg2"], { device: true, joined: ["pg1", "pg2"] });
      await expectPromoted();
    });

    it("where an operator accepts the loss", async () => {
      pg2.hasSeen(["pg2"], { device: true });
      pg2.set("crm_mon.xml", crmMon({}).replace('name="other"', 'name="pgha-orders-accept-loss"'));
      await expectPromoted();
    });
  });

  it("by the rule for synchronous commit, whomever Corosync has seen: nobody else acknowledged a row alone", async () => {
    pg2.hasSeen(["pg2"], { device: true });
    await expectPromoted();
  });

  it("and what its host once refused is told no longer", async () => {
    await expectPromoted();
    expect(pg2.trace()).toContain("run attrd_updater --name pgha-orders-refused --delete");
  });
});

describe("a standby is not promoted", limits, () => {
  it("when another candidate has more: who, and how much", async () => {
    pg3.set("received", "1/30000E0\n");
    const reason = "pg3 has WAL up to 1/30000E0 of timeline 3, this member up to 1/30000D8 of timeline 3";
    await expectRefused(reason, patient);
    pg2.putUnderPacemaker(candidates, off);
    await expectRefusedAgain(reason);
  });

  it("when the newest standby is stopped: the hole that an election among the running ones has", async () => {
    pg2.set("received", "1/30000D0\n");
    process.kill(Number(pg3.get("postmaster")), "SIGINT");
    await expect.poll(() => pg3.isRunning, soon).toBe(false);
    layStopped(pg3, true);
    await expectRefused("pg3 has WAL up to 1/30000D8 of timeline 3, this member up to 1/30000D0 of timeline 3");
  });

  it("when too few positions are known: whose are missing", async () => {
    pg3.set("unreachable");
    const missing = "ssh: connect to host 203.0.113.13 port 22: No route to host";
    await expectRefused(
      `an acknowledged row may be missing here: of 3 candidates the positions of 2 have to be known, and 1 are (pg1: ${gone}; pg3: ${missing})`,
    );
  });

  it("when the other position is one that nobody can read", async () => {
    process.kill(Number(pg3.get("postmaster")), "SIGINT");
    await expect.poll(() => pg3.isRunning, soon).toBe(false);
    await expectRefused(
      `an acknowledged row may be missing here: of 3 candidates the positions of 2 have to be known, and 1 are (pg1: ${gone}; pg3: the end of its WAL cannot be read)`,
    );
  });

  it("by a quorum device's vote, after a boot in which Corosync has seen no other node: one of them may have been primary", async () => {
    pg2.putUnderPacemaker(candidates, off);
    pg2.set("crm_mon.xml", crmMon({}));
    pg2.hasSeen(["pg2"], { device: true });
    pg3.set("unreachable");
    const reason =
      "pg1 or pg3 may have been primary while this host was off, with rows that are missing here: Corosync has quorum by the" +
      " quorum device's vote, and pg1 or pg3 took no part since it started here. Start pg1 or pg3. If it is lost for good, and its" +
      " rows with it: `attrd_updater --node pg2 --name pgha-orders-accept-loss --update yes`";
    await expectRefused(reason, patient);
    expect(pg2.trace()).toContain(`run attrd_updater --name pgha-orders-refused --update ${reason}`);
    pg2.hasSeen(["pg1", "pg2"], { device: true, joined: ["pg1", "pg2"] });
    pg2.set("crm_mon.xml", crmMon({}).replace('online="true"', 'online="true" pending="true"'));
    await expectRefusedAgain(reason);
    pg2.unset("cmap");
    await expectRefusedAgain("Corosync on this host does not answer");
  });

  it("nor where the other one was the last primary, is stopped, and has more", async () => {
    pg2.putUnderPacemaker(["pg2", "pg3"], off);
    pg2.set("crm_mon.xml", crmMon({}));
    pg2.hasSeen(["pg2"], { device: true });
    pg2.set("received", "1/30000D0\n");
    process.kill(Number(pg3.get("postmaster")), "SIGINT");
    await expect.poll(() => pg3.isRunning, soon).toBe(false);
    pg3.unset("data/standby.signal");
    layStopped(pg3, false);
    const { code, stderr } = await elect(patient).exit;
    expect(stderr).toContain("pg2 is not promoted: pg1 or pg3 may have been primary while this host was off");
    expect(code).toBe(1);
  });

  it("nor by what is seen after Pacemaker gave the order", async () => {
    pg2.putUnderPacemaker(candidates, off);
    pg2.set("crm_mon.xml", crmMon({}));
    pg2.hasSeen(["pg2"], { device: true });
    pg3.set("unreachable");
    const election = elect(patient);
    await expect
      .poll(() => pg2.trace().filter((line) => line === "run crm_mon --one-shot --output-as=xml").length, soon)
      .toBeGreaterThan(1);
    pg2.hasSeen(candidates, { device: true });
    expect((await election.exit).code).toBe(1);
    expect(pg2.isWritable).toBe(false);
  });

  it("under the agent pgsql neither, which lets commits go on without the standby", async () => {
    pg2.putUnderPgsql("sync");
    const record = (node: string, text: string) =>
      `<node id="${node.slice(2)}" uname="${node}"><instance_attributes id="nodes-${node}"><nvpair id="${node}-1" name="pgha-orders-data-status" value="${text}"/></instance_attributes></node>`;
    const records = record("pg1", "DISCONNECT") + record("pg2", "STREAMING|SYNC");
    const nodes = '<node name="pg1" id="1" online="false" unclean="false" pending="false"/>';
    const quorate = '<current_dc present="true" name="pg2" id="2" with_quorum="true"/>';
    pg2.set("crm_mon.xml", `${quorate}<nodes>${nodes}</nodes>`);
    pg2.set("cib.xml", `<nodes>${records}</nodes>`);
    pg2.hasSeen(["pg2"], { device: true });
    const { code, stderr } = await elect(patient).exit;
    expect(stderr).toContain("pg2 is not promoted: pg1 or pg3 may have been primary while this host was off");
    expect(code).toBe(1);
    expect(pg2.isWritable).toBe(false);
  });

  it("while it is still replaying what it has itself", async () => {
    pg2.set("received", "\n");
    await expectRefused("it is still replaying what it has itself");
  });

  it("while another member runs as a primary", async () => {
    pg1.unset("unreachable");
    await pg1.startPostmaster();
    await expectRefused("pg1 runs as a primary");
  });

  it("when another member, candidate or not, was promoted meanwhile", async () => {
    pg2.putUnderPacemaker(["pg1", "pg2"], off);
    pg3.set("data/pg_wal/00000004.history");
    await expectRefused("pg3 is on timeline 4, this member on 3: another member was promoted meanwhile");
  });

  it("before the others were heard, also where its own position is enough: one of them may know more", async () => {
    pg2.putUnderPacemaker(candidates, { mode: "priority", k: 2 });
    pg3.set("data/pg_wal/00000004.history");
    await expectRefused("pg3 is on timeline 4, this member on 3: another member was promoted meanwhile");
  });

  it("when it is no candidate", async () => {
    pg2.putUnderPacemaker(["pg1", "pg3"], anyOne);
    await expectRefused("it is no candidate (candidate: false)");
  });

  it.each<[string, () => void, string]>([
    ["while somebody is at work on the cluster", () => pg2.layLock(), "anna@desk is at work on the cluster since then"],
    [
      "while a handover is not ended",
      () => pg2.lay("journal", journal),
      `the handover of epoch ${epoch} is not ended; \`pulumi up\` ends it`,
    ],
  ])("%s", async (_, change, reason) => {
    change();
    await expectRefused(reason);
  });

  it("when a handover begins while it waits for the others", async () => {
    pg3.set("unreachable");
    const election = elect({ ELECTION_SECONDS: 5 });
    await expect.poll(() => pg2.trace().filter((line) => line.startsWith("run ssh")).length, soon).toBeGreaterThan(1);
    pg2.lay("journal", journal);
    expect(await election.exit).toMatchObject({ code: 1, stderr: expect.stringContaining("is not ended") });
    expect(pg2.isWritable).toBe(false);
  });

  it("and says so when it does not leave recovery", async () => {
    pg2.set("unpromotable");
    expect(await elect(hurried).exit).toEqual({
      code: 1,
      stderr: "pg2 is not promoted: it was told to promote, and did not leave recovery in time\n",
    });
  });

  async function expectRefusedAgain(reason: string): Promise<void> {
    expect(await elect(patient).exit).toEqual({ code: 1, stderr: `pg2 is not promoted: ${reason}\n` });
  }
});

describe("the rule", limits, () => {
  const known = (lsn: string, more: object = {}) => ({
    ...{ answer: "position", systemIdentifier, timeline, walTimeline: timeline, began: "" },
    ...{ running: 1, standby: 1, lsn, reason: "" },
    ...more,
  });
  const silent = { unreachable: "no answer" };
  const own = known("1/30000D8");
  const five = ["pg1", "pg2", "pg3", "pg4", "pg5"];
  const judge = async (k: number, answers: Record<string, object>, among = candidates, seconds = 9, awaited = five) => {
    const member = {
      ...{ member: "pg2", candidates: among, synchronous: { mode: k === 0 ? "off" : "quorum", k } },
      peers: five.filter((name) => name !== "pg2").map((name) => ({ member: name })),
    };
    const [verdict] = await hosts.evaluate([["judge", member, own, answers, seconds, awaited]]);
    return (verdict as [string | null, number])[0];
  };

  it("needs the positions of n - k + 1 of the n standbys, its own among them", async () => {
    const behind = known("1/30000D0");
    const of = (count: number) => Object.fromEntries(five.slice(2, 2 + count).map((name) => [name, behind]));
    const verdicts = await Promise.all(
      [1, 2, 3, 4].flatMap((k) => [0, 1, 2, 3].map(async (others) => (await judge(k, of(others), five)) === null)),
    );
    expect(verdicts).toEqual([
      ...[false, false, false, true], // k = 1: four positions
      ...[false, false, true, true],
      ...[false, true, true, true],
      ...[true, true, true, true], // k = 4: its own
    ]);
  });

  it("counts a former primary only where it has nothing alone, and is not held up by what it has alone", async () => {
    const crashed = (lsn: string) => known(lsn, { running: 0, standby: 0 });
    expect(await judge(1, { pg1: crashed("1/30000D8"), pg3: silent })).toBeNull();
    expect(await judge(1, { pg1: crashed("1/30000E0"), pg3: silent })).toBe(
      "an acknowledged row may be missing here: of 3 candidates the positions of 2 have to be known, and 1 are (pg1: a former primary, with WAL of its own up to 1/30000E0; pg3: no answer)",
    );
    expect(await judge(1, { pg1: crashed("1/30000E0"), pg3: known("1/30000D8") })).toBeNull();
  });

  it("does not count whoever is no candidate, was promoted apart, or has an older timeline's position ahead", async () => {
    expect(await judge(1, { pg4: known("1/30000E0") })).toMatch(/^an acknowledged row may be missing/);
    const apart = known("1/30000D0", { began: "0/5000100 of timeline 2" });
    const [verdict] = await hosts.evaluate([
      [
        "judge",
        { member: "pg2", candidates, synchronous: anyOne, peers: [] },
        { ...own, began: "0/5000148 of timeline 2" },
        { pg3: apart },
        0,
        [],
      ],
    ]);
    expect(verdict).toEqual([expect.stringContaining("pg3: was promoted apart"), 25]);
    expect(await judge(1, { pg3: known("1/30000E0", { walTimeline: timeline - 1 }) })).toBeNull();
  });

  it("compares what members have, not of which timelines they know: one that was left behind is not ahead", async () => {
    const leftBehind = { timeline: timeline + 1, walTimeline: timeline };
    const following = { timeline: timeline + 1, walTimeline: timeline + 1 };
    const verdict = async (mine: object, theirs: object, k = 1) => {
      const member = { member: "pg2", candidates, synchronous: { mode: "quorum", k }, peers: [] };
      const [[reason]] = (await hosts.evaluate([["judge", member, mine, { pg3: theirs }, 9, []]])) as [[string | null]];
      return reason;
    };
    expect(await verdict(known("1/30000D8", following), known("1/30000E0", leftBehind))).toBeNull();
    expect(await verdict(known("1/30000E0", leftBehind), known("1/30000D8", following))).toBe(
      "pg3 has WAL up to 1/30000D8 of timeline 4, this member up to 1/30000E0 of timeline 3",
    );
    const unknown = { unreachable: "no answer" };
    expect(await verdict(known("1/30000E0", leftBehind), unknown, 0)).toBe(
      "it knows of timeline 4, and has nothing of it",
    );
  });

  it("refuses another database", async () => {
    expect(await judge(1, { pg3: known("1/0", { systemIdentifier: "8" }) })).toBe(
      "pg3 holds another database (system identifier 8)",
    );
  });

  it.each([0, 2])("with k = %i it waits three seconds for those whose hosts live and no longer", async (k) => {
    const answers = { pg1: silent, pg3: own, pg4: own };
    expect(await judge(k, answers, candidates, 2)).toBe("pg5 did not answer yet");
    expect(await judge(k, answers, candidates, 2, ["pg1", "pg3"])).toBeNull();
    expect(await judge(k, answers, candidates, 3)).toBeNull();
    expect(await judge(k, { ...answers, pg5: silent }, candidates, 0)).toBeNull();
  });

  it("is not enough where a member says that it is about to start as a primary, whatever is known", async () => {
    const starting = known("1/30000D8", { running: 0, standby: 0, starting: 1 });
    expect(await judge(2, { pg1: starting, pg3: own })).toBe("pg1 is about to start as a primary");
  });
});

describe("a neighbour's question for the position", limits, () => {
  const ask = async (host: PretendHost) => {
    const channel = host.helper(["channel", "orders", host.name]);
    channel.say({ ask: "position" });
    return channel.hear();
  };

  it("is answered by a standby that runs", async () => {
    const common = { answer: "position", systemIdentifier, timeline, walTimeline: timeline, began: "" };
    expect(await ask(pg3)).toEqual({ ...common, running: 1, standby: 1, starting: 0, lsn: "1/30000D8", reason: "" });
  });

  it("is answered by one that is stopped: where its last record ends", async () => {
    layStopped(pg1, false);
    expect(await ask(pg1)).toMatchObject({ running: 0, standby: 0, starting: 0, lsn: "1/30000D8", reason: "" });
  });

  it("is answered by a former primary whose unit starts it: that it does, unless its boot gate keeps it back", async () => {
    layStopped(pg1, false);
    pg1.set("starting");
    expect(await ask(pg1)).toMatchObject({ running: 0, starting: 1 });
    mkdirSync(dirname(pg1.paths.gateReason), { recursive: true });
    writeFileSync(pg1.paths.gateReason, "Pacemaker has promoted nobody");
    expect(await ask(pg1)).toMatchObject({ running: 0, starting: 0 });
  });

  it.each<[string, () => void, string]>([
    ["is still a copy", () => pg1.lay("marker", { systemIdentifier, state: "cloning" }), "its data is not complete"],
    ["was never started", () => pg1.set("data/backup_label"), "it was never started"],
  ])("is not answered with a position by one that %s", async (_, change, reason) => {
    layStopped(pg1, true);
    change();
    expect(await ask(pg1)).toMatchObject({ lsn: "", reason });
  });

  it("names the timeline of the WAL that is there, and the newest one that it knows of", async () => {
    pg3.set("data/pg_wal/00000005.history");
    pg3.set("data/pg_wal/000000040000000100000003", "WAL");
    expect(await ask(pg3)).toMatchObject({ timeline: 5, walTimeline: 4 });
  });

  it("a ticket of an earlier handover changes nothing of it", async () => {
    pg3.lay("ticket", ticketRecord("revoked"));
    expect(await ask(pg3)).toMatchObject({ lsn: "1/30000D8" });
  });
});
