import type { PropertyChange } from "../changes.ts";
import { changedPaths } from "../groupDiff.ts";
import { formatPropertyPath } from "../propertyPath.ts";
import type { PacemakerConfiguration } from "./configuration.ts";
import type { CorosyncNode } from "./corosyncConf.ts";
import type { Detection } from "./declaration.ts";
import type { QuorumDevice } from "./quorum.ts";
import type { Texts } from "./resource.ts";

/** What is declared of one Pacemaker cluster, with every default filled in. */
export interface DeclaredPacemaker extends PacemakerConfiguration {
  /** Corosync's cluster_name, and the resource's id. */
  readonly cluster: string;
  readonly nodes: Readonly<Record<string, CorosyncNode>>;
  readonly detection: Detection;
  readonly quorumDevice?: QuorumDevice | undefined;
  /** Text of corosync.conf, by host. */
  readonly corosyncConf: Texts;
  readonly corosyncKey?: string | undefined;
  readonly fencingSecrets?: Texts | undefined;
}

/** What was seen of it. What could not be looked at is as it was seen last. */
export interface PacemakerState extends PacemakerConfiguration {
  readonly corosyncConf: Texts;
  readonly corosyncKey?: string | undefined;
  readonly fencingSecrets?: Texts | undefined;
  /** By host: what is not as it should be there. */
  readonly unhealthy?: Texts | undefined;
  /** By host: why it could not be looked at. */
  readonly unreachable?: Texts | undefined;
  /** Nodes that have not the quorum device's vote although everything runs. */
  readonly withoutDevice?: readonly string[] | undefined;
  /** Clones and groups of ours that Pacemaker leaves alone for now. */
  readonly inMaintenance?: readonly string[] | undefined;
  /** What keeps it from its work, in words. Told, but no change: `up` cannot mend it. */
  readonly problems?: readonly string[] | undefined;
}

const sections = ["properties", "resources", "groups", "clones", "constraints", "fencing", "fencingLevels"] as const;

/** What `up` would change, by property path; empty = nothing. Pure. */
export function diffPacemaker(
  news: DeclaredPacemaker,
  olds: DeclaredPacemaker | undefined,
  state: PacemakerState,
): Record<string, PropertyChange> {
  const changes: Record<string, PropertyChange> = {};
  for (const name of ["detection", "nodes", "quorumDevice"] as const)
    Object.assign(changes, changedPaths(olds?.[name], news[name], [name]));
  const isDeclaredAnew = Object.keys(changes).length > 0;
  for (const name of sections) Object.assign(changes, changedPaths(state[name], news[name], [name]));
  for (const [host, text] of Object.entries(news.corosyncConf)) {
    const live = state.corosyncConf[host];
    // Of a host that was never reached nothing is known; one that only follows a declared change is not shown twice.
    if (live === text || (live === undefined && isDeclaredAnew)) continue;
    if (isDeclaredAnew && live === olds?.corosyncConf[host]) continue;
    changes[formatPropertyPath(["corosyncConf", host])] = { kind: live === undefined ? "add" : "update" };
  }
  for (const host of Object.keys(state.unhealthy ?? {})) {
    if (host in news.nodes || host === news.quorumDevice?.host)
      changes[formatPropertyPath(["unhealthy", host])] = { kind: "delete" };
  }
  if (news.corosyncKey !== undefined && news.corosyncKey !== state.corosyncKey)
    changes.corosyncKey = { kind: "update" };
  const secretsChanged = changedPaths(state.fencingSecrets ?? {}, news.fencingSecrets ?? {}, ["fencingSecrets"]);
  if (Object.keys(secretsChanged).length > 0) changes.fencingSecrets = { kind: "update" };
  return changes;
}
