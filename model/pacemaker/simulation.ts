import { childOf, childrenOf, parseXml } from "./xml.ts";

/** One thing that Pacemaker would do if it managed again. */
export interface PlannedAction {
  /** "promote", "demote", "start", "stop", "move", "restart", "recover", … */
  readonly action: string;
  /** Of a clone's instance with its number: "pgha-orders:1". */
  readonly resource: string;
  /** Where to, or where. */
  readonly node?: string | undefined;
}

/** What would be done to resources by what `crm_simulate --simulate --output-as=xml` printed. */
export function plannedActions(xml: string): PlannedAction[] {
  const actions = childOf(parseXml(xml, "crm_simulate"), "actions");
  return childrenOf(actions, "rsc_action").map(({ attributes }) => ({
    action: attributes.action ?? "",
    resource: attributes.resource ?? "",
    node: attributes.dest ?? attributes.node ?? attributes.source,
  }));
}

/** What of Pacemaker's resources is this cluster's, and where it is. */
interface OwnResources {
  readonly resource: string;
  readonly addresses: readonly string[];
  readonly primaryNode: string;
  /** Where members run, the primary among them. */
  readonly runningNodes: readonly string[];
  /** Where an operator ordered that no member runs. */
  readonly idleNodes: readonly string[];
}

/**
 * What keeps Pacemaker from managing again: every action on an instance that runs, but the stop of a standby where an
 * operator ordered that; and on an address any but its start beside the primary. An instance that does not run may be
 * started: it starts as a standby, and its own boot gate decides whether its data is fit for that; one repair that failed
 * must not keep the others without failover. What it wants with other resources is none of this cluster's business.
 */
export function refusedActions(actions: readonly PlannedAction[], own: OwnResources): string[] {
  return actions.flatMap(({ action, resource, node }): string[] => {
    const text = `${action} ${resource}${node === undefined ? "" : ` on ${node}`}`;
    if (resource.split(":")[0] === own.resource) {
      if (node === undefined) return [text];
      if (action === "start") return own.runningNodes.includes(node) ? [text] : [];
      const isOrdered = action === "stop" && node !== own.primaryNode && own.idleNodes.includes(node);
      return isOrdered ? [] : [text];
    }
    if (!own.addresses.includes(resource)) return [];
    return action === "start" && node === own.primaryNode ? [] : [text];
  });
}
