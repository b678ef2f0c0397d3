import type { Fault } from "../fault.ts";
import type { PacemakerConfiguration } from "./configuration.ts";

/** What a host has of sbd, which poisons itself by the shared disks that the agent fence_sbd writes to. */
export interface SbdFacts {
  /** sbd.service starts at boot, with Corosync. */
  readonly enabled: boolean;
  /** SBD_DEVICE of /etc/default/sbd; empty: none. */
  readonly devices: readonly string[];
}

/**
 * A host that does not watch the disks never hears that it is to die, and the agent that wrote to them says that it did. Its
 * watchdog and its disks are the host's own, and set up there: `docs/operations/pacemaker.md`.
 */
export function sbdFaults(host: string, facts: SbdFacts, fencing: PacemakerConfiguration["fencing"]): Fault[] {
  return Object.values(fencing).flatMap(({ agent, parameters }): Fault[] => {
    if (agent !== "stonith:fence_sbd" || !(parameters.pcmk_host_list ?? "").split(" ").includes(host)) return [];
    const wanted = (parameters.devices ?? "").split(",");
    const missing = wanted.filter((device) => !facts.devices.includes(device));
    if (facts.enabled && missing.length === 0) return [];
    const devices = facts.devices.length === 0 ? "no disk" : facts.devices.join(", ");
    return [
      {
        path: ["pgha:hosts", host],
        found: `sbd that ${facts.enabled ? `watches ${devices}` : "does not start with Corosync"}`,
        expected: `it to watch ${wanted.join(", ")}: what is written there switches nobody off otherwise`,
        remedy: `There: SBD_DEVICE="${wanted.join(";")}" and a watchdog in /etc/default/sbd, \`systemctl enable sbd\`.`,
      },
    ];
  });
}
