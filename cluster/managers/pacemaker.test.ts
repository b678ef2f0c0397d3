import { beforeEach, describe, expect, it } from "vitest";
import { Unreachable } from "../../remote/errors.ts";
import type { RemoteHost } from "../../remote/host.ts";
import { primary, standby } from "../../test/support/observations.ts";
import { pacemaker } from "../../test/support/pacemakerView.ts";
import { group } from "../../test/support/shapes.ts";
import { pacemakerManager } from "./pacemaker.ts";

const declared = group({
  failover: { manager: "pacemaker", agent: "paf", corosync: "main" },
  virtualIps: { primary: { address: "198.51.100.50", prefix: 24 } },
});

/** What each host was asked, by the purpose, in order. */
let asked: string[];
beforeEach(() => {
  asked = [];
});

function host(name: string, answer: (purpose: string) => string | Error): RemoteHost {
  const never = () => Promise.reject(new Error("not used here"));
  return {
    name,
    run: never,
    start: never,
    socket: never,
    must({ purpose }) {
      asked.push(`${name}: ${purpose}`);
      const said = answer(purpose);
      return said instanceof Error ? Promise.reject(said) : Promise.resolve(said);
    },
  };
}

const nothing = `<pacemaker-result><actions/></pacemaker-result>`;
const promotes = `<pacemaker-result><actions><rsc_action action="promote" resource="pgha-orders:1" node="pg2"/></actions></pacemaker-result>`;
const reporter = {
  progress: () => undefined,
  info: () => undefined,
  warn: (text: string) => asked.push(`warned: ${text}`),
  cancelled: new AbortController().signal,
};
const seen = [primary("pg1"), standby("pg2", "pg1"), standby("pg3", "pg1")];

describe("letting Pacemaker stand back", () => {
  it("asks the first host that answers, and it stands back until it manages again", async () => {
    const manager = pacemakerManager(declared, [
      host("pg1", () => new Unreachable("pg1", "no answer within 8 s")),
      host("pg2", () => "stands back\n"),
    ]);
    expect(manager.standsBack([])).toBe(false);
    await manager.standBack({ epoch: 7 });
    await manager.standBack({ epoch: 7 });
    expect(asked).toEqual(["pg1: let Pacemaker stand back", "pg2: let Pacemaker stand back"]);
    expect(manager.standsBack([])).toBe(true);
  });

  it("does nothing where it does not manage the cluster yet, and then there is nothing to manage again", async () => {
    const manager = pacemakerManager(declared, [host("pg1", () => "absent\n"), host("pg2", () => "absent\n")]);
    await manager.standBack({ epoch: 7 });
    expect(asked).toHaveLength(2);
    expect(manager.standsBack([])).toBe(false);
  });

  it("is refused where it runs without quorum: the other side would not hear of it", async () => {
    const manager = pacemakerManager(declared, [host("pg1", () => "no quorum\n"), host("pg2", () => "absent\n")]);
    await expect(manager.standBack({ epoch: 7 })).rejects.toThrow(
      "orders: could not let Pacemaker stand back: found Pacemaker on pg1 without quorum, expected most of its nodes to see each other.\n  Look at it there (`crm_mon -1`), and bring the other hosts back.",
    );
  });

  it("is refused where an operator has only the addresses in maintenance: the end of ours would end his", async () => {
    const manager = pacemakerManager(declared, [host("pg1", () => "in maintenance pgha-orders-addresses\n")]);
    await expect(manager.standBack({ epoch: 7 })).rejects.toThrow(
      "orders: could not let Pacemaker stand back: found pgha-orders-addresses in maintenance by somebody's hand, expected it managed.\n  Whoever set it may need it: end it first (`crm_resource --resource pgha-orders-addresses --meta --delete-parameter maintenance`), then run `pulumi up` again.",
    );
  });

  it("is known of one that was cut off, by what the nodes say", () => {
    const manager = pacemakerManager(declared, []);
    const marked = pacemaker({ nodeAttributes: { pg2: { "pgha-orders-stands-back": "6" } } });
    expect(manager.standsBack([primary("pg1", { local: { pacemaker: marked } })])).toBe(true);
    expect(manager.standsBack([primary("pg1", { local: { pacemaker: pacemaker() } })])).toBe(false);
  });
});

describe("letting Pacemaker manage again", () => {
  it("comes after it looked again, was told who is primary, and would do nothing", async () => {
    let simulated = 0;
    const manager = pacemakerManager(declared, [
      host("pg1", (purpose) => {
        if (purpose === "let Pacemaker stand back") return "stands back\n";
        if (purpose === "ask Pacemaker what it would do") return simulated++ === 0 ? promotes : nothing;
        return "done\n";
      }),
    ]);
    await manager.standBack({ epoch: 7 });
    await manager.resume(seen, reporter);
    expect(asked).toEqual([
      "pg1: let Pacemaker stand back",
      "pg1: let Pacemaker look again",
      "pg1: tell Pacemaker who is primary",
      "pg1: ask Pacemaker what it would do",
      "pg1: ask Pacemaker what it would do",
      "pg1: let Pacemaker manage again",
    ]);
    expect(manager.standsBack([])).toBe(false);
  });

  it("does not come where an operator had the clone in maintenance before: nothing of Pacemaker is touched", async () => {
    const manager = pacemakerManager(declared, [
      host("pg1", () => 'in maintenance pgha-orders-clone type="pgsqlms"\n'),
    ]);
    await manager.standBack({ epoch: 7 });
    expect(manager.standsBack([])).toBe(true);
    await manager.resume(seen, reporter);
    expect(asked).toEqual([
      "pg1: let Pacemaker stand back",
      expect.stringMatching(/^warned: orders: pgha-orders-clone stays in maintenance, which somebody set by hand/),
    ]);
  });

  it("comes where it would only stop a standby on a host in standby", async () => {
    const stops = `<pacemaker-result><actions><rsc_action action="stop" resource="pgha-orders:0" node="pg3"/></actions></pacemaker-result>`;
    const manager = pacemakerManager(declared, [
      host("pg1", (purpose) => (purpose === "ask Pacemaker what it would do" ? stops : "done\n")),
    ]);
    const nodes = pacemaker().nodes.map((node) => ({ ...node, standby: node.name === "pg3" }));
    const told = [primary("pg1", { local: { pacemaker: pacemaker({ nodes }) } }), ...seen.slice(1)];
    await manager.standBack({ epoch: 7 });
    await manager.resume(told, reporter);
    expect(asked.at(-1)).toBe("pg1: let Pacemaker manage again");
    expect(manager.standsBack([])).toBe(false);
  });

  it("does not come while nobody can tell who is primary", async () => {
    const manager = pacemakerManager(declared, [host("pg1", () => "stands back\n")]);
    await manager.standBack({ epoch: 7 });
    await manager.resume([standby("pg2", "pg1"), standby("pg3", "pg2")], reporter);
    expect(asked).toEqual([
      "pg1: let Pacemaker stand back",
      "warned: orders: Pacemaker still stands back, for who is primary cannot be told",
    ]);
    expect(manager.standsBack([])).toBe(true);
  });
});
