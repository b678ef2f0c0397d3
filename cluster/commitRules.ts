import { z } from "zod";
import {
  type CommitRule,
  declaredRule,
  type MemberRules,
  parseStandbyNames,
  planRules,
  type RulePlan,
  type RulesInEffect,
  ruleText,
  standbyNames,
} from "../model/commitRule.ts";
import type { Group } from "../model/group.ts";
import { readJson } from "../model/json.ts";
import { memberPaths } from "../model/names.ts";
import type { MemberObservation } from "../model/observation.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import { layConfiguration } from "./configuration.ts";
import type { Reporter } from "./reporter.ts";
import { WaitedTooLong, waitFor } from "./waitFor.ts";

/** For the standbys to have everything by a new rule. */
const proofLimitSeconds = 30;

const electorSchema = z.object({
  candidates: z.array(z.string()),
  synchronous: z.object({ mode: z.enum(["off", "quorum", "priority"]), k: z.number() }),
});

/** Every member's rules as they lie on its host; of one that was not reached none. */
export function rulesSeen(group: Group, observations: readonly MemberObservation[]): MemberRules[] {
  return observations.map((seen) => {
    if (!seen.reached) return { member: seen.member, reached: false, commits: [] };
    const { roleConf, memberFile } = memberPaths(group.cluster, seen.member);
    const { [roleConf]: role = "", [memberFile]: description = "" } = seen.local.files;
    const laid = /^synchronous_standby_names = '(.*)'$/m.exec(role)?.[1];
    // Whoever takes a running primary's rule away for a time sees to it that nobody else is promoted then.
    const live = seen.postgres?.settings.synchronous_standby_names?.setting || undefined;
    const elector = electorSchema.safeParse(readJson(description)).data;
    return {
      member: seen.member,
      reached: true,
      commits: [laid, live].flatMap((text) => (text === undefined ? [] : (parseStandbyNames(text) ?? []))),
      elections: elector && { ...elector.synchronous, candidates: elector.candidates },
    };
  });
}

/** How the cluster comes to its declared rule. Undefined where nobody is elected: then nothing has an order. */
export function planOfRules(
  { group }: ClusterAccess,
  primary: string,
  observations: readonly MemberObservation[],
): RulePlan | undefined {
  if (group.failover.manager === "none") return undefined;
  return planRules(declaredRule(group), primary, rulesSeen(group, observations));
}

/** The same cluster, with these rules instead of the declared one; undefined: the declared one. */
export function withRules(access: ClusterAccess, rules: RulesInEffect | undefined): ClusterAccess {
  return { ...access, group: { ...access.group, rules } };
}

/**
 * The cluster with the rule that it has, for work that comes before the members' own rules are changed: a handover gives the
 * primary's rule to the next one as it is.
 */
export function withRulesAsSeen(
  access: ClusterAccess,
  primary: string,
  observations: readonly MemberObservation[],
): ClusterAccess {
  if (access.group.failover.manager === "none") return access;
  const declared = declaredRule(access.group);
  const seen = rulesSeen(access.group, observations).find(({ member }) => member === primary);
  return withRules(access, { commits: seen?.commits[0] ?? declared, elections: seen?.elections ?? declared });
}

/** The last step, once the cluster has settled: promotions are decided by the declared rule when every row is safe by it. */
export async function concludeRules(
  access: ClusterAccess,
  plan: RulePlan,
  primary: MemberAccess,
  reached: readonly MemberAccess[],
  reporter: Reporter,
): Promise<void> {
  const { cluster } = access.group;
  tellWhatWaits(access.group, plan, declaredRule(access.group), primary.name, reporter);
  const { afterwards } = plan;
  if (afterwards === undefined) return;
  if (afterwards.k > 0) {
    reporter.progress(`waiting until standbys have everything by ${ruleText(afterwards)}`);
    try {
      await waitUntilHeldBy(primary, plan);
    } catch (error) {
      if (!(error instanceof WaitedTooLong)) throw error;
      reporter.warn(
        `${cluster}: promotions are still decided by ${ruleText(plan.now.elections)}: ${error.message}\n  That is safe, and allows fewer promotions. \`pulumi up\` again goes on from here.`,
      );
      return;
    }
  }
  const declared = withRules(access, undefined);
  await Promise.all(reached.map((member) => layConfiguration(declared, member)));
}

function tellWhatWaits(
  { cluster }: Group,
  plan: RulePlan,
  declared: CommitRule,
  primary: string,
  reporter: Reporter,
): void {
  const { now, waitsFor } = plan;
  if (waitsFor.length === 0) return;
  const kept =
    standbyNames(now.commits) === standbyNames(declared)
      ? `promotions are still decided by the rule ${ruleText(now.elections)}, not by ${ruleText(declared)}`
      : `commits still wait by the rule ${ruleText(now.commits)}, not by ${ruleText(declared)}`;
  const why = waitsFor.includes(primary)
    ? `${primary} is primary, and no candidate any more: make a candidate primary.`
    : `${waitsFor.join(", ")} cannot be reached, and may be promoted by the rule before. Bring it back, or take it out of members:; then run \`pulumi up\` again.`;
  reporter.warn(`${cluster}: ${kept}\n  ${why}`);
}

/**
 * Returns once no commit is acknowledged by an earlier rule any more, and enough standbys have every row that was.
 * A commit is let go by the process that sends WAL to a standby. It was told of the new rule before a new session could see
 * it, and looks at that before it reads the standby's next answer: so an answer to WAL written later comes after it.
 */
async function waitUntilHeldBy(primary: MemberAccess, { now: { commits, elections } }: RulePlan): Promise<void> {
  const counted = [...new Set([...commits.candidates, ...elections.candidates])].filter(
    (name) => name !== primary.name,
  );
  const needed = commits.candidates.filter((name) => name !== primary.name);
  const deadline = performance.now() + proofLimitSeconds * 1000;
  await withSession(primary, async (session) => {
    const { rule } = await session.selectOne(
      z.object({ rule: z.string() }),
      "select current_setting('synchronous_standby_names') as rule",
    );
    if (rule !== standbyNames(commits)) {
      throw new WaitedTooLong(
        `found synchronous_standby_names '${rule}' on ${primary.name}, not '${standbyNames(commits)}'`,
      );
    }
    await session.query("set synchronous_commit = local");
    await session.query("select pg_logical_emit_message(true, 'pgha', 'rule')");
    // First every sender has the new rule; then standbys have whatever was let go until then.
    for (const all of [true, false]) {
      const { lsn } = await session.selectOne(
        z.object({ lsn: z.string() }),
        "select pg_current_wal_flush_lsn()::text as lsn",
      );
      await waitFor(`standbys of ${primary.name} to have WAL up to ${lsn}`, remaining(deadline), async () => {
        const standbys = await session.select(
          z.object({ name: z.string(), has: z.boolean() }),
          `select application_name as name, coalesce(flush_lsn >= $1::pg_lsn, false) as has from pg_stat_replication
            where application_name = any($2::text[]) and state <> 'backup'`,
          [lsn, counted],
        );
        const having = needed.filter((name) => standbys.some((one) => one.name === name && one.has));
        const isEnough = having.length >= commits.k && (!all || standbys.every(({ has }) => has));
        return isEnough ? { done: true } : { lastSeen: `it is on ${having.join(", ") || "none"}` };
      });
    }
  });
}

function remaining(deadline: number): number {
  return Math.max(0, (deadline - performance.now()) / 1000);
}
