import { existsSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds } from "../support/helperProcess.ts";
import { type PretendHost, pretendHosts, timeline } from "../support/pretendHosts.ts";

/* Commits that go on without standbys (onLoss: relax): when, and whom that binds. */
const hosts = pretendHosts();
const limits = { timeout: limitMilliseconds * 2 };

describe("what is done", limits, () => {
  const well = {
    ...{ answers: true, standby: false, enough: true, held: false, seconds: 0, after: 30 },
    ...{ relaxed: false, record: "unread" },
  };
  const alone = { enough: false, seconds: 30, record: "none" };
  const cases: [string, object, string][] = [
    ["nothing while enough standbys stream", {}, "nothing"],
    ["nothing before the declared time is over", { ...alone, seconds: 29.9 }, "nothing"],
    ["then commits go on", alone, "relax"],
    ["also where one that was killed has already taken it down", { ...alone, record: "mine" }, "relax"],
    ["not where another member went on alone", { ...alone, record: "other" }, "wait"],
    ["not where nobody knows whether one did", { ...alone, record: "unknown" }, "wait"],
    ["not while an orchestrator holds the cluster", { ...alone, held: true }, "nothing"],
    ["not where PostgreSQL does not answer", { ...alone, answers: false }, "nothing"],
    ["nothing more once they go on", { ...alone, relaxed: true, record: "mine" }, "nothing"],
    ["they go on while Pacemaker does not answer", { ...alone, relaxed: true, record: "unknown" }, "nothing"],
    ["they wait at once where nobody is bound any more", { ...alone, relaxed: true, record: "none" }, "forget"],
    [
      "they wait at once where another one is named",
      { ...alone, relaxed: true, record: "other", held: true },
      "forget",
    ],
    ["they wait again once enough standbys stream", { relaxed: true, record: "mine" }, "tighten"],
    ["nobody stays bound by one that was killed in between", { record: "mine" }, "tighten"],
    ["nor by one in whose place somebody promoted this member by hand", { record: "other" }, "tighten"],
    ["but not under an orchestrator's hold", { relaxed: true, record: "mine", held: true }, "nothing"],
    ["a standby has nothing of it", { standby: true, relaxed: true, record: "unread" }, "forget"],
    ["and binds nobody less", { standby: true, record: "mine" }, "nothing"],
  ];

  it("follows from what is seen", async () => {
    const steps = await hosts.evaluate(cases.map(([, facts]) => ["relax_step", { ...well, ...facts }]));
    expect(cases.map(([text], index) => `${text}: ${String(steps[index])}`)).toEqual(
      cases.map(([text, , step]) => `${text}: ${step}`),
    );
  });

  it("needs the word of every host in Corosync's membership, and none whose fate is unknown", async () => {
    const list = `
Membership information
----------------------
    Nodeid      Votes Name
         1          1 pg1 (local)
         3          1 pg3
`;
    const nodes = (pg2Unclean: boolean) =>
      `<nodes><node name="pg1" id="1" online="true" pending="false" unclean="false" type="member"/><node name="pg2" id="2" online="${!pg2Unclean}" pending="false" unclean="${pg2Unclean}" type="member"/></nodes>`;
    expect(
      await hosts.evaluate([
        ["members_present", list],
        ["members_present", "Cannot initialize QUORUM service\n"],
        ["fate_unknown", nodes(false)],
        ["fate_unknown", nodes(true)],
      ]),
    ).toEqual([["pg1", "pg3"], [], null, "what became of pg2 is not known: it is to be fenced first"]);
  });

  it("reads whom Pacemaker's configuration names, among nodes with and without attributes", async () => {
    const text =
      '<nodes><node id="1" uname="pg1"/><node uname="pg2" id="2"><instance_attributes id="a"><nvpair id="b" name="pgha-orders-relaxed" value="x"/></instance_attributes></node><node id="3" uname="pg3"><instance_attributes id="c"><nvpair id="d" name="pgha-orders-relaxed-not" value="x"/></instance_attributes></node></nodes>';
    expect(await hosts.evaluate([["named_nodes", text, "pgha-orders-relaxed"]])).toEqual([["pg2"]]);
  });
});

describe("a promotion", limits, () => {
  let pg1: PretendHost;
  let pg2: PretendHost;
  let pg3: PretendHost;
  const hurried = { ELECTION_SECONDS: 4, AHEAD_SECONDS: 1, ELECTION_RETRY_SECONDS: 0.1 };

  beforeEach(async () => {
    [pg1, pg2, pg3] = [hosts.host("pg1"), hosts.host("pg2"), hosts.host("pg3")];
    for (const host of [pg1, pg2, pg3]) {
      host.putUnderPacemaker(["pg1", "pg2", "pg3"], { mode: "quorum", k: 1 });
      host.mayGoOnAlone();
    }
    pg1.set("unreachable");
    for (const host of [pg2, pg3]) {
      host.set("data/standby.signal");
      host.set("received", "1/30000D8\n");
      await host.startPostmaster();
    }
  });

  const elect = () => pg2.helper(["elect", pg2.memberFile], hurried).exit;
  const refusal = (by: string) =>
    `pg2 is not promoted: ${by}pg1 went on without standbys and has rows that nobody else has: bring it back. If it is lost for good, and its rows with it: \`crm_attribute --type nodes --node pg1 --name pgha-orders-relaxed --delete\`\n`;

  it("is refused where another member went on alone, by this host's copy or another one's", async () => {
    pg2.wentOnAlone("pg1");
    expect(await elect()).toEqual({ code: 1, stderr: refusal("") });
    pg2.wentOnAlone();
    pg3.wentOnAlone("pg1");
    expect(await elect()).toEqual({ code: 1, stderr: refusal("pg3 knows that ") });
    expect([pg2.isWritable, pg2.timeline]).toEqual([false, timeline]);
  });

  it("is refused where nobody knows", async () => {
    pg2.unset("cib.xml");
    expect((await elect()).stderr).toBe(
      "pg2 is not promoted: whether another member went on without standbys is not known: Pacemaker does not answer\n",
    );
  });

  it("of the one that went on alone needs nobody's position, and its commits wait from then on", async () => {
    pg2.wentOnAlone("pg2");
    pg3.wentOnAlone("pg2");
    pg3.set("unreachable");
    writeFileSync(pg2.paths.relaxedConf, "synchronous_standby_names = ''\n");
    expect(await elect()).toEqual({ code: 0, stderr: "pg2 was promoted\n" });
    expect([pg2.isWritable, existsSync(pg2.paths.relaxedConf)]).toEqual([true, false]);
  });

  it("is as ever where nobody did", async () => {
    expect(await elect()).toEqual({ code: 0, stderr: "pg2 was promoted\n" });
  });
});
