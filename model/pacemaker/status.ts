import { z } from "zod";
import { childOf, childrenOf, parseXml, readAttributes, type XmlElement, xmlBoolean } from "./xml.ts";

/** What a host is asked: one look, everything that Pacemaker knows. */
export const statusCommand = ["crm_mon", "--one-shot", "--output-as=xml"] as const;

/** Pacemaker's own number for INFINITY, in scores and fail-counts. */
export const infinity = 1_000_000;

/** What one node says of the whole Pacemaker cluster. */
export type PacemakerStatus =
  /** Pacemaker does not run on that host, or does not answer yet. */
  { readonly running: false; readonly reason: string } | RunningStatus;

export interface RunningStatus {
  readonly running: true;
  /** The node that decides for all. Undefined: none is elected, so nothing is decided. */
  readonly coordinator: string | undefined;
  /** False: this partition may not run anything (no-quorum-policy). */
  readonly quorum: boolean;
  /** The whole cluster is left alone: nothing is watched, nothing repaired. */
  readonly maintenance: boolean;
  /** False: a node that is not heard of is taken for dead without having been switched off. */
  readonly fencingEnabled: boolean;
  readonly nodes: readonly PacemakerNode[];
  /** Every instance of every resource, those of clones and groups too. */
  readonly resources: readonly ResourceInstance[];
  readonly failedActions: readonly FailedAction[];
  readonly failCounts: readonly FailCount[];
  /** By node and name. Only nodes that are online have any here. */
  readonly nodeAttributes: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** What must rather not run somewhere. */
  readonly bans: readonly Ban[];
  /** Newest first, those under way before all. */
  readonly fencing: readonly FencingEvent[];
}

export interface PacemakerNode {
  /** Corosync's number of it. */
  readonly id: number;
  readonly name: string;
  readonly online: boolean;
  /** Nothing may run there, by an order or after a failure with on-fail=standby. */
  readonly standby: boolean;
  /** What runs there is left alone. */
  readonly maintenance: boolean;
  /** It joins: Corosync sees it, Pacemaker does not decide for it yet. */
  readonly pending: boolean;
  /** Nobody knows what it does: it must be fenced before anything of it runs elsewhere. */
  readonly unclean: boolean;
  readonly shutdown: boolean;
  readonly isCoordinator: boolean;
}

export interface ResourceInstance {
  /** The primitive; all instances of a clone have the same. */
  readonly id: string;
  /** "ocf:heartbeat:pgsqlms" */
  readonly agent: string;
  /** The clone it is an instance of. */
  readonly clone?: string;
  /** The group it is in. */
  readonly group?: string;
  /** As Pacemaker believes it: "Promoted", "Unpromoted", "Started", "Stopped"; while it changes "Promoting", "Starting", … */
  readonly role: string;
  /** The role that is asked for (meta target-role). */
  readonly targetRole?: string;
  /** Where it is active. More than one: Pacemaker found it where it should not be too. */
  readonly nodes: readonly string[];
  /** False: Pacemaker does nothing with it. */
  readonly managed: boolean;
  /** Left alone by an order: not even watched. */
  readonly maintenance: boolean;
  readonly failed: boolean;
  /** Pacemaker knows no way on by itself: usually a failed stop without fencing. */
  readonly blocked: boolean;
  /** It is no more in the configuration, but still there. */
  readonly orphaned: boolean;
  /** What else is under way: "Monitoring". */
  readonly pending?: string;
}

export interface FailedAction {
  /** "pgha-orders_monitor_3000" */
  readonly operation: string;
  readonly node: string;
  /** In the agent's protocol: 1 error, 7 not running, 8 promoted, 9 promoted and failed, … */
  readonly exitCode: number;
  /** The same in words: "Not running". */
  readonly exitStatus: string;
  /** The agent's sentence; empty when it gave none. */
  readonly reason: string;
  /** "Done" ("complete" before Pacemaker 3), or how it ended without an answer: "Timed Out", … */
  readonly status: string;
}

export interface FailCount {
  readonly resource: string;
  readonly node: string;
  /** 1 000 000: INFINITY, it may not run there any more. */
  readonly count: number;
  /** At so many failures it may not run there any more. */
  readonly threshold: number;
}

/** A location constraint with a negative score. */
export interface Ban {
  /** Of the constraint: "cli-ban-pgha-orders-clone-on-pg3". */
  readonly id: string;
  readonly resource: string;
  readonly node: string;
  /** -1 000 000: never. */
  readonly score: number;
  /** It may run there, and only not be promoted. */
  readonly promotedOnly: boolean;
}

export interface FencingEvent {
  readonly target: string;
  /** "reboot", "off", "on" */
  readonly action: string;
  readonly status: "pending" | "success" | "failed";
  /** Why it failed; undefined when nobody said so. */
  readonly reason?: string;
  /** When it ended, as the cluster prints it. Undefined while it is under way. */
  readonly completed?: string;
}

const from = "crm_mon";

/** Reads what `statusCommand` printed, whatever its exit code was. */
export function parseStatus(text: string): PacemakerStatus {
  const root = parseXml(text, from);
  const disconnected = childOf(root, "crm-mon-disconnected");
  const summary = childOf(root, "summary");
  if (disconnected !== undefined || summary === undefined) {
    return { running: false, reason: reasonOf(root, disconnected) };
  }
  const options = readOptional(childOf(summary, "cluster_options"), optionAttributes);
  const coordinator = readOptional(childOf(summary, "current_dc"), coordinatorAttributes);
  return {
    running: true,
    coordinator: coordinator?.name,
    quorum: coordinator?.with_quorum ?? false,
    maintenance: options?.["maintenance-mode"] ?? false,
    fencingEnabled: options?.["fencing-enabled"] ?? options?.["stonith-enabled"] ?? true,
    nodes: childrenOf(childOf(root, "nodes"), "node").map(readNode),
    resources: resourcesIn(childOf(root, "resources"), {}),
    failedActions: childrenOf(childOf(root, "failures"), "failure").map(readFailure),
    failCounts: childrenOf(childOf(root, "node_history"), "node").flatMap(failCountsOf),
    nodeAttributes: Object.fromEntries(childrenOf(childOf(root, "node_attributes"), "node").map(attributesOf)),
    bans: childrenOf(childOf(root, "bans"), "ban").map(readBan),
    fencing: childrenOf(childOf(root, "fence_history"), "fence_event").map(readFencing),
  };
}

/** The same of a `crm_mon` that may have been cut off; undefined where no Pacemaker answered. */
export function runningStatus(text: string | undefined): RunningStatus | undefined {
  if (text === undefined || !text.includes("</pacemaker-result>")) return undefined;
  const status = parseStatus(text);
  return status.running ? status : undefined;
}

/** Does a Pacemaker run there that is more than the one node without resources which Debian's packages start? By what `statusCommand` printed. */
export function hasWork(text: string | undefined): boolean {
  const status = runningStatus(text);
  return status !== undefined && (status.nodes.length > 1 || status.resources.length > 0);
}

function reasonOf(root: XmlElement, disconnected: XmlElement | undefined): string {
  const status = childOf(root, "status")?.attributes.message;
  const state = disconnected?.attributes["pacemakerd-state"];
  const said = disconnected?.attributes.description ?? status ?? "crm_mon does not say why";
  return state === undefined ? said : `${said} (pacemakerd: ${state})`;
}

function read<T>(element: XmlElement, schema: z.ZodType<T>): T {
  return readAttributes(element, schema, from);
}

function readOptional<T>(element: XmlElement | undefined, schema: z.ZodType<T>): T | undefined {
  return element === undefined ? undefined : read(element, schema);
}

const optionAttributes = z.object({
  "maintenance-mode": xmlBoolean,
  "stonith-enabled": xmlBoolean.optional(),
  // Its name from Pacemaker 3.1 on.
  "fencing-enabled": xmlBoolean.optional(),
});

const coordinatorAttributes = z.object({ name: z.string().optional(), with_quorum: xmlBoolean.optional() });

const nodeAttributes = z.object({
  id: z.coerce.number(),
  name: z.string(),
  online: xmlBoolean,
  standby: xmlBoolean,
  standby_onfail: xmlBoolean,
  maintenance: xmlBoolean,
  pending: xmlBoolean,
  unclean: xmlBoolean,
  shutdown: xmlBoolean,
  is_dc: xmlBoolean,
});

function readNode(element: XmlElement): PacemakerNode {
  const node = read(element, nodeAttributes);
  const { id, name, online, maintenance, pending, unclean, shutdown } = node;
  const standby = node.standby || node.standby_onfail;
  return { id, name, online, standby, maintenance, pending, unclean, shutdown, isCoordinator: node.is_dc };
}

const resourceAttributes = z.object({
  id: z.string(),
  resource_agent: z.string(),
  role: z.string(),
  target_role: z.string().optional(),
  managed: xmlBoolean,
  maintenance: xmlBoolean.optional(),
  failed: xmlBoolean,
  blocked: xmlBoolean.optional(),
  orphaned: xmlBoolean,
  pending: z.string().optional(),
});

/** Clones, groups and bundles hold resources, and each other. */
function resourcesIn(
  element: XmlElement | undefined,
  within: { readonly clone?: string; readonly group?: string },
): ResourceInstance[] {
  return (element?.children ?? []).flatMap((child) => {
    const id = child.attributes.id ?? "";
    if (child.name === "resource") return [readResource(child, within)];
    if (child.name === "clone") return resourcesIn(child, { ...within, clone: id });
    if (child.name === "group") return resourcesIn(child, { ...within, group: id });
    return child.name === "bundle" || child.name === "replica" ? resourcesIn(child, within) : [];
  });
}

function readResource(
  element: XmlElement,
  within: { readonly clone?: string; readonly group?: string },
): ResourceInstance {
  const resource = read(element, resourceAttributes);
  return {
    id: resource.id,
    agent: resource.resource_agent,
    ...within,
    role: resource.role,
    ...(resource.target_role === undefined ? {} : { targetRole: resource.target_role }),
    nodes: childrenOf(element, "node").map((node) => node.attributes.name ?? ""),
    managed: resource.managed,
    maintenance: resource.maintenance ?? false,
    failed: resource.failed,
    blocked: resource.blocked ?? false,
    orphaned: resource.orphaned,
    ...(resource.pending === undefined ? {} : { pending: resource.pending }),
  };
}

const failureAttributes = z.object({
  op_key: z.string().optional(),
  id: z.string().optional(),
  node: z.string(),
  exitstatus: z.string(),
  exitreason: z.string(),
  exitcode: z.coerce.number().int(),
  status: z.string(),
});

function readFailure(element: XmlElement): FailedAction {
  const { op_key, id, node, exitcode, exitstatus, exitreason, status } = read(element, failureAttributes);
  // Agents put a progress sentence and the reason apart; "none" stands for no reason.
  const reason = exitreason === "none" ? "" : withoutEntities(exitreason);
  return { operation: op_key ?? id ?? "", node, exitCode: exitcode, exitStatus: exitstatus, reason, status };
}

/** Pacemaker writes an agent's reason as XML twice: read once, it says `&quot;pgha-orders&quot;` still. */
function withoutEntities(text: string): string {
  const characters: Readonly<Record<string, string>> = { quot: '"', apos: "'", lt: "<", gt: ">", amp: "&" };
  return text.replaceAll(/&(quot|apos|lt|gt|amp);/g, (_, name: string) => characters[name] ?? "");
}

const historyAttributes = z.object({
  id: z.string(),
  "fail-count": z.string().optional(),
  "migration-threshold": z.string().optional(),
});

function failCountsOf(node: XmlElement): FailCount[] {
  return childrenOf(node, "resource_history").flatMap((element) => {
    const history = read(element, historyAttributes);
    const count = scoreOf(history["fail-count"] ?? "0");
    if (count === 0) return [];
    const threshold = scoreOf(history["migration-threshold"] ?? "INFINITY");
    return [{ resource: history.id, node: node.attributes.name ?? "", count, threshold }];
  });
}

/** "INFINITY" as the number that Pacemaker takes for it. */
export function scoreOf(text: string): number {
  const [, sign = "", rest = ""] = /^([+-]?)(.*)$/.exec(text.trim()) ?? [];
  const size = /^inf(inity)?$/i.test(rest) ? infinity : Number(rest);
  return sign === "-" ? -size : size;
}

function attributesOf(node: XmlElement): [string, Record<string, string>] {
  const entries = childrenOf(node, "attribute").map(({ attributes }) => [
    attributes.name ?? "",
    attributes.value ?? "",
  ]);
  return [node.attributes.name ?? "", Object.fromEntries(entries)];
}

const banAttributes = z.object({
  id: z.string(),
  resource: z.string(),
  node: z.string(),
  weight: z.string(),
  "promoted-only": xmlBoolean.optional(),
  // Its name before Pacemaker 3.
  master_only: xmlBoolean.optional(),
});

function readBan(element: XmlElement): Ban {
  const { id, resource, node, weight, ...ban } = read(element, banAttributes);
  const promotedOnly = ban["promoted-only"] ?? ban.master_only ?? false;
  return { id, resource, node, score: scoreOf(weight), promotedOnly };
}

const fencingAttributes = z.object({
  target: z.string(),
  action: z.string(),
  status: z.enum(["pending", "success", "failed"]),
  "exit-reason": z.string().optional(),
  completed: z.string().optional(),
});

function readFencing(element: XmlElement): FencingEvent {
  const event = read(element, fencingAttributes);
  const reason = event["exit-reason"];
  return {
    target: event.target,
    action: event.action,
    status: event.status,
    ...(reason === undefined || reason === "" ? {} : { reason }),
    ...(event.completed === undefined ? {} : { completed: event.completed }),
  };
}

/** Where Pacemaker believes this clone promoted. More than one is a fault that it repairs by itself. */
export function promotedNodes(status: RunningStatus, clone: string): string[] {
  return status.resources
    .filter((resource) => resource.clone === clone && resource.role === "Promoted")
    .flatMap((resource) => resource.nodes);
}
