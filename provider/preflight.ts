import { z } from "zod";
import { readHostFacts } from "../cluster/hostFacts.ts";
import { faultText, UserError } from "../model/fault.ts";
import { hostFaults, type PlannedMember } from "../model/hostFacts.ts";
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

const inputsSchema = z.strictObject({
  /** By host: what is to live there. */
  hosts: z.record(z.string(), z.strictObject({ address: z.string(), members: z.array(memberSchema) })),
});

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
    await lookAt(context, inputsSchema.parse(inputs).hosts);
    return { id: "preflight", outputs: inputs };
  },
  async read(_context, { id, outputs }) {
    return { id, outputs };
  },
  async update(context, { inputs, oldInputs }) {
    const before = inputsSchema.parse(oldInputs).hosts;
    await lookAt(context, addedTo(before, inputsSchema.parse(inputs).hosts));
    return { outputs: inputs };
  },
  async delete() {},
};

function addedTo(before: Hosts, now: Hosts): Hosts {
  return Object.fromEntries(
    Object.entries(now).flatMap(([name, host]) => {
      const known = before[name];
      const isNew = known === undefined || known.address !== host.address;
      const members = host.members.filter(
        (member) =>
          isNew || !known.members.some((old) => old.cluster === member.cluster && old.member === member.member),
      );
      return isNew || members.length > 0 ? [[name, { ...host, members }]] : [];
    }),
  );
}

interface Seen {
  readonly host: string;
  readonly lines: readonly string[];
  /** How a host without faults is listed beside the others' faults. */
  readonly summary: string;
}

async function lookAt(context: Context, hosts: Hosts): Promise<void> {
  const seen = await Promise.all(
    Object.entries(hosts).map(([name, { members }]) => lookAtHost(context, name, members)),
  );
  const faulty = seen.filter((host) => host.lines.length > 0);
  if (faulty.length === 0) return;
  const well = seen.filter((host) => host.lines.length === 0).map((host) => host.summary);
  throw new UserError(
    [
      `${faulty.length} of ${seen.length} hosts cannot be used as declared; nothing was touched:`,
      // What is wrong with the jump host is wrong for every host behind it, and said once.
      ...new Set(faulty.flatMap((host) => host.lines.map((line) => `  ${line}`))),
      ...(well.length === 0 ? [] : [`  well: ${well.join(", ")}`]),
    ].join("\n"),
  );
}

async function lookAtHost(context: Context, name: string, members: readonly PlannedMember[]): Promise<Seen> {
  try {
    const directories = members.flatMap(({ dataDirectory, walDirectory }) =>
      walDirectory === undefined ? [dataDirectory] : [dataDirectory, walDirectory],
    );
    const facts = await readHostFacts(context.hosts.host(name), directories);
    const faults = hostFaults(name, facts, members);
    return { host: name, lines: faults.map(faultText), summary: `${name} (${facts.system} ${facts.systemVersion})` };
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error;
    const field = error.field ?? `pgha:hosts.${name}`;
    return { host: name, lines: [`${field}: ${withoutField(error)}`], summary: name };
  }
}

/** Said of a host alone, the error names the field itself. */
function withoutField(error: RemoteError): string {
  const own = `${error.host}.hostKey: `;
  return error.message.startsWith(own) ? error.message.slice(own.length) : error.message;
}
