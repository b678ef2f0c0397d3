import type { FailoverManager } from "./manager.ts";

/** Nobody fails over; systemd starts the members after a boot, and a process that died in place. */
export const noManager: FailoverManager = {
  startsMembers: false,
  standBack: () => Promise.resolve(),
  standsBack: () => false,
  acts: () => false,
  resume: () => Promise.resolve(),
};
