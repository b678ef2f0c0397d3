import { accessCluster } from "../cluster/access.ts";
import { eraseCluster, stopCluster } from "../cluster/destroy.ts";
import { declaredConfiguration, stateOf } from "../cluster/groupState.ts";
import { observeWithStrays } from "../cluster/strays.ts";
import { weakenedCommit } from "../model/durability.ts";
import { UserError } from "../model/fault.ts";
import { groupInputs, groupOf } from "../model/group.ts";
import { type DeclaredGroup, diffGroup, factsOf, type GroupState } from "../model/groupDiff.ts";
import { readDeclared, readRecorded } from "../model/recordedGroup.ts";
import { faultsOf } from "../model/schema.ts";
import { situationOf } from "../model/situation.ts";
import { carryOut } from "./carryOut.ts";
import { asProperties } from "./inputs.ts";
import type { Notice, Properties, ResourceType } from "./resource.ts";

const secrets = ["superuserPassword", "replicationPassword"];

/**
 * One cluster's data and roles: initdb, clones, who is primary, parameters, pg_hba.conf, slots, synchronous mode.
 * Never replaced. Whatever needs the live roles to be done in the right order is done in here.
 */
export const replicationGroup: ResourceType = {
  token: "pgha:index:ReplicationGroup",
  secrets,
  check(news) {
    const { configuration: _, ...declared } = news;
    const parsed = groupInputs.safeParse(declared);
    if (!parsed.success) return { inputs: news, faults: faultsOf(parsed.error, declared, []) };
    const configuration = declaredConfiguration(groupOf(parsed.data));
    return { inputs: asProperties({ ...parsed.data, configuration }), faults: [] };
  },
  diff({ outputs, oldInputs, news }) {
    return diffGroup(readDeclared(news), oldDeclaration(oldInputs), readRecorded(outputs));
  },
  notices: ({ outputs, oldInputs, news }) =>
    noticesOf(readDeclared(news), oldDeclaration(oldInputs), readRecorded(outputs)),
  async create(context, { inputs, preview }) {
    const declared = readDeclared(inputs);
    for (const notice of declarationNotices(declared)) context[notice.level](notice.text);
    const saved = await carryOut(context, { declared, olds: undefined, recorded: undefined, preview });
    return { id: declared.cluster, ...saved };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) throw new UserError(`${id}: importing a cluster is not available in this version.`);
    const declared = readDeclared(inputs);
    const group = groupOf(declared);
    const observations = await observeWithStrays(accessCluster(group, context.hosts));
    const before = readRecorded(outputs);
    const { primary, applied, superuserPassword, replicationPassword } = before;
    const state = stateOf(group, observations, { primary, applied });
    // A member that was not reached keeps the files that were seen last: unknown is no change.
    const configuration = { ...before.configuration, ...state.configuration };
    const passwords = { superuserPassword, replicationPassword };
    return { id, outputs: asProperties({ ...declared, ...passwords, ...state, configuration }) };
  },
  async update(context, { outputs, oldInputs, inputs, preview }) {
    return carryOut(context, {
      declared: readDeclared(inputs),
      olds: oldDeclaration(oldInputs),
      recorded: readRecorded(outputs),
      preview,
    });
  },
  async delete(context, { inputs, outputs }) {
    const declared = readDeclared(inputs);
    const access = accessCluster(groupOf(declared), context.hosts);
    switch (declared.onDestroy) {
      case "keep":
        context.info(`${declared.cluster} runs on: onDestroy is keep, Pulumi only forgets it`);
        return;
      case "stop":
        return stopCluster(access, context);
      case "erase":
        if (declared.eraseConfirmation !== declared.cluster) {
          throw new UserError(`${declared.cluster}: eraseConfirmation is not its name. Nothing was erased.`);
        }
        return eraseCluster(access, context, readRecorded(outputs).applied?.systemIdentifier);
    }
  },
};

/** After an import the old inputs are empty. */
function oldDeclaration(oldInputs: Properties): DeclaredGroup | undefined {
  return oldInputs.cluster === undefined ? undefined : readDeclared(oldInputs);
}

/** What follows from the declaration alone: told at creation too, where there is no diff yet. */
function declarationNotices(declared: DeclaredGroup): Notice[] {
  const weak = weakenedCommit(declared);
  return weak === undefined ? [] : [weak];
}

/** What an operator must read beside the diff. */
function noticesOf(news: DeclaredGroup, olds: DeclaredGroup | undefined, state: GroupState): Notice[] {
  const notices = declarationNotices(news);
  const situation = situationOf(factsOf(news, olds, state));
  if (situation.kind === "drift" || situation.kind === "unknown") notices.push({ level: "warn", text: situation.text });
  const unhealthy = Object.entries(state.unhealthy ?? {});
  if (unhealthy.length > 0) {
    const lines = unhealthy.map(([member, text]) => `  ${member}: ${text}`);
    notices.push({
      level: "warn",
      text: [`${unhealthy.length} of ${Object.keys(news.members).length} members unhealthy`, ...lines].join("\n"),
    });
  }
  const unreachable = Object.entries(state.unreachable ?? {});
  if (unreachable.length > 0) {
    const lines = unreachable.map(([member, reason]) => `  ${member}: ${reason}`);
    const heading = `${unreachable.length} of ${Object.keys(news.members).length} members unreachable; nothing is changed there`;
    notices.push({ level: "warn", text: [heading, ...lines].join("\n") });
  }
  if (olds !== undefined && olds.onDestroy !== news.onDestroy) {
    notices.push({
      level: "info",
      text: `onDestroy counts from the last \`up\`\n  Until this one ran, \`pulumi destroy\` does "${olds.onDestroy}"; afterwards "${news.onDestroy}".`,
    });
  }
  return notices;
}
