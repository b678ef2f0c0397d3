import type { Fault } from "../fault.ts";

/** Properties that the declaration decides in other words, or that would break what it promises. */
const refused: Readonly<Record<string, { expected: string; remedy: string } | undefined>> = {
  "stonith-enabled": { expected: "it to follow from fencing:", remedy: "Remove it." },
  "fencing-enabled": { expected: "it to follow from fencing:", remedy: "Remove it." },
  "symmetric-cluster": {
    expected: "no such property: the declared hosts decide where what may run",
    remedy: "Remove it.",
  },
  "maintenance-mode": {
    expected: "no such property: it is for an hour, not for a declaration",
    remedy: "Remove it, and set it by hand when it is needed.",
  },
  "startup-fencing": {
    expected: "no such property: a host that was never seen may have a primary, and is fenced",
    remedy: "Remove it.",
  },
  "stop-all-resources": {
    expected: "no such property: it stops every cluster",
    remedy: "Remove it, and set it by hand when it is needed.",
  },
};

/** Every other property of a cluster that Pacemaker 2.1 or 3.0 knows: man 7 pacemaker-schedulerd, pacemaker-controld, pacemaker-based. */
const known = `
  batch-limit cluster-delay cluster-ipc-limit cluster-name cluster-recheck-interval concurrent-fencing dc-deadtime
  election-timeout enable-acl enable-startup-probes fence-reaction fencing-action fencing-max-attempts fencing-reaction
  fencing-timeout fencing-watchdog-timeout have-watchdog join-finalization-timeout join-integration-timeout load-threshold
  migration-limit no-quorum-policy node-action-limit node-health-base node-health-green node-health-red
  node-health-strategy node-health-yellow node-pending-timeout pe-error-series-max pe-input-series-max
  pe-warn-series-max placement-strategy priority-fencing-delay remove-after-stop shutdown-escalation shutdown-lock
  shutdown-lock-limit start-failure-is-fatal stonith-action stonith-max-attempts stonith-timeout
  stonith-watchdog-timeout stop-orphan-actions stop-orphan-resources stop-removed-actions stop-removed-resources
  transition-delay
`
  .trim()
  .split(/\s+/);

/** What of `properties:` of a Corosync cluster cannot be declared. */
export function propertyFaults(
  properties: Readonly<Record<string, unknown>>,
  at: (...keys: string[]) => string[],
): Fault[] {
  return Object.entries(properties).flatMap(([name, value]): Fault[] => {
    const path = at("properties", name);
    const refusal = refused[name];
    if (refusal !== undefined) return [{ path, found: String(value), ...refusal }];
    if (!known.includes(name)) {
      return [
        {
          path,
          found: "a property that is not known here",
          expected: "one of Pacemaker's",
          remedy: "Correct its spelling or remove it: man 7 pacemaker-schedulerd and pacemaker-controld list them.",
        },
      ];
    }
    if (name !== "no-quorum-policy" || String(value) !== "ignore") return [];
    return [
      {
        path,
        found: "ignore",
        expected: "anything else: each half of a divided cluster would promote a primary of its own",
        remedy: "Remove it: without quorum everything is stopped then.",
      },
    ];
  });
}
