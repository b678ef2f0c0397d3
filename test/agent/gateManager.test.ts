import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { crmMon, type View } from "../support/crmMon.ts";
import { limitMilliseconds, soon } from "../support/helperProcess.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

/*
 * Before PostgreSQL starts under Pacemaker: a primary whose process died may have been replaced because of that. What
 * Pacemaker says is pretended, as crm_mon prints it.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;
let pg3: PretendHost;

const limits = { timeout: limitMilliseconds * 2 };
const quorum = { mode: "quorum", k: 1 };

beforeEach(() => {
  [pg1, pg2, pg3] = [hosts.host("pg1"), hosts.host("pg2"), hosts.host("pg3")];
  pg1.putUnderPacemaker(["pg1", "pg2", "pg3"], quorum);
});

async function expectWaits(reason: string): Promise<void> {
  await expect.poll(() => pg1.gateReason, soon).toBe(reason);
  expect(pg1.isRunning).toBe(false);
}

async function expectWritable(): Promise<void> {
  await expect.poll(() => pg1.isWritable, soon).toBe(true);
  expect(pg1.gateReason).toBeUndefined();
}

const asked = () => pg1.trace().filter((line) => line.startsWith("run ssh")).length;

/** Its process died, and systemd starts it again. */
function startAgain(): void {
  pg1.set("restarts", "1\n");
  pg1.startUnit();
}

describe("a primary whose process died", limits, () => {
  beforeEach(() => {
    pg2.set("unreachable");
    pg3.set("unreachable");
  });

  it("is started again in place while Pacemaker still gives this host the role", async () => {
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted", pg3: "Stopped" } }));
    startAgain();
    await expectWritable();
    expect(asked()).toBe(0);
  });

  describe("and has much WAL to read again", () => {
    /** Since its last checkpoint, in 1/03000060. */
    const layWal = (newest: string) => {
      pg1.layWal("000000010000000100000003", { secondsAgo: 60 });
      pg1.layWal(newest);
      // Laid in advance: what was written last is older than it.
      pg1.layWal("0000000100000001000000FF", { secondsAgo: 600 });
    };
    const gives = { roles: { pg1: "Promoted" }, score: "1000" };

    it("leaves the role to a standby that can take over sooner, and says so", async () => {
      layWal("000000010000000100000040");
      pg1.set("crm_mon.xml", crmMon(gives));
      startAgain();
      await expectWaits("its recovery would read 1040 MB of WAL (about 20 s): pg2 can take over sooner");
      expect(pg1.yields).toBe(true);
      pg1.set("crm_mon.xml", crmMon({ ...gives, managed: false }));
      await expectWritable();
      expect(pg1.yields).toBe(false);
    });

    it.each<[string, string, View]>([
      ["is soon done", "000000010000000100000010", gives],
      ["has nobody to leave it to", "000000010000000100000040", { ...gives, score: "-1000" }],
      ["has nobody that the agent has looked at", "000000010000000100000040", { roles: gives.roles }],
      ["cannot be switched off for it", "000000010000000100000040", { ...gives, fencing: false }],
    ])("is started again in place where it %s", async (_, newest, view) => {
      layWal(newest);
      pg1.set("crm_mon.xml", crmMon(view));
      startAgain();
      await expectWritable();
      expect(asked()).toBe(0);
    });

    it("is started again in place where nobody took over within a minute", async () => {
      layWal("000000010000000100000040");
      pg1.set("crm_mon.xml", crmMon(gives));
      startAgain();
      await expect.poll(() => pg1.yields, soon).toBe(true);
      pg1.set("clock-ahead", "61");
      await expectWritable();
    });
  });

  it.each<[string, string, View]>([
    [
      "Pacemaker has promoted another one",
      "Pacemaker has promoted pg2, and does not give this host the role",
      { roles: { pg2: "Promoted" } },
    ],
    [
      "Pacemaker has taken the role away",
      "Pacemaker has promoted nobody, and does not give this host the role",
      { roles: { pg1: "Stopped" } },
    ],
    [
      "this host has no quorum",
      "Pacemaker has no quorum on this host: the others may promote another member",
      { quorate: false, roles: { pg1: "Promoted" } },
    ],
  ])("stays down, and says why, while %s", async (_, reason, view) => {
    pg1.set("crm_mon.xml", crmMon(view));
    startAgain();
    await expectWaits(reason);
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted" } }));
    await expectWritable();
  });

  it("stays down although the role is to be given to this host, as long as it is not", async () => {
    const asked = crmMon({}).replace('role="Unpromoted"', 'role="Unpromoted" target_role="Promoted"');
    pg1.set("crm_mon.xml", asked);
    startAgain();
    await expectWaits("Pacemaker has promoted nobody, and does not give this host the role");
  });

  it("stays down under the agent pgsql where the role was taken away while it was let start: the agent sees no process", async () => {
    pg1.putUnderPgsql("sync");
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted" } }));
    pg1.set("crm_mon-then.xml", crmMon({ roles: { pg1: "Stopped" } }));
    startAgain();
    await expectWaits("Pacemaker has promoted nobody, and does not give this host the role");
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted" } }));
    await expectWritable();
  });

  it.each([
    ["does not answer", "active enabled", "Pacemaker on this host does not answer"],
    ["is starting", "activating enabled", "Pacemaker does not run on this host (pacemaker.service is activating)"],
    ["has failed", "failed enabled", "Pacemaker does not run on this host (pacemaker.service is failed)"],
  ])("stays down while Pacemaker %s", async (_, unit, reason) => {
    pg1.set("pacemaker", `${unit}\n`);
    startAgain();
    await expectWaits(reason);
  });

  it("is started again in place while Pacemaker stands back: then nobody is promoted by it", async () => {
    pg1.set("crm_mon.xml", crmMon({ managed: false }));
    startAgain();
    await expectWritable();
    expect(asked()).toBe(0);
  });

  it.each<[string, () => void]>([
    [
      "stands back, by what a host without quorum knows",
      () => pg1.set("crm_mon.xml", crmMon({ managed: false, quorate: false })),
    ],
    ["does not manage this cluster", () => pg1.set("crm_mon.xml", crmMon({ resource: "pgha-stock" }))],
    ["is not used on this host any more", () => pg1.set("pacemaker", "inactive disabled\n")],
    ["is not installed", () => pg1.unset("pacemaker")],
  ])("needs a majority of the members where Pacemaker %s", async (_, change) => {
    change();
    startAgain();
    await expect.poll(() => pg1.gateReason, soon).toMatch(/^only 1 of 3 members answer/);
    pg2.unset("unreachable");
    await expectWritable();
  });

  it("is started by an orchestrator that has proved its right, whatever Pacemaker says", async () => {
    pg1.set("crm_mon.xml", crmMon({ roles: { pg2: "Promoted" } }));
    pg1.grantStart();
    pg1.startUnit();
    await expectWritable();
  });
});

describe("crm_mon's output of Pacemaker 3.0.0", limits, () => {
  const recorded = (name: string) =>
    readFileSync(new URL(`../../model/pacemaker/recorded/${name}.xml`, import.meta.url), "utf8");
  const elsewhere = [false, "Pacemaker has promoted pg1, and does not give this host the role"];
  const noQuorum = [false, "Pacemaker has no quorum on this host: the others may promote another member"];

  it.each([
    ["healthy", [true, null], elsewhere],
    ["failed", [true, null], elsewhere],
    ["maintenance", [true, null], [true, null]],
    ["noQuorum", noQuorum, noQuorum],
  ])("is understood: %s, on the primary's host and on another", async (name, primary, other) => {
    const ask = (node: string) => ["role_given", recorded(name), "pgha-orders-clone", node];
    expect(await hosts.evaluate([ask("pg1"), ask("pg2")])).toEqual([primary, other]);
  });
});

describe("under Pacemaker", limits, () => {
  it("a standby starts without a question", async () => {
    pg1.set("data/standby.signal");
    startAgain();
    await expect.poll(() => pg1.isRunning, soon).toBe(true);
    expect(pg1.trace()).toEqual([]);
  });

  it("a former primary after a boot needs both: Pacemaker's word, and a majority of the members", async () => {
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted" } }));
    pg1.reboot();
    pg2.set("unreachable");
    pg3.set("unreachable");
    startAgain();
    await expect.poll(() => pg1.gateReason, soon).toMatch(/^only 1 of 3 members answer/);
    pg1.set("crm_mon.xml", crmMon({ roles: { pg2: "Promoted" } }));
    await expectWaits("Pacemaker has promoted pg2, and does not give this host the role");
    pg1.set("crm_mon.xml", crmMon({ roles: { pg1: "Promoted" } }));
    pg2.unset("unreachable");
    await expectWritable();
  });
});
