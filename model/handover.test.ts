import { describe, expect, it } from "vitest";
import { group, member } from "../test/support/shapes.ts";
import { planSwitchover } from "./handover.ts";

const all = new Set(["pg2", "pg3"]);

describe("the plan of a switchover", () => {
  it("has eleven steps, of which three are the outage", () => {
    expect(planSwitchover(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", all)).toEqual({
      from: "pg1",
      to: "pg2",
      rePointed: ["pg3"],
      steps: [
        { step: "observe", outage: false, text: "lock the members, read each of them" },
        { step: "pre-flight", outage: false, text: "run the checks above again" },
        {
          step: "plan",
          outage: false,
          text: "compare with what preview saw; refuse if the primary or the timeline moved",
        },
        { step: "arm", outage: false, text: "write the journal, let pg1 and pg2 stand ready" },
        { step: "quiet", outage: false, text: "checkpoint pg1 and pg2, let pg3 follow pg2" },
        { step: "demote", outage: true, text: "stop pg1 (fast) and make it a standby" },
        {
          step: "prove",
          outage: true,
          text: "pg2 has the whole shutdown checkpoint of pg1; otherwise pg1 comes back",
        },
        { step: "promote", outage: true, text: "promote pg2" },
        { step: "follow", outage: false, text: "pg1 follows pg2 without rewind, the others without restart" },
        { step: "resume", outage: false, text: "nothing to resume: no failover manager" },
        { step: "verify", outage: false, text: "everybody streams, the synchronous rule holds" },
      ],
    });
  });

  it("lets Pacemaker stand back, moves the addresses with the promotion, and lets it manage again at the end", () => {
    const failover = { manager: "pacemaker", agent: "paf", corosync: "main" } as const;
    const virtualIps = { primary: { address: "198.51.100.50", prefix: 24 } };
    const texts = Object.fromEntries(
      planSwitchover(group({ failover, virtualIps }), "pg1", "pg2", all).steps.map(({ step, text }) => [step, text]),
    );
    expect(texts).toMatchObject({
      arm: "write the journal, let pg1 and pg2 stand ready; Pacemaker stands back",
      promote: "promote pg2, which takes over 198.51.100.50",
      resume: "Pacemaker manages again, once it says that it would change nothing",
    });
  });

  const outage = (plan: ReturnType<typeof planSwitchover>) =>
    plan.steps.filter((step) => step.outage).map((step) => step.step);

  it("re-points nobody beforehand when commits wait for two: they still acknowledge to the old primary", () => {
    const plan = planSwitchover(group({ synchronous: { quorum: 2 } }), "pg1", "pg2", all);
    expect(plan.rePointed).toEqual([]);
    expect(plan.steps[4]?.text).toBe("checkpoint pg1 and pg2");
  });

  it("re-points nobody that is away", () => {
    expect(planSwitchover(group(), "pg1", "pg2", new Set(["pg2"])).rePointed).toEqual([]);
  });

  it("counts the old primary's return as outage where commits wait for it", () => {
    const two = group({ synchronous: { quorum: 1 }, members: [member("pg1"), member("pg2")] });
    expect(outage(planSwitchover(two, "pg1", "pg2", new Set(["pg2"])))).toEqual([
      "demote",
      "prove",
      "promote",
      "follow",
    ]);
    const away = planSwitchover(group({ synchronous: { quorum: 1 } }), "pg1", "pg2", new Set(["pg2"]));
    expect(outage(away)).toEqual(["demote", "prove", "promote", "follow"]);
    expect(outage(planSwitchover(group(), "pg1", "pg2", new Set(["pg2"])))).toEqual(["demote", "prove", "promote"]);
  });
});
