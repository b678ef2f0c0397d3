import { type HostNames, type LabNames, type NetworkName, networkNames } from "./names.ts";
import { interfaceExists } from "./network.ts";
import { must, run } from "./shell.ts";

/** What a partition cuts. */
export interface PartitionOptions {
  /** Default: all three. */
  readonly networks?: readonly NetworkName[];
  /** Cut only between the host and these; the machine and every other host still reach it. Default: cut from everybody. */
  readonly from?: readonly HostNames[];
}

/** Frames to and from the host vanish on the bridge, in both directions, without a reset. Lasts until `healHosts`. */
export async function partitionHost(lab: LabNames, host: HostNames, options: PartitionOptions = {}): Promise<void> {
  const networks = options.networks ?? networkNames;
  const from = options.from;
  const elements = networks.flatMap((network) => {
    const port = host.ports[network];
    if (from === undefined) return [`"${port}"`];
    return from.flatMap((other) => [`"${port}" . "${other.ports[network]}"`, `"${other.ports[network]}" . "${port}"`]);
  });
  if (elements.length === 0) return;
  const set = from === undefined ? "cut" : "pairs";
  await must(["nft", `add element bridge ${lab.table} ${set} { ${elements.join(", ")} }`]);
}

/** Which of a host's frames are lost: those that it sends, those that are sent to it, or both. */
export type LossDirection = "from" | "to" | "both";

/** By direction, the chain that loses, and what it calls the host's port. */
const lossChains = { from: ["loss", "iifname"], to: ["loss_to", "oifname"] } as const;

/** This share of all frames of the host is lost, on every network. Lasts until `healHosts`. */
export async function loseFrames(
  lab: LabNames,
  host: HostNames,
  percent: number,
  direction: LossDirection,
): Promise<void> {
  // nft takes no 100 there.
  const share = percent >= 100 ? "" : ` numgen random mod 100 < ${percent}`;
  const rules = (direction === "both" ? (["from", "to"] as const) : [direction]).flatMap((way) => {
    const [chain, port] = lossChains[way];
    return networkNames.map(
      (network) => `add rule bridge ${lab.table} ${chain} ${port} "${host.ports[network]}"${share} drop`,
    );
  });
  await must(["nft", "-f", "-"], { stdin: `${rules.join("\n")}\n` });
}

/** Everything sent to the host is held to this rate, on every network. Lasts until `healHosts` or the host's death. */
export async function limitRate(host: HostNames, megabitsPerSecond: number): Promise<void> {
  for (const network of networkNames) {
    const shape = ["tbf", "rate", `${megabitsPerSecond}mbit`, "burst", "64kb", "latency", "400ms"];
    await must(["tc", "qdisc", "replace", "dev", host.ports[network], "root", ...shape]);
  }
}

/** Ends every partition, loss and rate limit of these hosts. */
export async function healHosts(lab: LabNames, hosts: readonly HostNames[]): Promise<void> {
  const ports = new Set(hosts.flatMap((host) => Object.values(host.ports)));
  const listed = await must(["nft", "--json", "--handle", "list", "table", "bridge", lab.table]);
  const commands: string[] = [];
  for (const entry of faultsIn(listed)) {
    if (!entry.ports.some((port) => ports.has(port))) continue;
    commands.push(entry.undo(lab.table));
  }
  if (commands.length > 0) await must(["nft", "-f", "-"], { stdin: `${commands.join("\n")}\n` });
  for (const port of ports) {
    if (interfaceExists(port)) await run(["tc", "qdisc", "delete", "dev", port, "root"]);
  }
}

/** One fault that the lab's bridge table holds. */
interface BridgeFault {
  readonly kind: "cut" | "pair" | "loss";
  readonly ports: readonly string[];
  undo(table: string): string;
}

/** Reads the faults out of `nft --json --handle list table bridge …`. */
export function faultsIn(json: string): BridgeFault[] {
  const listed = JSON.parse(json) as { nftables: readonly Record<string, NftObject>[] };
  const faults: BridgeFault[] = [];
  for (const entry of listed.nftables) {
    for (const element of entry.set?.elem ?? []) {
      const ports = typeof element === "string" ? [element] : (element.concat ?? []);
      const name = entry.set?.name ?? "";
      const text = ports.map((port) => `"${port}"`).join(" . ");
      faults.push({
        kind: name === "cut" ? "cut" : "pair",
        ports,
        undo: (table) => `delete element bridge ${table} ${name} { ${text} }`,
      });
    }
    const rule = entry.rule;
    const chain = rule?.chain;
    if (rule === undefined || (chain !== "loss" && chain !== "loss_to") || rule.handle === undefined) continue;
    const port = rule.expr?.map((part) => part.match?.right).find((right) => typeof right === "string");
    const handle = rule.handle;
    faults.push({
      kind: "loss",
      ports: typeof port === "string" ? [port] : [],
      undo: (table) => `delete rule bridge ${table} ${chain} handle ${handle}`,
    });
  }
  return faults;
}

/** The part of nft's JSON that is read. */
interface NftObject {
  readonly name?: string;
  readonly elem?: readonly (string | { readonly concat?: readonly string[] })[];
  readonly chain?: string;
  readonly handle?: number;
  readonly expr?: readonly { readonly match?: { readonly right?: unknown } }[];
}

/** In words, what is wrong with a host's networks; empty when nothing is. */
export async function describeFaults(lab: LabNames, host: HostNames): Promise<string[]> {
  const listed = await run(["nft", "--json", "--handle", "list", "table", "bridge", lab.table]);
  if (listed.exitCode !== 0) return [];
  const faults = faultsIn(listed.stdout).filter((fault) => fault.ports.some((port) => isPortOf(host, port)));
  return faults.map((fault) => {
    if (fault.kind === "cut") return `partitioned from everybody on ${networkOf(host, fault.ports[0])}`;
    if (fault.kind === "loss") return `loses frames on ${networkOf(host, fault.ports[0])}`;
    return `cannot exchange frames: ${fault.ports.join(" to ")}`;
  });
}

function isPortOf(host: HostNames, port: string): boolean {
  return Object.values(host.ports).includes(port);
}

function networkOf(host: HostNames, port: string | undefined): string {
  return networkNames.find((network) => host.ports[network] === port) ?? "?";
}
