import { accessCluster, type ClusterAccess, type MemberAccess, withSession } from "../cluster/access.ts";
import { judgeParameters } from "../cluster/configuration.ts";
import { converge } from "../cluster/converge.ts";
import { stateOf } from "../cluster/groupState.ts";
import { writeMarker } from "../cluster/marker.ts";
import { observeMembers } from "../cluster/observe.ts";
import { recoverHandover } from "../cluster/recover.ts";
import { generatePassword, type Passwords } from "../cluster/roles.ts";
import { startService } from "../cluster/service.ts";
import { assessSwitchover, refuseBlocked, switchOver } from "../cluster/switchOver.ts";
import { underLock } from "../cluster/underLock.ts";
import { FaultsFound, faultText, UserError } from "../model/fault.ts";
import { groupOf } from "../model/group.ts";
import { type DeclaredGroup, diffGroup, factsOf, type GroupState } from "../model/groupDiff.ts";
import { describeMember, isEmptyAndUnmarked, type MemberObservation, reachedMembers } from "../model/observation.ts";
import { strangeData } from "../model/ownership.ts";
import { refusedChanges, roomFaults } from "../model/refusals.ts";
import { renderPostgresqlConf } from "../model/rendering.ts";
import { planText, reportText } from "../model/report.ts";
import { type Applied, type Situation, situationOf } from "../model/situation.ts";
import { NoPostgres } from "../remote/errors.ts";
import { readFiles } from "../remote/files.ts";
import { asProperties } from "./inputs.ts";
import type { Context, Saved } from "./resource.ts";

/** Outputs are the declared properties with what was observed written over them. */
type GroupOutputs = DeclaredGroup & GroupState;

const startLimitSeconds = 300;

interface Task {
  readonly declared: DeclaredGroup;
  readonly olds: DeclaredGroup | undefined;
  readonly outputs: GroupOutputs | undefined;
  readonly preview: boolean;
  /** Who was declared before the failover that this update acknowledges. */
  readonly failedOverFrom?: string | undefined;
}

/** Create and update alike: look again, let the table decide, and do that; at preview only say it. */
export async function carryOut(context: Context, task: Task): Promise<Saved> {
  const { declared, outputs } = task;
  const group = groupOf(declared);
  const access = accessCluster(group, context.hosts);
  const observations = await observeMembers(access);
  const before = { primary: outputs?.primary ?? declared.primary, applied: outputs?.applied };
  const state = { ...passwordsOf(outputs), ...asShown(stateOf(group, observations, before), outputs) };
  const situation = situationOf(factsOf(declared, task.olds, state));
  if (situation.kind === "stop" || situation.kind === "unknown") throw stopped(declared, situation, observations);
  const refused = [
    ...refusedChanges(declared, task.olds, observations),
    ...strangeData(declared.cluster, declared.members, observations),
  ];
  if (refused.length > 0) throw new FaultsFound(refused, `Nothing was touched:`);
  await refuseWithoutRoom(access, declared, observations, state.observed);
  await refuseBadParameters(access, observations);
  if (!task.preview && situation.kind === "switchover")
    refuseBlocked(access, situation.from, situation.to, observations);
  if (task.preview) {
    await announce(context, access, declared, situation, observations);
    return {
      outputs: asProperties({
        ...declared,
        ...state,
        ...previewedPrimary(situation, declared),
      }),
    };
  }
  return act(context, access, task, situation, observations);
}

function passwordsOf(outputs: GroupOutputs | undefined) {
  return {
    superuserPassword: outputs?.superuserPassword,
    replicationPassword: outputs?.replicationPassword,
  };
}

/** Nobody is switched back without having been shown: what became due after the diff is for the next `up`. */
function asShown(state: GroupState, outputs: GroupOutputs | undefined): GroupState {
  const shown = outputs?.switchBackDue === true && outputs.primary === state.primary;
  if (state.switchBackDue !== true || shown) return state;
  return { ...state, switchBackDue: false, switchBackWaitsFor: "the next `pulumi up`: it became due just now" };
}

function previewedPrimary(situation: Situation, declared: DeclaredGroup) {
  return situation.kind === "switchover" || situation.kind === "create" ? { primary: declared.primary } : {};
}

function stopped(declared: DeclaredGroup, situation: Situation, observations: readonly MemberObservation[]): UserError {
  const members = observations.map((seen) => `  ${describeMember(seen)}`);
  return new UserError(`${declared.cluster}: ${situation.text}\n${members.join("\n")}`);
}

/** A clone must fit before anything is touched. */
async function refuseWithoutRoom(
  access: ClusterAccess,
  declared: DeclaredGroup,
  observations: readonly MemberObservation[],
  observed: { kind: string; member?: string },
): Promise<void> {
  const targets = reachedMembers(observations).filter((seen) => seen.local.dataDirectory !== "data");
  if (targets.length === 0) return;
  const bytes =
    observed.kind === "known" && observed.member !== undefined
      ? await databaseBytes(access, observed.member)
      : emptyDatabaseBytes;
  const faults = roomFaults(declared.cluster, targets, bytes, (member) => declared.members[member]?.host ?? member);
  if (faults.length > 0) throw new FaultsFound(faults, "Nothing was touched:");
}

/** PostgreSQL itself reads new parameters before anything is touched, at preview too. */
async function refuseBadParameters(access: ClusterAccess, observations: readonly MemberObservation[]): Promise<void> {
  const changed = reachedMembers(observations).filter((seen) => {
    const member = access.member(seen.member);
    return seen.local.files[member.paths.postgresqlConf] !== renderPostgresqlConf(access.group, member.declaration);
  });
  const faults = await Promise.all(changed.map((seen) => judgeParameters(access, access.member(seen.member))));
  const different = new Map(faults.flat().map((fault) => [faultText(fault), fault]));
  if (different.size > 0) throw new FaultsFound([...different.values()], "Nothing was touched:");
}

/** A fresh initdb, its WAL, and room to begin with. */
const emptyDatabaseBytes = 200 * 1024 * 1024;

function databaseBytes(access: ClusterAccess, primary: string): Promise<number> {
  return withSession(access.member(primary), async (session) => {
    const rows = await session.query<{ bytes: string }>(
      "select (select sum(pg_database_size(oid)) from pg_database) + (select sum(size) from pg_ls_waldir()) as bytes",
    );
    return Number(rows[0]?.bytes ?? 0);
  });
}

/** What preview says. A switchover's checks run here too, and a block stops it. */
async function announce(
  context: Context,
  access: ClusterAccess,
  declared: DeclaredGroup,
  situation: Situation,
  observations: readonly MemberObservation[],
): Promise<void> {
  if (situation.kind !== "switchover") {
    if (situation.kind !== "unchanged" && situation.kind !== "drift")
      context.info(`${declared.cluster}: ${situation.text}`);
    const clones = reachedMembers(observations).filter(
      (seen) => isEmptyAndUnmarked(seen) && situation.kind !== "create",
    );
    for (const seen of clones) context.info(`${declared.cluster}: ${seen.member} is empty: it will be cloned`);
    return;
  }
  context[situation.doubtful ? "warn" : "info"](`${declared.cluster}: ${situation.text}`);
  const { plan, checks, prediction } = await assessSwitchover(access, situation.from, situation.to);
  const text = planText(plan, checks, prediction);
  if (checks.some((check) => check.verdict === "block")) throw new UserError(`${text}\n  Nothing was touched.`);
  if (checks.some((check) => check.verdict === "warn")) context.warn(text);
  else context.info(text);
}

async function act(
  context: Context,
  access: ClusterAccess,
  task: Task,
  situation: Situation,
  observations: readonly MemberObservation[],
): Promise<Saved> {
  const { declared } = task;
  switch (situation.kind) {
    case "create":
      return create(context, access, task, observations);
    case "finish": {
      await underLock(access, context, (lock, seen) => recoverHandover(access, lock, seen, context));
      const after = await observeMembers(access);
      const journalGone = stateOf(access.group, after, before(task));
      if (journalGone.unfinished !== undefined) return create(context, access, task, after);
      context.info(
        `${declared.cluster}: what was unfinished is done; \`pulumi up\` again carries out what else changed`,
      );
      const { observed } = journalGone;
      // Who is not confirmed is not converged to: the declared primary may be a standby now.
      if (observed.kind !== "known" && observed.kind !== "stopped") {
        throw stopped(declared, situationOf(factsOf(declared, task.olds, journalGone)), after);
      }
      const { member } = observed;
      const passwords = await decidePasswords(access, task, member);
      await converge(access, member, after, passwords, context);
      return finish(access, task, appliedAfterRecovery(task, member), passwords);
    }
    case "record":
      context.info(`${declared.cluster}: ${situation.text}`);
      return finish(access, task, declared.primary, await startStopped(context, access, task, observations));
    case "switchover":
      return switchover(context, access, task, situation);
    case "acknowledge":
      context.info(`${declared.cluster}: ${situation.text}`);
      if (onlyPrimaryChanges(task, observations, access)) return finish(access, acknowledged(task), declared.primary);
      return finish(
        access,
        acknowledged(task),
        declared.primary,
        await convergeObserved(context, access, task, observations),
      );
    case "unchanged":
    case "drift": {
      // The diff showed a switchover back that is not due any more.
      if (situation.kind === "drift" && task.outputs?.switchBackDue === true) {
        context.warn(`${declared.cluster}: ${situation.text}`);
      }
      const passwords = await convergeObserved(context, access, task, observations);
      return finish(access, task, task.outputs?.applied?.member ?? declared.primary, passwords);
    }
    case "stop":
    case "unknown":
      throw stopped(declared, situation, observations);
  }
}

function before(task: Task): { primary: string; applied: Applied | undefined } {
  return { primary: task.outputs?.primary ?? task.declared.primary, applied: task.outputs?.applied };
}

/** Remembered until the next switchover: an old stack file, merged by mistake, would name that member again. */
function acknowledged(task: Task): Task {
  return { ...task, failedOverFrom: task.outputs?.applied?.member };
}

/** A handover that was finished is carried out when it led to what is declared now. */
function appliedAfterRecovery(task: Task, primary: string): string {
  return primary === task.declared.primary ? primary : (task.outputs?.applied?.member ?? task.declared.primary);
}

async function create(
  context: Context,
  access: ClusterAccess,
  task: Task,
  observations: readonly MemberObservation[],
): Promise<Saved> {
  const { declared } = task;
  const primary = declared.primary;
  // Marked before anything exists: whatever interrupts this, the next `up` knows what was meant for which member.
  await Promise.all(
    access.members.map(async (member) => {
      const seen = observations.find((observation) => observation.member === member.name);
      if (seen?.reached && seen.local.marker === undefined) {
        await writeMarker(declared.cluster, member, member.name === primary ? "creating" : "cloning");
      }
    }),
  );
  const marked = await observeMembers(access);
  const observed = stateOf(access.group, marked, before(task)).observed;
  const exists = observed.kind === "known" || observed.kind === "stopped";
  // Beside a database, only its confirmed primary is converged to: the declared one may be a standby.
  if (!exists && reachedMembers(marked).some((seen) => seen.local.marker?.state === "ready")) {
    throw stopped(
      declared,
      situationOf(factsOf(declared, task.olds, stateOf(access.group, marked, before(task)))),
      marked,
    );
  }
  const existing = exists ? observed.member : primary;
  const passwords = await decidePasswords(access, task, existing);
  await converge(access, existing, marked, passwords, context);
  return finish(access, task, appliedAfterRecovery(task, existing), passwords);
}

async function convergeObserved(
  context: Context,
  access: ClusterAccess,
  task: Task,
  observations: readonly MemberObservation[],
): Promise<Passwords | undefined> {
  const { observed } = stateOf(access.group, observations, before(task));
  if (observed.kind !== "known" && observed.kind !== "stopped") return undefined;
  const passwords = await decidePasswords(access, task, observed.member);
  await converge(access, observed.member, observations, passwords, context);
  return passwords;
}

/** A cluster whose state was lost while it was stopped runs again where it was; one that runs is not touched. */
async function startStopped(
  context: Context,
  access: ClusterAccess,
  task: Task,
  observations: readonly MemberObservation[],
): Promise<Passwords | undefined> {
  const { observed } = stateOf(access.group, observations, before(task));
  if (observed.kind !== "stopped") return undefined;
  // Only a running primary tells whether its superuser has a password, which then stays.
  context.progress(`${observed.member}: starting PostgreSQL`);
  await startService(access.member(observed.member), startLimitSeconds);
  return convergeObserved(context, access, task, await observeMembers(access));
}

async function switchover(
  context: Context,
  access: ClusterAccess,
  task: Task,
  situation: Extract<Situation, { kind: "switchover" }>,
): Promise<Saved> {
  const seen = task.outputs?.observed;
  if (seen?.kind !== "known")
    throw new UserError(`${task.declared.cluster}: the diff saw no primary; run \`pulumi up\` again.`);
  const { from, to } = situation;
  const report = await underLock(access, context, (lock) => switchOver(access, from, to, seen, lock, context));
  context.info(reportText(report));
  const after = await observeMembers(access);
  const unsettled = diffGroup(
    task.declared,
    task.declared,
    stateOf(access.group, after, { primary: situation.to, applied: undefined }),
  );
  // A member that is unhealthy still was so before: it is told with the result, and is the next one's work.
  const more = Object.keys(unsettled).some((name) => name !== "applied" && !name.startsWith("unhealthy."));
  if (!more) return finish(access, task, situation.to);
  const passwords = await decidePasswords(access, task, situation.to);
  await converge(access, situation.to, after, passwords, context);
  return finish(access, task, situation.to, passwords);
}

function onlyPrimaryChanges(task: Task, observations: readonly MemberObservation[], access: ClusterAccess): boolean {
  const state = stateOf(access.group, observations, before(task));
  return Object.keys(diffGroup(task.declared, task.olds, state)).every((name) => name === "primary");
}

/**
 * Declared, or known from the state, or found on the hosts, or made now. A password that somebody may be using is never
 * set anew: a superuser that has one which we do not know keeps it.
 */
async function decidePasswords(access: ClusterAccess, task: Task, primaryName: string): Promise<Passwords> {
  const { declared, outputs } = task;
  const primary = access.member(primaryName);
  const superuser = declared.superuserPassword ?? outputs?.superuserPassword;
  const replication = declared.replicationPassword ?? outputs?.replicationPassword ?? (await laidPassword(primary));
  return {
    superuser: superuser ?? ((await superuserHasPassword(primary)) ? undefined : generatePassword()),
    replication: replication ?? generatePassword(),
  };
}

/** The replication password in the member's passfile, when an earlier `up` got that far. */
async function laidPassword(member: MemberAccess): Promise<string | undefined> {
  const [passfile] = await readFiles(member.host, [member.paths.passfile]);
  const escaped = passfile?.content.trim().split(/(?<!\\):/)[4];
  return escaped?.replaceAll(/\\([\\:])/g, "$1");
}

async function superuserHasPassword(primary: MemberAccess): Promise<boolean> {
  try {
    return await withSession(primary, async (session) => {
      const rows = await session.query<{ has: boolean }>(
        "select rolpassword is not null as has from pg_authid where rolname = 'postgres'",
      );
      return rows[0]?.has === true;
    });
  } catch (error) {
    if (error instanceof NoPostgres) return false;
    throw error;
  }
}

/** What is saved: the declaration, the passwords in force, and a fresh look at the cluster. */
async function finish(access: ClusterAccess, task: Task, appliedMember: string, passwords?: Passwords): Promise<Saved> {
  const observations = await observeMembers(access);
  const { observed } = stateOf(access.group, observations, before(task));
  const recorded = task.outputs?.applied;
  const failedOverFrom =
    task.failedOverFrom ?? (recorded?.member === appliedMember ? recorded.failedOverFrom : undefined);
  const applied: Applied | undefined =
    observed.kind === "known"
      ? {
          member: appliedMember,
          systemIdentifier: observed.systemIdentifier,
          timeline: observed.timeline,
          ...(failedOverFrom === undefined ? {} : { failedOverFrom }),
        }
      : task.outputs?.applied;
  const state = stateOf(access.group, observations, {
    primary: task.outputs?.primary ?? task.declared.primary,
    applied,
  });
  return {
    outputs: asProperties({
      ...task.declared,
      ...passwordsOf(task.outputs),
      ...(passwords?.superuser === undefined ? {} : { superuserPassword: passwords.superuser }),
      ...(passwords === undefined ? {} : { replicationPassword: passwords.replication }),
      ...state,
    }),
    ...incomplete(state.unhealthy),
  };
}

function incomplete(unhealthy: Readonly<Record<string, string>> | undefined): { incomplete?: string[] } {
  const lines = Object.entries(unhealthy ?? {}).map(([member, text]) => `${member}: ${text}`);
  return lines.length === 0 ? {} : { incomplete: lines };
}
