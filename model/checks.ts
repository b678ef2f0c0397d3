import { logicalSlotsCheck, otherSlotsCheck, synchronousCheck } from "./checks/afterwards.ts";
import {
  connectionsCheck,
  hotStandbyCheck,
  pendingRestartCheck,
  sendersCheck,
  slotRoomCheck,
  walRoomCheck,
} from "./checks/capacity.ts";
import { block, type Check, type HeldLock, type Subject } from "./checks/check.ts";
import { clocksCheck, lockCheck, managerCheck } from "./checks/hosts.ts";
import { extensionsCheck, settingsCheck } from "./checks/software.ts";
import {
  archiverCheck,
  backupsCheck,
  preparedCheck,
  queriesCheck,
  sendersKeepUpCheck,
  transactionsCheck,
} from "./checks/stop.ts";
import {
  answersCheck,
  databaseCheck,
  lagCheck,
  ownSlotCheck,
  replayCheck,
  slotsForOthersCheck,
  streamsCheck,
  versionCheck,
} from "./checks/target.ts";
import type { Group } from "./group.ts";
import type { Measurements } from "./measurement.ts";
import type { MemberObservation } from "./observation.ts";

/** Everything that the checks judge; nothing else is asked. */
export interface Evidence {
  readonly group: Group;
  readonly from: string;
  readonly to: string;
  readonly observations: readonly MemberObservation[];
  readonly heldLock: HeldLock | undefined;
  /** Or why it could not be measured. */
  readonly measured: Measurements | { readonly failed: string };
}

/** In the order in which people read them. */
const table: readonly ((subject: Subject) => Check)[] = [
  lockCheck,
  managerCheck,
  clocksCheck,
  // the target
  answersCheck,
  versionCheck,
  databaseCheck,
  streamsCheck,
  ownSlotCheck,
  replayCheck,
  lagCheck,
  // what a fast stop of the primary waits for or cuts off
  sendersKeepUpCheck,
  backupsCheck,
  archiverCheck,
  transactionsCheck,
  preparedCheck,
  queriesCheck,
  // whether everybody can go on afterwards
  synchronousCheck,
  hotStandbyCheck,
  pendingRestartCheck,
  connectionsCheck,
  sendersCheck,
  slotRoomCheck,
  slotsForOthersCheck,
  logicalSlotsCheck,
  otherSlotsCheck,
  walRoomCheck,
  settingsCheck,
  extensionsCheck,
];

/** Everything that must hold before a switchover begins; any `block` stops it with the cluster untouched. */
export function checkSwitchover({ group, from, to, observations, heldLock, measured }: Evidence): Check[] {
  const primary = observations.find((observation) => observation.member === from);
  const target = observations.find((observation) => observation.member === to);
  if (primary === undefined || !primary.reached || primary.postgres === undefined) {
    return [block("primary answers", silence(primary), "an answer", `Bring ${from} back.`)];
  }
  if (target === undefined || !target.reached || target.postgres === undefined) {
    return [block("target answers", silence(target), "an answer", `Bring ${to} back, or declare another primary.`)];
  }
  if ("failed" in measured) {
    return [block("measurements", measured.failed, "an answer", "Put that right, and look again.")];
  }
  const subject: Subject = {
    ...{ group, limits: group.limits, from, to, observations, heldLock, measured },
    primary: { ...primary, postgres: primary.postgres },
    target: { ...target, postgres: target.postgres },
  };
  return table.map((check) => check(subject));
}

function silence(observation: MemberObservation | undefined): string {
  if (observation === undefined) return "not asked";
  return observation.reached ? (observation.postgresSilent ?? "not running") : observation.reason;
}
