import { type Config, type HostDeclaration, type Networks, parseHosts, readEntries, readKey } from "./connections.ts";
import { type ClusterDeclaration, clusterSchema, type UncheckedCluster } from "./declaration.ts";
import type { Fault } from "./fault.ts";
import { type PacemakerDeclaration, pacemakerSchema } from "./pacemaker/declaration.ts";
import { validatePacemaker } from "./pacemaker/validation.ts";
import { isMapping, type Reading, readObject } from "./schema.ts";
import { validateClusters } from "./validation.ts";

/** A whole stack file without faults. */
export interface Environment {
  /** In the order of the stack file. */
  readonly hosts: readonly HostDeclaration[];
  /** pgha:networks, by name. */
  readonly networks: Networks;
  /** In the order of the stack file. */
  readonly clusters: readonly ClusterDeclaration[];
  /** The Corosync clusters that fail them over. */
  readonly pacemaker: readonly PacemakerDeclaration[];
}

/** Keys that are documented for later; the answer is clearer than "unknown key". */
const notYet: Readonly<Record<string, string>> = {
  proxy: "a proxy",
};

/** The whole stack file. `config` holds its keys without "pgha:". The environment is undefined when there are faults. */
export function parseEnvironment(config: Config): { environment?: Environment; faults: readonly Fault[] } {
  const { faults, ...surroundings } = parseHosts(config);
  const read = readEntries(readKey(config, "clusters"), ["pgha:clusters"], faults, (data, path) =>
    readCluster(data, path, faults),
  );
  const corosyncs =
    readEntries(readKey(config, "pacemaker"), ["pgha:pacemaker"], faults, (data, path) =>
      readObject(pacemakerSchema, data, path, faults),
    ) ?? new Map();
  const checked = validateClusters(read ?? new Map(), surroundings, [...corosyncs.keys()]);
  const { pacemaker, faults: underPacemaker } = validatePacemaker(corosyncs, checked.clusters, surroundings);
  faults.push(...checked.faults, ...underPacemaker);
  if (faults.length > 0) return { faults };
  const { hosts, networks } = surroundings;
  return { environment: { hosts, networks, clusters: checked.clusters, pacemaker }, faults };
}

function readCluster(data: unknown, path: readonly string[], faults: Fault[]): Reading<UncheckedCluster> {
  if (!isMapping(data)) return readObject(clusterSchema, data, path, faults);
  const known = { ...data };
  const unavailable = Object.entries(notYet).filter(([key]) => key in known);
  for (const [key, what] of unavailable) {
    delete known[key];
    faults.push({
      path: [...path, key],
      found: what,
      expected: "no such key: it is not available in this version",
      remedy: "Remove it.",
    });
  }
  return readObject(clusterSchema, known, path, faults);
}
