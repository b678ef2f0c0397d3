import type { PacemakerResource } from "./resource.ts";

/** Of an instance, under any agent. `monitorTimeout`: how long the agent may look, such as "10s". */
export function instanceOperations(monitorTimeout: string): PacemakerResource["operations"] {
  return {
    start: { timeout: "60s" },
    stop: { timeout: "60s" },
    // Longer than the election waits for the positions of the other candidates.
    promote: { timeout: "60s" },
    demote: { timeout: "120s" },
    notify: { timeout: "60s" },
    // Pacemaker tells the two apart by their interval, so it must differ.
    "monitor Promoted": { interval: "3s", timeout: monitorTimeout },
    "monitor Unpromoted": { interval: "4s", timeout: monitorTimeout },
  };
}
