import { accessDeclared, type ClusterAccess } from "../cluster/access.ts";
import { withRulesAsSeen } from "../cluster/commitRules.ts";
import { type Converged, converge } from "../cluster/converge.ts";
import { createCluster } from "../cluster/create.ts";
import {
  type Decision,
  decide,
  decideAgain,
  type Goal,
  lookedAt,
  refuseWrongHostKeys,
  stopped,
} from "../cluster/decide.ts";
import { finishUnfinished } from "../cluster/finish.ts";
import { refuseStrangeData, refuseUnfit } from "../cluster/judge.ts";
import type { ClusterLock } from "../cluster/lock.ts";
import { observeMembers } from "../cluster/observe.ts";
import type { Passwords } from "../cluster/passwords.ts";
import { planRemovals } from "../cluster/retire.ts";
import { observeWithStrays } from "../cluster/strays.ts";
import { assessSwitchover, refuseBlocked, switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import { UserError } from "../model/fault.ts";
import { groupOf } from "../model/group.ts";
import { type DeclaredGroup, diffGroup, type GroupState } from "../model/groupDiff.ts";
import { isEmptyAndUnmarked, type MemberObservation, reachedMembers } from "../model/observation.ts";
import { namedPrimary } from "../model/observedPrimary.ts";
import { planRejoins } from "../model/rejoin.ts";
import { planText, reportText } from "../model/report.ts";
import type { Applied, Situation } from "../model/situation.ts";
import { asProperties } from "./inputs.ts";
import { memberNotices } from "./notices.ts";
import type { Context, Saved } from "./resource.ts";

interface Task extends Goal {
  readonly preview: boolean;
}

/** Create and update alike: look again, let the table decide, and do that; at preview only say it. */
export async function carryOut(context: Context, task: Task): Promise<Saved> {
  const { declared } = task;
  const before = task.olds === undefined ? undefined : groupOf(task.olds);
  const access = accessDeclared(groupOf(declared), before, context.hosts);
  const decision = decide(task, await observeWithStrays(access));
  const { situation } = decision;
  refuseWrongHostKeys(task, decision);
  if (situation.kind === "stop" || situation.kind === "unknown") throw stopped(access.group, decision);
  await refuseUnfit(access, task, decision);
  if (task.preview) {
    await announce(context, access, declared, decision);
    for (const { kind, text } of await planRemovals(access)) {
      context[kind === "stop" ? "info" : "warn"](`${declared.cluster}: ${text}`);
    }
    return { outputs: outputsOf(task, { ...decision.state, ...previewedPrimary(situation, declared) }) };
  }
  if (situation.kind === "switchover") {
    await refuseBlocked(access, situation.from, situation.to, decision.observations);
  }
  if (situation.kind === "record" || situation.kind === "acknowledge") {
    context.info(`${declared.cluster}: ${situation.text}`);
    if (touchesNobody(task, decision)) return recordOnly(context, access, task, situation);
  }
  return underLock(access, context, async (lock, observations) => {
    const now = decideAgain(task, decision, observations);
    refuseStrangeData(declared, now);
    return save(access, task, await operate(context, access, lock, task, now));
  });
}

/** The state is brought up to date, and no host is written to. */
function touchesNobody(task: Task, { situation, state }: Decision): boolean {
  if (situation.kind === "record") return state.observed.kind !== "stopped";
  return Object.keys(diffGroup(task.declared, task.olds, state)).every((name) => name === "primary");
}

/** What is not well is not this update's work: it is told, and the next one repairs it. */
async function recordOnly(context: Context, access: ClusterAccess, task: Task, situation: Situation): Promise<Saved> {
  const { state, outputs } = await save(access, task, recordedAs(task, situation));
  tellMembers(context, task.declared, state);
  return { outputs };
}

function tellMembers(context: Context, declared: DeclaredGroup, state: GroupState): void {
  for (const { level, text } of memberNotices(declared, state, "; the next `pulumi up` repairs it")) {
    context[level](text);
  }
}

/** What preview says. A switchover's checks run here too, and a block stops it. */
async function announce(
  context: Context,
  access: ClusterAccess,
  declared: DeclaredGroup,
  decision: Decision,
): Promise<void> {
  const { situation, observations, state } = decision;
  const { cluster } = declared;
  if (situation.kind !== "switchover") {
    if (situation.kind !== "unchanged" && situation.kind !== "drift") context.info(`${cluster}: ${situation.text}`);
    if (situation.kind === "create") return;
    if (situation.kind === "record") return tellMembers(context, declared, state);
    for (const seen of reachedMembers(observations).filter(isEmptyAndUnmarked)) {
      context.info(`${cluster}: ${seen.member} is empty: it will be cloned`);
    }
    announceRejoins(context, access, decision);
    return;
  }
  context[situation.doubtful ? "warn" : "info"](`${cluster}: ${situation.text}`);
  const { plan, checks, prediction } = await assessSwitchover(access, situation.from, situation.to);
  const text = planText(plan, checks, prediction);
  if (checks.some((check) => check.verdict === "block")) throw new UserError(`${text}\n  Nothing was touched.`);
  if (checks.some((check) => check.verdict === "warn")) context.warn(text);
  else context.info(text);
}

/** How each member that does not follow the primary will come back. */
function announceRejoins(context: Context, { group }: ClusterAccess, { state, observations }: Decision): void {
  if (state.observed.kind !== "known") return;
  for (const [member, plan] of Object.entries(planRejoins(group, state.observed.member, observations))) {
    context[plan.kind === "follow" ? "info" : "warn"](`${group.cluster}: ${member}: ${plan.text}`);
  }
}

function previewedPrimary(situation: Situation, declared: DeclaredGroup) {
  return situation.kind === "switchover" || situation.kind === "create" ? { primary: declared.primary } : {};
}

interface Done {
  /** The declared primary that counts as carried out, acknowledged or recorded from now on. */
  readonly applied: string;
  /** Who was declared before the failover that this update acknowledges. */
  readonly failedOverFrom?: string | undefined;
  /** Undefined: as they were. */
  readonly passwords?: Passwords;
}

/** Which operation on the cluster each situation is. */
async function operate(
  context: Context,
  access: ClusterAccess,
  lock: ClusterLock,
  task: Task,
  decision: Decision,
): Promise<Done> {
  const { situation, observations } = decision;
  const { declared } = task;
  switch (situation.kind) {
    case "create":
      return afterRecovery(task, await createCluster(access, lock, task, observations, context));
    case "finish":
      return afterRecovery(task, await finishUnfinished(access, lock, task, observations, context));
    case "switchover":
      return switchover(context, access, lock, task, situation, observations);
    case "record":
    case "acknowledge":
      return { ...(await convergeObserved(context, access, lock, task, decision)), ...recordedAs(task, situation) };
    case "unchanged":
    case "drift": {
      // The diff showed a switchover back that is not due any more.
      if (situation.kind === "drift" && task.recorded?.switchBackDue === true) {
        context.warn(`${declared.cluster}: ${situation.text}`);
      }
      const applied = task.recorded?.applied?.member ?? declared.primary;
      return { ...(await convergeObserved(context, access, lock, task, decision)), applied };
    }
    case "stop":
    case "unknown":
      throw stopped(access.group, decision);
  }
}

/** What was acknowledged is remembered until the next switchover: an old stack file, merged by mistake, would name that member again. */
function recordedAs({ declared, recorded }: Task, { kind }: Situation): Done {
  return {
    applied: declared.primary,
    ...(kind === "acknowledge" ? { failedOverFrom: recorded?.applied?.member } : {}),
  };
}

/** What was finished is carried out when it led to what is declared now. */
function afterRecovery(task: Task, { primary, passwords }: Converged): Done {
  const { declared, recorded } = task;
  return {
    applied: primary === declared.primary ? primary : (recorded?.applied?.member ?? declared.primary),
    passwords,
  };
}

async function convergeObserved(
  context: Context,
  access: ClusterAccess,
  lock: ClusterLock,
  task: Task,
  decision: Decision,
): Promise<Converged> {
  const primary = namedPrimary(decision.state.observed);
  if (primary === undefined) throw stopped(access.group, decision);
  return converge(access, lock, primary.member, task, decision.observations, context);
}

async function switchover(
  context: Context,
  access: ClusterAccess,
  lock: ClusterLock,
  task: Task,
  { from, to }: Extract<Situation, { kind: "switchover" }>,
  observations: readonly MemberObservation[],
): Promise<Done> {
  const seen = task.recorded?.observed;
  if (seen?.kind !== "known")
    throw new UserError(`${task.declared.cluster}: the diff saw no primary; run \`pulumi up\` again.`);
  const asSeen = withRulesAsSeen(access, from, observations);
  context.info(reportText(await switchOver(asSeen, from, to, seen, lock, context)));
  const after = await observeMembers(access);
  const unsettled = diffGroup(task.declared, task.declared, { ...lookedAt(task, after), applied: undefined });
  // A member that is unhealthy still was so before: it is told with the result, and is the next one's work.
  const more = Object.keys(unsettled).some((name) => name !== "applied" && !name.startsWith("unhealthy."));
  if (!more && access.removed === undefined) return { applied: to };
  const { passwords } = await converge(access, lock, to, task, after, context);
  return { applied: to, passwords };
}

/** A fresh look at the cluster, and what is saved of it. */
async function save(access: ClusterAccess, task: Task, done: Done): Promise<Saved & { state: GroupState }> {
  const state = lookedAt(task, await observeWithStrays(access));
  const applied = appliedAfter(state, task.recorded?.applied, done);
  return { state, outputs: outputsOf(task, { ...state, applied }, done.passwords), ...incomplete(state.unhealthy) };
}

function appliedAfter({ observed }: GroupState, recorded: Applied | undefined, done: Done): Applied | undefined {
  if (observed.kind !== "known") return recorded;
  const { systemIdentifier, timeline } = observed;
  const kept = recorded?.member === done.applied ? recorded.failedOverFrom : undefined;
  const failedOverFrom = done.failedOverFrom ?? kept;
  return {
    member: done.applied,
    systemIdentifier,
    timeline,
    ...(failedOverFrom === undefined ? {} : { failedOverFrom }),
  };
}

/** The declaration, the passwords in force, and what was seen. */
function outputsOf({ declared, recorded }: Task, state: GroupState, passwords?: Passwords) {
  return asProperties({
    ...declared,
    superuserPassword: passwords?.superuser ?? recorded?.superuserPassword,
    replicationPassword: passwords?.replication ?? recorded?.replicationPassword,
    ...state,
  });
}

function incomplete(unhealthy: Readonly<Record<string, string>> | undefined): { incomplete?: string[] } {
  const lines = Object.entries(unhealthy ?? {}).map(([member, text]) => `${member}: ${text}`);
  return lines.length === 0 ? {} : { incomplete: lines };
}
