import { recoveryOf } from "../../model/unfinished.ts";
import type { GateAnswer, Handover, Lock, Revocation, Switch, Ticket } from "./world.ts";

/**
 * What the explored hosts and orchestrators go by, so that a test can take one rule out. The decisions of an orchestrator
 * are model/'s own functions. Those of the hosts are agent/'s, said again in TypeScript; rules.test.ts holds the first
 * four of them to the answers of the Python ones.
 */
export const realRules = {
  /** agent/ticket.py, may_consume: the whole right to promote. */
  mayConsume: (ticket: Ticket | undefined, lock: Lock, epoch: number, isLate: boolean): boolean =>
    ticket?.state === "armed" && ticket.epoch === epoch && ticket.thisBoot && isHeld(lock, epoch) && !isLate,

  /** agent/ticket.py, after_revocation: what is said to one who wants the ticket taken away. */
  afterRevocation: (
    ticket: Ticket | undefined,
    handover: Pick<Handover, "epoch" | "timeline">,
    own: { readonly timeline: number; readonly isStandby: boolean },
  ): Revocation => {
    const { epoch, timeline } = handover;
    if (ticket?.epoch === epoch && (ticket.state === "consumed" || ticket.state === "promoted")) return ticket.state;
    if ((ticket?.epoch ?? 0) > epoch || own.timeline > timeline || !own.isStandby) return "overtaken";
    return "revoked";
  },

  /** agent/gate.py, verdict: may a former primary start as primary, by what the others say? */
  verdict: (timeline: number, answers: readonly GateAnswer[], members: number): boolean =>
    answers.every((answer) => answer.timeline <= timeline && !answer.inProduction && !answer.consumed) &&
    (answers.length + 1) * 2 > members,

  /** agent/lock.py, hold. */
  mayTakeLock: (lock: Lock, epoch: number): boolean => !lock.alive && lock.epoch < epoch,

  /** agent/handover.py, arm: of the ticket as of the switch. */
  mayArm: (host: { lock: Lock; journal: Handover | undefined }, record: { epoch: number } | undefined, epoch: number) =>
    isHeld(host.lock, epoch) && host.journal?.epoch === epoch && (record?.epoch ?? 0) < epoch,

  /** agent/give.py, outage: may the primary be stopped? */
  mayGo: (host: { lock: Lock; journal: Handover | undefined; switch: Switch | undefined }, epoch: number): boolean =>
    isHeld(host.lock, epoch) &&
    host.journal?.epoch === epoch &&
    host.switch?.epoch === epoch &&
    host.switch.state === "armed",

  /** agent/give.py, restore: `permitted`. `lockEpoch`: of the one orchestrator who may be at work meanwhile. */
  mayRestore: (
    host: { lock: Lock; journal: Handover | undefined; switch: Switch | undefined },
    epoch: number,
    lockEpoch: number,
  ): boolean =>
    host.journal?.epoch === epoch &&
    host.switch?.epoch === epoch &&
    host.switch.state === "stopping" &&
    (!host.lock.alive || host.lock.epoch === lockEpoch),

  /** agent/gate.py, old_primarys_word: does its switch leave the target the only one, and is nobody about to change that? */
  givesItsWord: (found: Switch | undefined, lock: Lock, epoch: number): boolean =>
    found?.epoch === epoch &&
    (found.state === "stopping" || found.state === "followed") &&
    found.under === undefined &&
    (!lock.alive || lock.epoch === epoch),

  /** A refused ticket is revoked before the old primary hears of it. */
  refusalRevokes: true,
  /** No answer from the target is no permission to come back. */
  silenceKeepsDown: true,
  /** The boot gate of a member that was to give its place up asks the target first. */
  gateSettles: true,
  /** After a boot the target promotes, or starts as primary, only with the old primary's word. */
  targetAsksAfterBoot: true,
  /** Nor in the same boot, when its process or its server was started again. */
  targetAsksAgain: true,
  /** The target looks at the clock again when its consumed ticket is on the disk, and then needs that word too. */
  clockAfterConsuming: true,
  /** A start as primary without a pass needs the word of a majority. */
  gateAsksMajority: true,
  /** An intended stop makes the pass worthless. */
  stopRemovesPass: true,
  /** What survives a power cut at once, because it is written with fsync before the next step. */
  durable: { stopping: true, standbySignal: true, consumed: true, revoked: true },
  /** `up` takes the ticket away before it brings the old primary back, or calls the handover off. */
  upRevokesFirst: true,
  /** The target's host promotes itself only with a ticket that proves its WAL to be complete. */
  walIsProved: true,
  recoveryOf,
};

export type Rules = typeof realRules;

export function isHeld(lock: Lock, epoch: number): boolean {
  return lock.alive && lock.epoch === epoch;
}
