import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { expected, hostName } from "../model/schema.ts";
import { installPackages, readInstalled } from "./apt.ts";
import { checkInputs, lastSeen } from "./inputs.ts";
import type { Context, Properties, PropertyChange, ResourceType } from "./resource.ts";

const inputsSchema = z.strictObject({
  /** The host, by its name in the stack file. Another host is another resource: it replaces. */
  host: hostName,
  /** Debian packages to hold, in any order. A package taken off the list stays installed: others may have come to need it. */
  names: z
    .array(
      z
        .string()
        .regex(
          /^[a-z0-9][a-z0-9+.-]+$/,
          expected('a Debian package name such as "postgresql-17"', "Correct the name.").error,
        ),
    )
    .transform((names) => [...new Set(names)].sort()),
  /** The time for one installation, downloads included. Default 600. */
  limitSeconds: z.int().min(1).max(7200).default(600),
});

const installedSchema = z.record(z.string(), z.string());

type PackagesInputs = z.infer<typeof inputsSchema>;

/** The packages that apt holds on one host. Outputs: the inputs, and `installed`: {name: version}. */
export const packages: ResourceType = {
  token: "pgha:index:Packages",
  secrets: [],
  check: (news) => checkInputs(inputsSchema, news),
  diff({ outputs, news }) {
    if (outputs.host !== news.host) return { host: { kind: "replace" } };
    return compareNames(textsOf(outputs.names), textsOf(news.names), outputs.installed);
  },
  // Said here and not by every file: once per host is enough.
  notices: ({ outputs, news }) =>
    typeof outputs.unreachable === "string"
      ? [{ level: "warn", text: `${news.host} could not be looked at, taken as last seen\n${outputs.unreachable}` }]
      : [],
  async create(context, { inputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    return { id: `${declared.host}:packages`, outputs: await holdPackages(context, declared, preview) };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) {
      throw new UserError(
        `${id}: found an import, expected packages that are declared. Declare them: what is installed already is taken over as it is.`,
      );
    }
    const declared = inputsSchema.parse(inputs);
    const { unreachable: _, ...known } = outputs;
    try {
      const host = context.hosts.host(declared.host);
      return { id, outputs: { ...known, installed: { ...(await readInstalled(host, declared.names)) } } };
    } catch (error) {
      const seen = lastSeen(known, error);
      if (seen === undefined) throw error;
      return { id, outputs: seen };
    }
  },
  async update(context, { inputs, outputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    const installed = seenInstalled(outputs, declared.names);
    // Names only went off the list: nothing is done on the host, so that it may be dead.
    if (installed !== undefined) return { outputs: { ...declared, installed } };
    return { outputs: await holdPackages(context, declared, preview) };
  },
  /** Packages stay: to remove a server's binaries is never what taking a resource out of a stack should do. */
  async delete() {},
};

async function holdPackages(context: Context, declared: PackagesInputs, preview: boolean): Promise<Properties> {
  const host = context.hosts.host(declared.host);
  if (preview) {
    const installed = await readInstalled(host, declared.names);
    const missing = declared.names.filter((name) => installed[name] === undefined);
    if (missing.length > 0) context.info(`${declared.host}: to install: ${missing.join(", ")}`);
    // The versions of what is still to come are not known: without them everything installed counts as not yet known.
    return missing.length > 0 ? { ...declared } : { ...declared, installed: { ...installed } };
  }
  const installed = await installPackages(host, declared.names, {
    limitSeconds: declared.limitSeconds,
    progress: context.progress,
    cancelled: context.cancelled,
  });
  return { ...declared, installed: { ...installed } };
}

/** The versions of these packages, when the last look found every one of them; otherwise undefined. */
function seenInstalled(outputs: Properties, names: readonly string[]): Record<string, string> | undefined {
  const seen = installedSchema.safeParse(outputs.installed);
  if (!seen.success || names.some((name) => seen.data[name] === undefined)) return undefined;
  return Object.fromEntries(Object.entries(seen.data).filter(([name]) => names.includes(name)));
}

/** A declared package that is not there is added; a name that is no longer declared is shown as taken off the list. */
function compareNames(
  before: readonly string[],
  declared: readonly string[],
  installed: Properties[string] | undefined,
): Record<string, PropertyChange> {
  const present = installed !== null && typeof installed === "object" ? Object.keys(installed) : [];
  const changes: Record<string, PropertyChange> = {};
  for (const [index, name] of before.entries()) {
    if (!declared.includes(name)) changes[`names[${index}]`] = { kind: "delete" };
  }
  for (const [index, name] of declared.entries()) {
    if (before.includes(name) && present.includes(name)) continue;
    changes[`names[${index}]`] = { kind: `names[${index}]` in changes ? "update" : "add" };
  }
  return changes;
}

function textsOf(value: Properties[string] | undefined): string[] {
  return Array.isArray(value) ? value.filter((element) => typeof element === "string") : [];
}
