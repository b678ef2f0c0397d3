import { accessCluster } from "../cluster/access.ts";
import { eraseCluster, stopCluster } from "../cluster/destroy.ts";
import { declaredConfiguration, stateOf } from "../cluster/groupState.ts";
import { observeWithStrays } from "../cluster/strays.ts";
import { UserError } from "../model/fault.ts";
import { groupInputs, groupOf } from "../model/group.ts";
import { diffGroup } from "../model/groupDiff.ts";
import { readDeclared, readRecorded } from "../model/recordedGroup.ts";
import { faultsOf } from "../model/schema.ts";
import { carryOut } from "./carryOut.ts";
import { importGroup, isImported } from "./imported.ts";
import { asProperties } from "./inputs.ts";
import { declarationNotices, noticesOf } from "./notices.ts";
import { refuseAfterRefusedPreflight } from "./preflight.ts";
import type { ResourceType } from "./resource.ts";

const secrets = ["superuserPassword", "replicationPassword"];

/**
 * One cluster's data and roles: initdb, clones, who is primary, parameters, pg_hba.conf, slots, synchronous mode.
 * Never replaced. Whatever needs the live roles to be done in the right order is done in here.
 */
export const replicationGroup: ResourceType = {
  token: "pgha:index:ReplicationGroup",
  secrets,
  check(news) {
    if (isImported(news)) return { inputs: news, faults: [] };
    const { configuration: _, ...declared } = news;
    const parsed = groupInputs.safeParse(declared);
    if (!parsed.success) return { inputs: news, faults: faultsOf(parsed.error, declared, []) };
    const configuration = declaredConfiguration(groupOf(parsed.data));
    return { inputs: asProperties({ ...parsed.data, configuration }), faults: [] };
  },
  diff({ outputs, oldInputs, news }) {
    if (isImported(oldInputs)) return { applied: { kind: "add" } };
    return diffGroup(readDeclared(news), readDeclared(oldInputs), readRecorded(outputs));
  },
  notices: ({ outputs, oldInputs, news }) =>
    isImported(oldInputs)
      ? declarationNotices(readDeclared(news))
      : noticesOf(readDeclared(news), readDeclared(oldInputs), readRecorded(outputs)),
  async create(context, { inputs, preview }) {
    const declared = readDeclared(inputs);
    for (const notice of declarationNotices(declared)) context[notice.level](notice.text);
    const saved = await carryOut(context, { declared, olds: undefined, recorded: undefined, preview });
    return { id: declared.cluster, ...saved };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) return importGroup(context, id);
    if (isImported(inputs)) return { id, outputs };
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
    const before = isImported(oldInputs)
      ? { olds: undefined, recorded: undefined }
      : { olds: readDeclared(oldInputs), recorded: readRecorded(outputs) };
    return carryOut(context, { declared: readDeclared(inputs), ...before, preview });
  },
  async delete(context, { id, inputs, outputs }) {
    if (isImported(inputs)) {
      context.info(`${id} runs on: it was imported and never declared, Pulumi only forgets it`);
      return;
    }
    const declared = readDeclared(inputs);
    const access = accessCluster(groupOf(declared), context.hosts);
    switch (declared.onDestroy) {
      case "keep":
        context.info(`${declared.cluster} runs on: onDestroy is keep, Pulumi only forgets it`);
        return;
      case "stop":
        refuseAfterRefusedPreflight(`${declared.cluster}: stop`);
        return stopCluster(access, context);
      case "erase":
        refuseAfterRefusedPreflight(`${declared.cluster}: erase`);
        if (declared.eraseConfirmation !== declared.cluster) {
          throw new UserError(`${declared.cluster}: eraseConfirmation is not its name. Nothing was erased.`);
        }
        return eraseCluster(access, context, readRecorded(outputs).applied?.systemIdentifier);
    }
  },
};
