import { type Group, othersOf } from "./group.ts";
import { withPrimary } from "./pacemaker/names.ts";
import { neededStandbys, needsOldPrimary } from "./quorum.ts";

/** The eleven steps of a planned switchover, as data: shown in preview, carried out in cluster/switchOver.ts. */
export interface Step {
  readonly step:
    | "observe"
    | "pre-flight"
    | "plan"
    | "arm"
    | "quiet"
    | "demote"
    | "prove"
    | "promote"
    | "follow"
    | "resume"
    | "verify";
  /** Do writes wait during this step? */
  readonly outage: boolean;
  readonly text: string;
}

export interface SwitchoverPlan {
  readonly from: string;
  readonly to: string;
  /** Members that follow the target before the primary stops, because the synchronous rule holds without them. */
  readonly rePointed: readonly string[];
  readonly steps: readonly Step[];
}

/** `streaming`: members that stream now; one that is away cannot be re-pointed, and finds the new primary when it is back. */
export function planSwitchover(group: Group, from: string, to: string, streaming: ReadonlySet<string>): SwitchoverPlan {
  const third = othersOf(group, from).filter((member) => member.name !== to && streaming.has(member.name));
  // Re-pointed members no longer acknowledge to the old primary: only the target does.
  const rePointed = neededStandbys(group) <= 1 ? third.map((member) => member.name) : [];
  const managed = group.failover.manager === "pacemaker";
  const addresses = Object.values(withPrimary(group.virtualIps)).map(({ address }) => address);
  const late = needsOldPrimary(group, from, to, streaming);
  const steps: Step[] = [
    { step: "observe", outage: false, text: "lock the members, read each of them" },
    { step: "pre-flight", outage: false, text: "run the checks above again" },
    { step: "plan", outage: false, text: "compare with what preview saw; refuse if the primary or the timeline moved" },
    {
      step: "arm",
      outage: false,
      text: `write the journal, let ${from} and ${to} stand ready${managed ? "; Pacemaker stands back" : ""}`,
    },
    {
      step: "quiet",
      outage: false,
      text:
        rePointed.length === 0
          ? `checkpoint ${from} and ${to}`
          : `checkpoint ${from} and ${to}, let ${rePointed.join(", ")} follow ${to}`,
    },
    { step: "demote", outage: true, text: `stop ${from} (fast) and make it a standby` },
    {
      step: "prove",
      outage: true,
      text: `${to} has the whole shutdown checkpoint of ${from}; otherwise ${from} comes back`,
    },
    {
      step: "promote",
      outage: true,
      text: addresses.length === 0 ? `promote ${to}` : `promote ${to}, which takes over ${addresses.join(", ")}`,
    },
    { step: "follow", outage: late, text: `${from} follows ${to} without rewind, the others without restart` },
    {
      step: "resume",
      outage: false,
      text: managed
        ? "Pacemaker manages again, once it says that it would change nothing"
        : "nothing to resume: no failover manager",
    },
    { step: "verify", outage: false, text: "everybody streams, the synchronous rule holds" },
  ];
  return { from, to, rePointed, steps };
}
