import type { PacemakerConfiguration } from "./configuration.ts";
import { pacemakerNames } from "./names.ts";
import type { PacemakerResource } from "./resource.ts";

/** A PostgreSQL cluster's clone whose resource changes in a way for which Pacemaker would restart it. */
export interface DrivenClone {
  /** As Pacemaker calls the clone. */
  readonly id: string;
  /** The primitive in it. */
  readonly resource: string;
  /** Name of the PostgreSQL cluster. */
  readonly cluster: string;
  /** What its virtual IPs are for, as they are now. */
  readonly addressKinds: readonly string[];
  /** What the agent pgsql leaves behind on each host; undefined: nothing. */
  readonly leaves?: {
    /** Its directory. */
    readonly tmpdir: string;
    /** What it took for postgresql.conf. */
    readonly configuration: string;
    /** All of it goes; else only what belongs to rep_mode sync. */
    readonly everything: boolean;
  };
}

const pgsql = "ocf:heartbeat:pgsql";

/** Those that Pacemaker drives now by another agent or with other parameters than it is to. */
export function redrivenClones(live: PacemakerConfiguration, wanted: PacemakerConfiguration): DrivenClone[] {
  return clonesOf(wanted).flatMap(({ id, resource, after }): DrivenClone[] => {
    const before = live.resources[resource];
    if (before === undefined || live.clones[id]?.resource !== resource || isDrivenAlike(before, after)) return [];
    const cluster = clusterOf(id);
    const { addressGroup, readersGroup } = pacemakerNames(cluster);
    const groups = [addressGroup, readersGroup].map((group) => live.groups[group]?.members ?? []);
    const leaves = leftBy(before, after);
    return [
      {
        id,
        resource,
        cluster,
        addressKinds: groups.flat().map((address) => address.slice(`pgha-${cluster}-`.length, -"-ip".length)),
        ...(leaves === undefined ? {} : { leaves }),
      },
    ];
  });
}

/** Those that Pacemaker does not know yet, and is to drive by the agent pgsql. */
export function newlyDriven(live: PacemakerConfiguration, wanted: PacemakerConfiguration): DrivenClone[] {
  return clonesOf(wanted)
    .filter(({ id, after }) => live.clones[id] === undefined && after.agent === pgsql)
    .map(({ id, resource }) => ({ id, resource, cluster: clusterOf(id), addressKinds: [] }));
}

function clonesOf({ clones, resources }: PacemakerConfiguration) {
  return Object.entries(clones).flatMap(([id, { resource }]) => {
    const after = resources[resource];
    return after === undefined ? [] : [{ id, resource, after }];
  });
}

function clusterOf(clone: string): string {
  return clone.slice("pgha-".length, -"-clone".length);
}

/** Operations and meta attributes change without a restart. */
function isDrivenAlike(before: PacemakerResource, after: PacemakerResource): boolean {
  const sorted = ({ agent, parameters }: PacemakerResource) =>
    JSON.stringify([agent, Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1))]);
  return sorted(before) === sorted(after);
}

function leftBy(before: PacemakerResource, after: PacemakerResource): DrivenClone["leaves"] {
  const { tmpdir, config: configuration, rep_mode } = before.parameters;
  if (before.agent !== pgsql || tmpdir === undefined || configuration === undefined) return undefined;
  if (after.agent !== pgsql || after.parameters.tmpdir !== tmpdir) return { tmpdir, configuration, everything: true };
  return rep_mode === "sync" && after.parameters.rep_mode === "async"
    ? { tmpdir, configuration, everything: false }
    : undefined;
}
