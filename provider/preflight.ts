import { z } from "zod";
import { readHostFacts } from "../cluster/hostFacts.ts";
import { FaultsFound, faultText, UserError } from "../model/fault.ts";
import { type HostFacts, hostFaults, type MarkedMember, type PlannedMember } from "../model/hostFacts.ts";
import { nodeFaults, type PlannedNode } from "../model/pacemaker/nodeFacts.ts";
import { type Place, renamingFaults } from "../model/renames.ts";
import { RemoteError } from "../remote/errors.ts";
import { checkInputs } from "./inputs.ts";
import type { Context, ResourceType } from "./resource.ts";

const memberSchema = z.strictObject({
  cluster: z.string(),
  member: z.string(),
  postgresVersion: z.number(),
  port: z.number(),
  dataDirectory: z.string(),
  walDirectory: z.string().optional(),
  replicationAddress: z.string(),
});

const nodeSchema = z.strictObject({
  corosync: z.string(),
  nodes: z.array(z.string()).readonly(),
  addresses: z.array(z.string()).readonly(),
  virtualIps: z.record(z.string(), z.string()),
});

const inputsSchema = z.strictObject({
  /** By host: what is to live there. */
  hosts: z.record(
    z.string(),
    z.strictObject({ address: z.string(), members: z.array(memberSchema), node: nodeSchema.optional() }),
  ),
});

/** Why the preflight of this run refused what is declared. */
let refused: string | undefined;

/**
 * `pulumi up --continue-on-error` goes on to its deletions after a refusal: what looks like a removed cluster may be a
 * renamed one then, and a refused run neither stops nor erases anything.
 */
export function refuseAfterRefusedPreflight(what: string): void {
  if (refused === undefined) return;
  throw new UserError(`${what}: not done, because this run was refused. Nothing was touched.\n  ${refused}`);
}

type Hosts = z.infer<typeof inputsSchema>["hosts"];

/**
 * Looks at every host before anything is touched on any, and reports all faults together. Everything else of an
 * environment depends on it. Later it looks only at what was added: a host that is down stops only what must write there.
 */
export const preflight: ResourceType = {
  token: "pgha:index:Preflight",
  secrets: [],
  refreshBeforeUpdate: false,
  check: (news) => checkInputs(inputsSchema, news),
  diff({ oldInputs, news }) {
    return JSON.stringify(oldInputs.hosts) === JSON.stringify(news.hosts) ? {} : { hosts: { kind: "update" } };
  },
  async create(context, { inputs }) {
    const { hosts } = inputsSchema.parse(inputs);
    await rememberingRefusal(() => lookAt(context, hosts, hosts));
    return { id: "preflight", outputs: inputs };
  },
  async read(_context, { id, outputs }) {
    return { id, outputs };
  },
  async update(context, { inputs, oldInputs }) {
    const before = inputsSchema.parse(oldInputs).hosts;
    const now = inputsSchema.parse(inputs).hosts;
    await rememberingRefusal(async () => {
      const renamed = renamingFaults(placesIn(before), placesIn(now));
      if (renamed.length > 0) throw new FaultsFound(renamed, "Nothing was touched:");
      await lookAt(context, addedTo(before, now), now);
    });
    return { outputs: inputs };
  },
  async delete() {},
};

async function rememberingRefusal(look: () => Promise<void>): Promise<void> {
  refused = undefined;
  try {
    await look();
  } catch (error) {
    refused = error instanceof Error ? error.message : String(error);
    throw error;
  }
}

function placesIn(hosts: Hosts): Place[] {
  return Object.entries(hosts).flatMap(([host, { address, members }]) =>
    members.map((member) => ({ ...member, host, address })),
  );
}

function addedTo(before: Hosts, now: Hosts): Hosts {
  return Object.fromEntries(
    Object.entries(now).flatMap(([name, host]) => {
      const known = before[name];
      const isNew = known === undefined || known.address !== host.address;
      const members = host.members.filter(
        (member) =>
          isNew || !known.members.some((old) => old.cluster === member.cluster && old.member === member.member),
      );
      const { node, ...rest } = host;
      const isNode = node !== undefined && (isNew || JSON.stringify(node) !== JSON.stringify(known.node));
      const looked = isNode ? { node: withFormerNodes(node, known?.node) } : {};
      return isNew || members.length > 0 || isNode ? [[name, { ...rest, members, ...looked }]] : [];
    }),
  );
}

/** A node that goes still stands in the others' corosync.conf. */
function withFormerNodes(node: PlannedNode, former: PlannedNode | undefined): PlannedNode {
  if (former?.corosync !== node.corosync) return node;
  return { ...node, nodes: [...new Set([...node.nodes, ...former.nodes])] };
}

interface Seen {
  readonly host: string;
  readonly facts?: HostFacts;
  readonly lines: readonly string[];
  /** How a host without faults is listed beside the others' faults. */
  readonly summary: string;
  readonly reached: boolean;
  /** Members of ours that have a marker there. */
  readonly markers: readonly MarkedMember[];
}

/** `hosts`: what is to be looked at; `declared`: all of them, with all their members. */
async function lookAt(context: Context, hosts: Hosts, declared: Hosts): Promise<void> {
  const looked = await Promise.all(
    Object.entries(hosts).map(([name, host]) => lookAtHost(context, name, host, declared[name]?.members)),
  );
  const managed = looked.flatMap(({ facts }) => facts?.managed ?? []);
  const seen = looked.map((host) => {
    const node = hosts[host.host]?.node;
    if (host.facts === undefined || node === undefined) return host;
    return { ...host, lines: [...host.lines, ...nodeFaults(host.host, host.facts, node, managed).map(faultText)] };
  });
  const faulty = seen.filter((host) => host.lines.length > 0);
  if (faulty.length === 0) return;
  const well = seen.filter((host) => host.lines.length === 0).map((host) => host.summary);
  throw new UserError(
    [
      `${faulty.length} of ${seen.length} hosts cannot be used as declared; nothing was touched:`,
      // What is wrong with the jump host is wrong for every host behind it, and said once.
      ...new Set(faulty.flatMap((host) => host.lines.map((line) => `  ${line}`))),
      ...(well.length === 0 ? [] : [`  well: ${well.join(", ")}`]),
      ...clustersBeside(seen, declared).map((line) => `  ${line}`),
    ].join("\n"),
  );
}

/** A cluster that exists, though this state knows nothing of it, can be taken over without the host that is away. */
function clustersBeside(seen: readonly Seen[], declared: Hosts): string[] {
  const away = seen.filter((host) => !host.reached).map((host) => host.host);
  const clusters = away.flatMap((name) => (declared[name]?.members ?? []).map((member) => member.cluster));
  return [...new Set(clusters)].flatMap((cluster) => {
    const there = seen.flatMap((host) =>
      host.markers.filter((marked) => marked.cluster === cluster).map((marked) => marked.member),
    );
    if (there.length === 0) return [];
    const gone = away.flatMap((name) =>
      (declared[name]?.members ?? []).filter((one) => one.cluster === cluster).map((one) => one.member),
    );
    return [
      `cluster ${cluster} exists already: ${there.join(", ")} hold${there.length === 1 ? "s" : ""} its data. To take it over now, without ${gone.join(", ")}: leave`,
      `  ${gone.join(", ")} out of its members: and ${away.join(", ")} out of pgha:hosts, run \`pulumi up\`, and add them again when they are back.`,
    ];
  });
}

async function lookAtHost(
  context: Context,
  name: string,
  { members, node }: Hosts[string],
  declared: readonly PlannedMember[] = members,
): Promise<Seen> {
  try {
    const directories = members.flatMap(({ dataDirectory, walDirectory }) =>
      walDirectory === undefined ? [dataDirectory] : [dataDirectory, walDirectory],
    );
    const facts = await readHostFacts(
      context.hosts.host(name),
      directories,
      Object.values(node?.virtualIps ?? {}).map((address) => address.replace(/\/.*/, "")),
    );
    const lines = hostFaults(name, facts, members, declared).map(faultText);
    const summary = `${name} (${facts.system} ${facts.systemVersion})`;
    return { host: name, lines, summary, reached: true, markers: facts.markers, facts };
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    const field = error.field ?? `pgha:hosts.${name}`;
    return { host: name, lines: [`${field}: ${withoutField(error)}`], summary: name, reached: false, markers: [] };
  }
}

/** Said of a host alone, the error names the field itself. */
function withoutField(error: RemoteError): string {
  const own = `${error.host}.hostKey: `;
  return error.message.startsWith(own) ? error.message.slice(own.length) : error.message;
}
