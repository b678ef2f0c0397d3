import { randomBytes } from "node:crypto";
import { z } from "zod";
import { queryStatus } from "../cluster/cib.ts";
import { keyDigest, lookAtNodes, type NodeView, serviceNames } from "../cluster/corosync.ts";
import { deviceDefects, lookAtDevice } from "../cluster/deviceChanges.ts";
import { bringUpPacemaker, judgeNodes, type WantedPacemaker } from "../cluster/pacemakerNodes.ts";
import { removePacemaker } from "../cluster/removePacemaker.ts";
import { FaultsFound, UserError } from "../model/fault.ts";
import { type Cib, readCib } from "../model/pacemaker/cib.ts";
import { type DeclaredPacemaker, diffPacemaker, type PacemakerState } from "../model/pacemaker/clusterState.ts";
import {
  concealSecrets,
  type PacemakerConfiguration,
  pacemakerConfiguration,
  revealSecrets,
} from "../model/pacemaker/configuration.ts";
import { type CorosyncShape, numberNodes, renderCorosyncConf } from "../model/pacemaker/corosyncConf.ts";
import { detections } from "../model/pacemaker/declaration.ts";
import { lacksOf } from "../model/pacemaker/lacks.ts";
import { clusterProblems } from "../model/pacemaker/problems.ts";
import { deviceAlgorithms } from "../model/pacemaker/quorum.ts";
import { refusedChanges } from "../model/pacemaker/refusals.ts";
import { asProperties, checkInputs } from "./inputs.ts";
import { refuseAfterRefusedPreflight } from "./preflight.ts";
import type { Context, Notice, Properties, ResourceType, Saved } from "./resource.ts";

const texts = z.record(z.string(), z.string());

const inputsSchema = pacemakerConfiguration.extend({
  /** Corosync's cluster_name. */
  cluster: z.string(),
  /** By host. `check` gives each its number, which it keeps. */
  nodes: z.record(z.string(), z.object({ id: z.number().optional(), addresses: z.array(z.string()) })),
  detection: z.enum(detections),
  quorumDevice: z
    .object({
      host: z.string(),
      address: z.string(),
      algorithm: z.enum(deviceAlgorithms),
      clusters: z.record(z.string(), z.number()),
    })
    .optional(),
  /** Default: generated at creation, kept as a secret in the state. */
  corosyncKey: z.string().min(128).max(4096).optional(),
  /** Values of the placeholders in the parameters of fence devices. */
  fencingSecrets: texts.optional(),
});

const declaredSchema = inputsSchema.extend({
  nodes: z.record(z.string(), z.object({ id: z.number(), addresses: z.array(z.string()) })),
  corosyncConf: texts,
});

const stateSchema = pacemakerConfiguration.extend({
  corosyncConf: texts,
  corosyncKey: z.string().optional(),
  fencingSecrets: texts.optional(),
  unhealthy: texts.optional(),
  unreachable: texts.optional(),
  withoutDevice: z.array(z.string()).optional(),
  inMaintenance: z.array(z.string()).optional(),
  problems: z.array(z.string()).optional(),
});

/**
 * Corosync and Pacemaker over some hosts, and what of Pacemaker's configuration is ours. Everything else in it is the
 * user's and stays.
 */
export const pacemakerCluster: ResourceType = {
  token: "pgha:index:PacemakerCluster",
  secrets: ["corosyncKey", "fencingSecrets"],
  check(news, oldInputs) {
    const { corosyncConf: _, ...given } = news;
    const checked = checkInputs(inputsSchema, given);
    if (checked.faults.length > 0) return checked;
    return { inputs: asProperties(complete(inputsSchema.parse(given), oldInputs)), faults: [] };
  },
  diff: ({ outputs, oldInputs, news }) =>
    diffPacemaker(declaredSchema.parse(news), declaredSchema.parse(oldInputs), stateSchema.parse(outputs)),
  notices: ({ outputs, oldInputs, news }) =>
    noticesOf(declaredSchema.parse(news), declaredSchema.parse(oldInputs), stateSchema.parse(outputs)),
  async create(context, { inputs, preview }) {
    const declared = declaredSchema.parse(inputs);
    for (const notice of declarationNotices(declared)) context[notice.level](notice.text);
    if (preview) return { id: declared.cluster, outputs: inputs };
    const key = declared.corosyncKey ?? randomBytes(192).toString("base64url");
    const saved = await bringUp(context, { ...declared, corosyncKey: key }, undefined);
    return { id: declared.cluster, ...saved };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) {
      throw new UserError(`${id}: a Pacemaker cluster is not imported; declare it, it takes over what is there.`);
    }
    return { id, outputs: await look(context, declaredSchema.parse(inputs), stateSchema.parse(outputs)) };
  },
  async update(context, { inputs, oldInputs, outputs, preview }) {
    const declared = declaredSchema.parse(inputs);
    const olds = declaredSchema.parse(oldInputs);
    const key =
      declared.corosyncKey ?? stateSchema.parse(outputs).corosyncKey ?? randomBytes(192).toString("base64url");
    const wanted = { ...declared, corosyncKey: key };
    const refused = refusedChanges(declared, olds, stateSchema.parse(outputs).corosyncKey);
    if (refused.length > 0) throw new FaultsFound(refused, "Nothing was touched:");
    if (preview) {
      await judgeNodes(context.hosts, wantedOf(wanted, olds), { withoutPackages: true });
      return { outputs: asProperties(wanted) };
    }
    return bringUp(context, wanted, olds);
  },
  async delete(context, { inputs }) {
    const declared = declaredSchema.parse(inputs);
    refuseAfterRefusedPreflight(`${declared.cluster}: remove Corosync`);
    await removePacemaker(context.hosts, context, shapeOf(declared));
  },
};

type Declared = z.infer<typeof declaredSchema>;

/** Numbers stay with the nodes that have them; the text of corosync.conf follows. */
function complete(given: z.infer<typeof inputsSchema>, oldInputs: Properties | undefined): Declared {
  const before = declaredSchema.safeParse(oldInputs);
  const hosts = Object.entries(given.nodes)
    .map(([name, { addresses }]) => ({ name, addresses }))
    .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const nodes = numberNodes(hosts, before.success ? before.data.nodes : {});
  const conf = renderCorosyncConf(shapeOf({ ...given, nodes }));
  return {
    ...given,
    nodes: Object.fromEntries(
      Object.entries(nodes).map(([name, node]) => [name, { ...node, addresses: [...node.addresses] }]),
    ),
    corosyncConf: Object.fromEntries(Object.keys(nodes).map((name) => [name, conf])),
  };
}

function shapeOf({
  cluster,
  detection,
  nodes,
  quorumDevice,
}: Pick<DeclaredPacemaker, "cluster" | "detection" | "nodes" | "quorumDevice">): CorosyncShape {
  return { name: cluster, detection, nodes, device: quorumDevice };
}

function configurationIn(declared: PacemakerConfiguration): PacemakerConfiguration {
  const { properties, resources, groups, clones, constraints, fencing, fencingLevels } = declared;
  return { properties, resources, groups, clones, constraints, fencing, fencingLevels };
}

function wantedOf(declared: Declared & { corosyncKey: string }, olds: Declared | undefined): WantedPacemaker {
  return {
    corosync: shapeOf(declared),
    conf: renderCorosyncConf(shapeOf(declared)),
    key: declared.corosyncKey,
    configuration: revealSecrets(configurationIn(declared), declared.fencingSecrets ?? {}),
    ...(olds === undefined
      ? {}
      : {
          former: {
            conf: Object.values(olds.corosyncConf)[0],
            nodes: olds.nodes,
            device: olds.quorumDevice,
            properties: Object.keys(olds.properties),
          },
        }),
  };
}

async function bringUp(
  context: Context,
  declared: Declared & { corosyncKey: string },
  olds: Declared | undefined,
): Promise<Saved> {
  const speaker = await bringUpPacemaker(context.hosts, context, wantedOf(declared, olds));
  const lacks = lacksOf(declared, await queryStatus(speaker));
  const outputs = asProperties(declared);
  if (lacks.length === 0) return { outputs };
  const text = `Pacemaker has its configuration, but not everything is as it should be:\n${lacks.map((lack) => `  ${lack}`).join("\n")}\n  See on ${speaker.name}: crm_mon -1rA`;
  if (olds === undefined) return { outputs, incomplete: [text] };
  context.warn(text);
  return { outputs };
}

async function look(context: Context, declared: Declared, before: PacemakerState): Promise<Properties> {
  const corosync = shapeOf(declared);
  const [views, device] = await Promise.all([
    lookAtNodes(context.hosts, Object.keys(declared.nodes)),
    lookAtDevice(context.hosts, corosync),
  ]);
  const defects = deviceDefects(device, corosync);
  const reached = views.filter((view) => view.reached);
  const cib = newestCib(views, Object.keys(declared.properties));
  const own =
    cib === undefined
      ? configurationIn(before)
      : concealSecrets(cib.own, configurationIn(declared), before.fencingSecrets ?? {});
  const { corosyncKey, fencingSecrets } = before;
  const unhealthy: Record<string, string> = { ...defects.unhealthy };
  for (const view of reached) {
    const wrong = [...wrongAt(view, cib, corosyncKey), ...[defects.unhealthy[view.host] ?? []].flat()];
    if (wrong.length > 0) unhealthy[view.host] = wrong.join("; ");
  }
  const unreachable = Object.fromEntries(
    views.flatMap((view) => (view.reached ? [] : [[view.host, view.reason] as const])),
  );
  const problems = clusterProblems(declared, reached);
  if (device?.server.reached === false && corosync.device !== undefined) {
    unreachable[corosync.device.host] = device.server.reason;
  }
  const conf = Object.fromEntries(reached.map(({ host, conf: text }) => [host, text ?? ""]));
  return asProperties({
    ...declared,
    ...own,
    corosyncConf: { ...before.corosyncConf, ...conf },
    corosyncKey,
    fencingSecrets,
    ...(Object.keys(unhealthy).length === 0 ? {} : { unhealthy }),
    ...(Object.keys(unreachable).length === 0 ? {} : { unreachable }),
    ...(defects.disconnected.length === 0 ? {} : { withoutDevice: defects.disconnected }),
    ...(cib === undefined || cib.inMaintenance.length === 0 ? {} : { inMaintenance: cib.inMaintenance }),
    ...(problems.length === 0 ? {} : { problems }),
  });
}

/** Of a part of the cluster that may decide; of several answers the newest. */
function newestCib(views: readonly NodeView[], properties: readonly string[]): Cib | undefined {
  return views
    .flatMap((view) => (view.reached && view.cib !== undefined ? [readCib(view.cib, properties)] : []))
    .filter(({ quorum }) => quorum)
    .sort((a, b) => b.version[0] - a.version[0] || b.version[1] - a.version[1] || b.version[2] - a.version[2])[0];
}

function wrongAt(
  { host, services, key }: Extract<NodeView, { reached: true }>,
  cib: Cib | undefined,
  wantedKey: string | undefined,
): string[] {
  const stopped = serviceNames.filter((name) => !services[name].active);
  const notEnabled = serviceNames.filter((name) => !services[name].enabled);
  return [
    ...(stopped.length > 0 ? [`${stopped.join(" and ")} stopped`] : []),
    ...(notEnabled.length > 0 ? [`${notEnabled.join(" and ")} not enabled at boot`] : []),
    ...(wantedKey === undefined || key === keyDigest(wantedKey) ? [] : ["another Corosync key"]),
    ...(stopped.length === 0 && cib !== undefined && !cib.joined.includes(host) ? ["not joined"] : []),
  ];
}

function declarationNotices({ cluster, nodes, quorumDevice }: DeclaredPacemaker): Notice[] {
  const count = Object.keys(nodes).length;
  if (count % 2 === 1 || count === 2 || quorumDevice !== undefined) return [];
  return [
    {
      level: "warn",
      text: `${cluster}: ${count} hosts: when they are cut into halves, neither has quorum\n  Everything is stopped then. A quorum device (quorumDevice:) or an odd number of hosts always leaves one side that goes on.`,
    },
  ];
}

function withoutDevice({ withoutDevice: nodes = [] }: PacemakerState, voter: string): Notice[] {
  if (nodes.length === 0) return [];
  return [
    {
      level: "warn",
      text: `${nodes.join(", ")} ${nodes.length === 1 ? "does" : "do"} not reach the quorum device on ${voter}
  Nothing stops by that alone; nodes that lose each other meanwhile may. See there: corosync-qdevice-tool -s; on ${voter}: corosync-qnetd-tool -l`,
    },
  ];
}

function noticesOf(news: Declared, olds: Declared, state: PacemakerState): Notice[] {
  const counted = ({ nodes, quorumDevice }: Declared) => [...Object.keys(nodes), quorumDevice?.host].join();
  const isQuorumChanged = counted(news) !== counted(olds);
  const voter = news.quorumDevice?.host;
  const listed = (found: Readonly<Record<string, string>> = {}, heading: string): Notice[] => {
    const lines = Object.entries(found).filter(([host]) => host in news.nodes || host === voter);
    if (lines.length === 0) return [];
    return [{ level: "warn", text: [heading, ...lines.map(([host, text]) => `  ${host}: ${text}`)].join("\n") }];
  };
  return [
    ...(isQuorumChanged ? declarationNotices(news) : []),
    ...listed(state.unhealthy, "Corosync or Pacemaker is not as it should be"),
    ...listed(state.unreachable, "not every node could be looked at"),
    ...problemNotices(state.problems ?? []),
    ...(voter === undefined ? [] : withoutDevice(state, voter)),
    ...(state.inMaintenance ?? []).map(
      (id): Notice => ({
        level: "warn",
        text: `${id} is in maintenance: nobody fails over\n  Left by a pulumi up that was cut off, the next one ends it. Set by hand: crm_resource --resource ${id} --meta --delete-parameter maintenance`,
      }),
    ),
  ];
}

function problemNotices(problems: readonly string[]): Notice[] {
  if (problems.length === 0) return [];
  const heading = "Pacemaker or its network is not as it should be; nothing is changed";
  return [{ level: "warn", text: [heading, ...problems.map((problem) => `  ${problem}`)].join("\n") }];
}
