import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { limitMilliseconds } from "../support/helperProcess.ts";
import { type PretendHost, pretendHosts } from "../support/pretendHosts.ts";

/*
 * What the agent pgsql wants of synchronous commit, and what its records forbid: pg1 and pg2 under rep_mode sync. What Pacemaker
 * says is pretended, as crm_mon prints it.
 */
const hosts = pretendHosts();
let pg1: PretendHost;
let pg2: PretendHost;

const limits = { timeout: limitMilliseconds * 2 };
const hurried = { ELECTION_SECONDS: 1, ELECTION_RETRY_SECONDS: 0.1, CONFIRMED_SECONDS: 1 };
const relaxed = "synchronous_standby_names = ''\n";
const waiting = "synchronous_standby_names = '\"pg2\"'\n";

beforeEach(() => {
  [pg1, pg2] = [hosts.host("pg1"), hosts.host("pg2")];
  for (const host of [pg1, pg2]) host.putUnderPgsql("sync");
});

/** What Pacemaker says of the nodes' states, and what its configuration has of the agent's records of the data. */
interface Said {
  readonly view: string;
  readonly configuration: string;
}

function says(records: Readonly<Record<string, string>>, pg2Node: string, quorate = true): Said {
  const nodes = Object.entries(records).map(
    ([node, text]) =>
      `<node id="${node.slice(2)}" uname="${node}"><instance_attributes id="nodes-${node}"><nvpair id="${node}-1" name="pgha-orders-data-status" value="${text}"/></instance_attributes></node>`,
  );
  const view = `<pacemaker-result>
  <summary><current_dc present="true" name="pg1" id="1" with_quorum="${quorate}"/></summary>
  <nodes>
    <node name="pg1" id="1" online="true" unclean="false" pending="false"/>
    <node name="pg2" id="2" ${pg2Node}/>
  </nodes>
</pacemaker-result>`;
  return { view, configuration: `<nodes>${nodes.join("")}</nodes>` };
}

function pacemakerSays(host: PretendHost, { view, configuration }: Said): void {
  host.set("crm_mon.xml", view);
  if (configuration !== "") host.set("cib.xml", configuration);
}

const online = 'online="true" unclean="false" pending="false"';
const off = 'online="false" unclean="false" pending="false"';

describe("the agent wants commits to wait for nobody", limits, () => {
  /** The agent's pg_ctl reload; what PostgreSQL reads then, and what the agent finds at its next look. */
  async function reload(): Promise<{ rule: string | undefined; wish: string }> {
    pg1.set("rep_mode.conf", relaxed);
    const helper = pg1.helper(["rep_mode", pg1.memberFile], { ...hurried, AGENT_DIRECTORY: pg1.root });
    expect((await helper.exit).code).toBe(0);
    const { repMode } = pg1.paths;
    return {
      rule: existsSync(repMode) ? readFileSync(repMode, "utf8").split("\n")[1] : undefined,
      wish: pg1.get("rep_mode.conf"),
    };
  }

  it("and they do not, once the standby is off and recorded as one that must not be promoted", async () => {
    await pg1.startPostmaster();
    pacemakerSays(pg1, says({ pg1: "LATEST", pg2: "DISCONNECT" }, off));
    expect(await reload()).toEqual({ rule: "synchronous_standby_names = ''", wish: relaxed });
  });

  it.each<[string, Said]>([
    ["Pacemaker has no quorum here", says({ pg2: "DISCONNECT" }, off, false)],
    ["Pacemaker does not answer", { view: "", configuration: "" }],
    ["Pacemaker's configuration cannot be read", { ...says({}, off), configuration: "" }],
    ["the standby may still be promoted", says({ pg2: "STREAMING|SYNC" }, off)],
    ["the standby's host may live", says({ pg2: "DISCONNECT" }, 'online="false" unclean="true" pending="false"')],
    [
      "the standby's host is about to join",
      says({ pg2: "DISCONNECT" }, 'online="true" unclean="false" pending="true"'),
    ],
  ])("and they go on waiting while %s; the agent asks again", async (_, said) => {
    await pg1.startPostmaster();
    pacemakerSays(pg1, said);
    expect(await reload()).toEqual({ rule: undefined, wish: waiting });
  });

  it("of a standby is done at once: it is of no consequence there", async () => {
    pg1.set("data/standby.signal");
    pg1.set("received", "1/30000D8\n");
    await pg1.startPostmaster();
    expect(await reload()).toEqual({ rule: "synchronous_standby_names = ''", wish: relaxed });
  });
});

describe("the agent wants commits to wait for the standby", limits, () => {
  async function reload(): Promise<{ rule: string | undefined; wish: string }> {
    pg1.set("rep_mode.conf", waiting);
    writeFileSync(pg1.paths.repMode, `# before\n${relaxed}`);
    await pg1.startPostmaster();
    const helper = pg1.helper(["rep_mode", pg1.memberFile], { ...hurried, AGENT_DIRECTORY: pg1.root });
    expect((await helper.exit).code).toBe(0);
    return { rule: readFileSync(pg1.paths.repMode, "utf8").split("\n")[1], wish: pg1.get("rep_mode.conf") };
  }

  it("and they do, from a checkpoint on that was made since, and one commit was confirmed", async () => {
    expect(await reload()).toEqual({ rule: "", wish: waiting });
    expect([pg1.has("checkpointed"), pg1.has("asked-for-commit")]).toEqual([true, true]);
  });

  it.each(["busy-checkpointer", "unacknowledged"])(
    "and the agent is told that they do not yet, so that the standby does not count, where it cannot be promoted: %s",
    async (trouble) => {
      pacemakerSays(pg1, says({ pg1: "LATEST", pg2: "DISCONNECT" }, online));
      pg1.set(trouble);
      expect(await reload()).toEqual({ rule: "synchronous_standby_names = ''", wish: relaxed });
    },
  );

  it("and they go on waiting for one that may be promoted, although it has confirmed nothing yet", async () => {
    pacemakerSays(pg1, says({ pg1: "LATEST", pg2: "STREAMING|SYNC" }, online));
    pg1.set("unacknowledged");
    expect(await reload()).toEqual({ rule: "", wish: waiting });
  });
});

describe("a promotion under the agent pgsql", limits, () => {
  async function elect(record: string, mode: "sync" | "async" = "sync"): Promise<string> {
    pg2.putUnderPgsql(mode);
    pg1.set("unreachable");
    pg2.set("data/standby.signal");
    pg2.set("received", "1/30000D8\n");
    await pg2.startPostmaster();
    const { view, configuration } = says({ pg1: "DISCONNECT", pg2: record }, online);
    const gone = view.replace('<node name="pg1" id="1" online="true"', '<node name="pg1" id="1" online="false"');
    pacemakerSays(pg2, { view: gone, configuration });
    return (await pg2.helper(["elect", pg2.memberFile], hurried).exit).stderr;
  }

  it("happens where the record says that it had every row, and begins without waiting for the one that is gone", async () => {
    expect(await elect("STREAMING|SYNC")).toBe("pg2 was promoted\n");
    expect(readFileSync(pg2.paths.repMode, "utf8")).toContain(relaxed);
  });

  it.each(["DISCONNECT", "STREAMING|ASYNC", "STREAMING|POTENTIAL"])(
    "is refused under rep_mode sync where the record says %s",
    async (record) => {
      expect(await elect(record)).toBe(`pg2 is not promoted: the agent's record says of its data: ${record}\n`);
      expect(pg2.isWritable).toBe(false);
    },
  );

  it("happens under rep_mode async to one that streamed, and not to one that did not", async () => {
    expect(await elect("DISCONNECT", "async")).toContain("pg2 is not promoted: the agent's record says of its data");
    expect(await elect("STREAMING|ASYNC", "async")).toBe("pg2 was promoted\n");
  });
});
