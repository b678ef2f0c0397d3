import { UserError } from "../model/fault.ts";
import { memberHealth } from "../model/health.ts";
import {
  describeMember,
  hasReadyData,
  isLost,
  type MemberObservation,
  type ReachedMember,
  wasCompleted,
} from "../model/observation.ts";
import { refusalToInitialise } from "../model/ownership.ts";
import { planRejoins } from "../model/rejoin.ts";
import { steadyRole } from "../model/rendering.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { ensureChannel } from "./channel.ts";
import { concludeRules, planOfRules, withRules } from "./commitRules.ts";
import { layConfiguration, layPassfile, layRole, reloadConfiguration } from "./configuration.ts";
import { cloneData, initializeData } from "./data.ts";
import type { Goal } from "./decide.ts";
import type { ClusterLock } from "./lock.ts";
import { observeMembers } from "./observe.ts";
import { decideReplicationPassword, decideSuperuserPassword, type Passwords } from "./passwords.ts";
import { rejoin, removeReplaced } from "./rejoin.ts";
import { type Reporter, stopIfCancelled } from "./reporter.ts";
import { admitPrimary, unmarkStandby } from "./restore.ts";
import { retireRemoved } from "./retire.ts";
import { ensureReplicationRole, ensureSlots, ensureSuperuserPassword } from "./roles.ts";
import { ensureBootStart, startService } from "./service.ts";
import { lookAtStrays } from "./strays.ts";
import { streamingStandbys, waitUntilStreaming } from "./streaming.ts";
import { waitFor } from "./waitFor.ts";

const startLimitSeconds = 300;
const settleLimitSeconds = 120;

/** What a cluster was brought to. */
export interface Converged {
  readonly primary: string;
  readonly passwords: Passwords;
}

/**
 * Brings an existing or new cluster to what is declared, without moving the primary: files, services, roles, slots,
 * clones. Every step is repeatable, so that what was interrupted is finished by running it again.
 * `observations` were made under `lock`; `primary` is the confirmed primary, or the declared one when nothing exists yet.
 */
export async function converge(
  declared: ClusterAccess,
  lock: ClusterLock,
  primaryName: string,
  goal: Goal,
  observations: readonly MemberObservation[],
  reporter: Reporter,
): Promise<Converged> {
  const rulePlan = planOfRules(declared, primaryName, observations);
  const access = rulePlan === undefined ? declared : withRules(declared, rulePlan.now);
  const primary = access.member(primaryName);
  refuseSecondDatabase(access, primaryName, observations);
  const observed = new Map(observations.map((observation) => [observation.member, observation]));
  const reached = access.members.filter((member) => observed.get(member.name)?.reached === true);
  const of = (member: MemberAccess) => observed.get(member.name) as ReachedMember;
  const replication = await decideReplicationPassword(goal, primary);
  lock.assertHeld();
  await layFiles(access, reached.map(of), replication);
  await ensureChannel(access, reached);
  stopIfCancelled(reporter, "before the data was touched");

  const creating = !hasReadyData(of(primary));
  if (creating) {
    reporter.progress(`${primary.name}: initdb`);
    await initializeData(access, lock, primary);
    await layRole(access, primary, { ...steadyRole, synchronous: false });
  }
  if (of(primary).postgres === undefined) await admitPrimary(primary, lock);
  await ensureRunning(lock, primary, of(primary), reporter);
  if (of(primary).postgres?.inRecovery === false && of(primary).local.standbySignal) await unmarkStandby(primary, lock);
  await ensureReplicationRole(primary, replication);
  await retireRemoved(access, primary, reporter);
  await ensureSlots(access, primary);

  const seenNow = of(primary).postgres === undefined ? await observeMembers(access) : observations;
  const looked = await lookAtStrays(access, primaryName, seenNow);
  const plans = planRejoins(access.group, primaryName, looked);
  const left = new Map(Object.entries(plans).filter(([_, plan]) => plan.kind === "refuse"));
  for (const [name, { text }] of left) reporter.warn(`${access.group.cluster}: ${name}: ${text}`);
  // A member whose own data is not there waits for it: it is neither started nor cloned.
  const whole = reached.filter((member) => !isLost(of(member)) && !left.has(member.name));
  const standbys = whole.filter((member) => member !== primary);
  await settleAll(standbys, async (standby) => {
    const plan = plans[standby.name];
    if (plan !== undefined) return rejoin(access, lock, standby, primary, plan, looked, reporter);
    return ensureStandby(access, lock, standby, of(standby), primary, reporter);
  });
  // Another one's own clone has removed what it replaced; here it is what an earlier one left.
  const leftovers = standbys.filter((member) => plans[member.name]?.kind !== "clone" && hasLeftovers(of(member)));
  await Promise.all(leftovers.map((member) => removeReplaced(lock, member, primary)));
  if (creating) {
    const names = standbys.map((standby) => standby.name);
    if (names.length > 0) reporter.progress("waiting until every standby streams");
    await withSession(primary, (session) =>
      waitUntilStreaming(() => streamingStandbys(session), primary.name, names, settleLimitSeconds),
    );
    await layRole(access, primary, steadyRole);
    await reloadConfiguration(primary);
  }
  await Promise.all(reached.map((member) => undoAlterSystem(member, of(member))));
  await waitUntilSettled(access, primaryName, reporter, new Set(whole.map((member) => member.name)));
  if (rulePlan !== undefined) await concludeRules(access, rulePlan, primary, reached, reporter);
  // Last: a password made for a creation that is cut off would be known to nobody, and never set anew.
  const superuser = await decideSuperuserPassword(goal, primary);
  if (superuser !== undefined) await ensureSuperuserPassword(primary, superuser);
  return { primary: primaryName, passwords: { superuser, replication } };
}

/**
 * The last gate before a database is made, or anything is laid for a primary that nobody sees: initdb beside data of the
 * cluster, or beside a host that may hold it, would make a second database of its name.
 */
function refuseSecondDatabase(
  access: ClusterAccess,
  primary: string,
  observations: readonly MemberObservation[],
): void {
  const seen = observations.find((observation) => observation.member === primary);
  const hasData = seen?.reached === true && hasReadyData(seen);
  const refusal = hasData ? undefined : refusalToInitialise(primary, observations);
  if (refusal === undefined) return;
  const members = observations.map((one) => `  ${describeMember(one)}`).join("\n");
  throw new UserError(
    `${access.group.cluster}: no new database is made on ${primary}: ${refusal}.\n  Nothing was touched. Bring every member back, then run \`pulumi up\` again.\n${members}`,
  );
}

/** Lets every member finish its own work before the first fault is told: a clone is not left to itself. */
async function settleAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(items.map(work));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function hasLeftovers({ local: { marker } }: ReachedMember): boolean {
  return marker?.beside !== undefined || marker?.replaced !== undefined;
}

/**
 * Every file of these members. By which rule somebody is promoted lies on all of them before any of them acknowledges by
 * another one.
 */
async function layFiles(
  access: ClusterAccess,
  observations: readonly ReachedMember[],
  replicationPassword: string,
): Promise<void> {
  await Promise.all(
    observations.flatMap((seen) => {
      const member = access.member(seen.member);
      return [layConfiguration(access, member), layPassfile(access, member, replicationPassword)];
    }),
  );
  await Promise.all(
    observations.map(async (seen) => {
      const member = access.member(seen.member);
      const isFinished = seen.local.marker?.state === "ready";
      // During a first creation the rule stays off until the standbys stream: `converge` tightens it at the end.
      await layRole(access, member, isFinished ? steadyRole : { ...steadyRole, synchronous: false });
      // Always: an earlier run may have ended between laying a file and reloading it, and a reload of nothing costs nothing.
      if (seen.postgres !== undefined) await reloadConfiguration(member);
    }),
  );
}

async function ensureRunning(
  lock: ClusterLock,
  member: MemberAccess,
  observation: ReachedMember,
  reporter: Reporter,
): Promise<void> {
  if (observation.postgres !== undefined) {
    if (observation.local.unitEnabled === member.manager.startsMembers) await ensureBootStart(member);
    return;
  }
  lock.assertHeld();
  reporter.progress(`${member.name}: starting PostgreSQL`);
  await startService(member, lock, startLimitSeconds);
}

async function ensureStandby(
  access: ClusterAccess,
  lock: ClusterLock,
  standby: MemberAccess,
  observation: ReachedMember,
  primary: MemberAccess,
  reporter: Reporter,
): Promise<void> {
  const { marker } = observation.local;
  if (marker === undefined || !wasCompleted(marker)) {
    reporter.progress(`${standby.name}: cloning from ${primary.name}`);
    await cloneData(access, lock, standby, primary, reporter);
    await layRole(access, standby, steadyRole);
  }
  await ensureRunning(lock, standby, observation, reporter);
  await ensureSlots(access, standby);
}

/** What ALTER SYSTEM did is drift: the stack file is where parameters are declared. */
async function undoAlterSystem(member: MemberAccess, observation: ReachedMember): Promise<void> {
  const names = observation.postgres?.alterSystem ?? [];
  if (names.length === 0) return;
  await withSession(member, async (session) => {
    for (const name of names) await session.query(`alter system reset "${name.replaceAll('"', '""')}"`);
    await session.query("select pg_reload_conf()");
  });
}

/** `up` returns only once every member that was reached (or those in `expected`) is what it is declared to be. */
export async function waitUntilSettled(
  access: ClusterAccess,
  primaryName: string,
  reporter: Reporter,
  expected?: ReadonlySet<string>,
): Promise<MemberObservation[]> {
  reporter.progress("waiting until the cluster has settled");
  return waitFor(`cluster ${access.group.cluster} to settle`, settleLimitSeconds, async () => {
    const observations = await observeMembers(access);
    const unhealthy = memberHealth(access.group, primaryName, observations);
    const counted = Object.entries(unhealthy).filter(([name]) => expected?.has(name) ?? true);
    const problems = counted.map(([name, text]) => `${name}: ${text}`);
    if (problems.length === 0) return { done: observations };
    return { lastSeen: `${problems.join("; ")} (${observations.map(describeMember).join("; ")})` };
  });
}
