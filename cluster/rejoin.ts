import { UserError } from "../model/fault.ts";
import { otherCopies } from "../model/group.ts";
import { type MemberObservation, type ReachedMember, reachedMembers } from "../model/observation.ts";
import type { OwnWal } from "../model/ownWal.ts";
import { planClone, planUnderWay, type Rejoin } from "../model/rejoin.ts";
import { rejoinFacts } from "../model/rejoinFacts.ts";
import { steadyRole } from "../model/rendering.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { layRole } from "./configuration.ts";
import { cutOff } from "./cutOff.ts";
import { cloneData } from "./data.ts";
import { keepOwnWal } from "./keep.ts";
import type { ClusterLock } from "./lock.ts";
import { observeMembers } from "./observe.ts";
import { cloneBeside, discardReplaced, giveUpData, swapIn } from "./replace.ts";
import type { Reporter } from "./reporter.ts";
import { markStandby } from "./restore.ts";
import { rewindData, stopReplayed } from "./rewind.ts";
import { ensureSlots, resetSlots } from "./roles.ts";
import { startService, stopService } from "./service.ts";
import { lookAtStrays } from "./strays.ts";
import { streamingStandbys, waitUntilStreaming } from "./streaming.ts";

const stopLimitSeconds = 300;
const startLimitSeconds = 300;
const streamLimitSeconds = 120;

/** What the return of one member rests on. */
interface Return {
  readonly access: ClusterAccess;
  readonly lock: ClusterLock;
  readonly member: MemberAccess;
  readonly primary: MemberAccess;
  readonly reporter: Reporter;
  readonly began: number;
}

/**
 * Brings a member that does not follow the confirmed primary back as it was planned from `observations`. Repeatable at every
 * point: what was cut off is found in the member's marker. Files are laid already.
 * Errors: `UserError` when the plan is to do nothing.
 */
export async function rejoin(
  access: ClusterAccess,
  lock: ClusterLock,
  member: MemberAccess,
  primary: MemberAccess,
  plan: Rejoin,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<void> {
  await carryOut({ access, lock, member, primary, reporter, began: performance.now() }, plan, observations);
}

async function carryOut(back: Return, plan: Rejoin, observations: readonly MemberObservation[]): Promise<void> {
  const { lock, member } = back;
  lock.assertHeld();
  switch (plan.kind) {
    case "refuse":
      throw new UserError(`${member.name}: ${plan.text}`);
    case "follow":
      return follow(back, seenOf(observations, member), plan.formerPrimary);
    case "cut":
      return cut(back);
    case "rewind":
      return rewind(back, observations);
    case "clone":
      return clone(back, observations, plan, []);
    case "swap":
      return startClone(back, []);
  }
}

function seenOf(observations: readonly MemberObservation[], member: MemberAccess): ReachedMember {
  const seen = reachedMembers(observations).find((observation) => observation.member === member.name);
  if (seen === undefined) throw new Error(`${member.name} was not reached`);
  return seen;
}

async function follow(back: Return, seen: ReachedMember, formerPrimary: boolean): Promise<void> {
  const { access, lock, member, primary, reporter } = back;
  if (seen.postgres === undefined) {
    reporter.progress(`${member.name}: starting PostgreSQL`);
    if (formerPrimary) {
      // It may be on its way up as a primary, or wait at its boot gate.
      await stopService(member, lock, stopLimitSeconds);
      await markStandby(member, lock);
    }
    await startService(member, lock, startLimitSeconds);
  }
  if (!formerPrimary) return ensureSlots(access, member);
  await resetSlots(access, member, lock, reporter);
  await waitUntilFollows(back);
  reporter.info(`${member.name} was primary and follows ${primary.name} without a rewind${after(back)}`);
}

/** It may run and ask its primary in vain, or be stopped; a former primary, or a standby that had the record from one. */
async function cut(back: Return): Promise<void> {
  const { access, lock, member, primary, reporter } = back;
  reporter.progress(`${member.name}: stopping it, to cut an unfinished record off its WAL`);
  await stopService(member, lock, stopLimitSeconds);
  // What it had received until then counts.
  const { looked, plan } = await planAgain(back);
  if (plan.kind !== "cut") return carryOut(back, plan, looked);
  lock.assertHeld();
  const { fromLsn, toLsn, timeline } = plan.partial;
  const directory = await cutOff(access, member, lock, plan.partial);
  await markStandby(member, lock);
  await startService(member, lock, startLimitSeconds);
  await resetSlots(access, member, lock, reporter);
  await waitUntilFollows(back);
  reporter.info(
    [
      `${member.name} follows ${primary.name} without a rewind${after(back)}: an unfinished record was cut off its WAL`,
      `  What it had of it, WAL from ${fromLsn} to ${toLsn} (timeline ${timeline}), is kept on its host in`,
      `  ${directory}`,
    ].join("\n"),
  );
}

async function rewind(back: Return, observations: readonly MemberObservation[]): Promise<void> {
  const { access, lock, member, primary, reporter } = back;
  reporter.progress(`${member.name}: stopping it for a rewind`);
  const standing = await stopReplayed(member, lock, seenOf(observations, member));
  // Only stopped it has an end: what it wrote until then counts.
  const { looked, plan } = await planAgain(back);
  if (plan.kind !== "rewind") return carryOut(back, plan, looked);
  if (standing !== undefined) return cloneInstead(back, looked, standing, []);
  const told = await keepAside(back, looked, plan.own);
  reporter.progress(`${member.name}: rewinding to ${plan.own.fromLsn}`);
  const rewound = await rewindData(member, primary, lock);
  if (rewound.kind === "impossible")
    return cloneInstead(back, looked, `pg_rewind cannot rewind it (${rewound.reason})`, told);
  if (rewound.kind === "broken off") {
    return cloneInstead(back, await lookAgain(back), `its rewind broke off (${rewound.reason})`, told);
  }
  await startService(member, lock, startLimitSeconds);
  await resetSlots(access, member, lock, reporter);
  await waitUntilFollows(back);
  const text = `${member.name} was rewound to ${plan.own.fromLsn} and follows ${primary.name}${after(back)}`;
  reporter.info([text, ...told].join("\n"));
}

/** What a rewind could not do, a clone may: by the same rules as if that had been known before. */
async function cloneInstead(
  back: Return,
  observations: readonly MemberObservation[],
  reason: string,
  told: readonly string[],
): Promise<void> {
  const { access, member, primary, reporter } = back;
  const facts = rejoinFacts(access.group, primary.name, seenOf(observations, member), observations);
  if (facts === undefined) throw new Error(`${member.name}: nothing is known of its data`);
  const plan = planClone(facts, reason);
  if (plan.kind !== "clone") throw new UserError(`${member.name}: ${plan.text}`);
  reporter.warn(`${member.name}: ${plan.text}`);
  return clone(back, observations, plan, told);
}

async function clone(
  back: Return,
  observations: readonly MemberObservation[],
  plan: Extract<Rejoin, { kind: "clone" }>,
  told: readonly string[],
): Promise<void> {
  const { access, lock, member, primary, reporter } = back;
  reporter.progress(`${member.name}: stopping it for a clone`);
  await stopService(member, lock, stopLimitSeconds);
  const kept = plan.own === undefined ? told : await keepAside(back, observations, plan.own);
  lock.assertHeld();
  reporter.progress(`${member.name}: cloning from ${primary.name}`);
  if (plan.place === "beside") {
    await cloneBeside(lock, member, primary, reporter);
    return startClone(back, kept);
  }
  await refuseLastCopy(back, seenOf(observations, member));
  await giveUpData(lock, member);
  await cloneData(access, lock, member, primary, reporter);
  return start(back, kept);
}

/** Just before its own data is given up: without another standby the primary's would be the only copy for a while. */
async function refuseLastCopy({ access, member, primary }: Return, { local }: ReachedMember): Promise<void> {
  if (local.marker?.state === "rewinding") return;
  const streaming = await withSession(primary, streamingStandbys);
  if (otherCopies(access.group, member.name, primary.name, streaming).length > 0) return;
  throw new UserError(
    `${member.name}: no other standby streams from ${primary.name} any more, and its own data is the only other copy. Nothing was removed. Bring another standby back, then run \`pulumi up\` again.`,
  );
}

async function startClone(back: Return, kept: readonly string[]): Promise<void> {
  const { lock, member } = back;
  lock.assertHeld();
  await stopService(member, lock, stopLimitSeconds);
  await swapIn(lock, member);
  await start(back, kept);
  await discardReplaced(lock, member);
}

async function start(back: Return, kept: readonly string[]): Promise<void> {
  const { access, lock, member, primary, reporter } = back;
  await layRole(access, member, steadyRole);
  await startService(member, lock, startLimitSeconds);
  await ensureSlots(access, member);
  await waitUntilFollows(back);
  reporter.info([`${member.name} was cloned anew and follows ${primary.name}${after(back)}`, ...kept].join("\n"));
}

async function keepAside(
  { access, member, primary, reporter }: Return,
  observations: readonly MemberObservation[],
  own: OwnWal,
): Promise<string[]> {
  const { source } = seenOf(observations, primary);
  if (source === undefined) throw new Error(`${primary.name} was not asked for its timelines`);
  reporter.progress(`${member.name}: keeping its own WAL aside`);
  const directory = await keepOwnWal(access, member, seenOf(observations, member), source, own);
  const count = own.transactions === undefined ? "transactions" : `${own.transactions} transactions`;
  return [
    `  ${count} of its own, WAL from ${own.fromLsn} to ${own.toLsn} (timeline ${own.timeline}), are kept on its host in`,
    `  ${directory}`,
  ];
}

async function planAgain(back: Return): Promise<{ looked: MemberObservation[]; plan: Rejoin }> {
  const { access, member, primary } = back;
  const looked = await lookAgain(back);
  const plan = planUnderWay(access.group, primary.name, member.name, looked);
  if (plan === undefined) throw new Error(`${member.name} follows ${primary.name}: there is nothing to plan`);
  return { looked, plan };
}

async function lookAgain({ access, primary }: Return): Promise<MemberObservation[]> {
  return lookAtStrays(access, primary.name, await observeMembers(access));
}

/** Every look has a session of its own: the wait may be long, and outlives one that breaks. */
function waitUntilFollows({ member, primary }: Pick<Return, "member" | "primary">): Promise<void> {
  const read = () => withSession(primary, streamingStandbys);
  return waitUntilStreaming(read, primary.name, [member.name], streamLimitSeconds);
}

/**
 * Removes what a clone replaced, or began beside the data, once the member streams: then the data is at two places besides.
 * Until then it stays, and the member's health says so.
 */
export async function removeReplaced(lock: ClusterLock, member: MemberAccess, primary: MemberAccess): Promise<void> {
  await waitUntilFollows({ member, primary });
  await discardReplaced(lock, member);
}

function after({ began }: Return): string {
  return `, ${((performance.now() - began) / 1000).toFixed(1)} s after it began`;
}
