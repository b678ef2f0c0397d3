import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { UserError } from "../../model/fault.ts";
import { faultsOf } from "../../model/schema.ts";
import type { Context, Properties, PropertyChange, ResourceType } from "../../provider/resource.ts";
import type { RemoteHost } from "../../remote/host.ts";
import { type Connection, connectionSchema, openHost } from "./connection.ts";

/** The official plugin has no limit; without one a hung command would hang `pulumi up`. */
const limitSeconds = 3600;

const inputsSchema = z.strictObject({
  connection: connectionSchema,
  create: z.string().optional(),
  update: z.string().optional(),
  delete: z.string().optional(),
  stdin: z.string().optional(),
  environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).optional(),
  triggers: z.array(z.json()).optional(),
  logging: z.enum(["stdout", "stderr", "stdoutAndStderr", "none"]).optional(),
  addPreviousOutputInEnv: z.boolean().optional(),
});

type CommandInputs = z.infer<typeof inputsSchema>;

/**
 * `command:remote:Command` as version 1.2.1 of the official plugin behaves: any changed input runs `update`, else `create` again;
 * changed triggers replace; preview runs nothing; nothing is read back. `openHost` is replaced in tests.
 */
export function createCommandType(open: (connection: Connection) => Promise<RemoteHost> = openHost): ResourceType {
  async function execute(
    context: Context,
    script: string | undefined,
    inputs: CommandInputs,
    previous: Properties,
  ): Promise<Properties> {
    if (script === undefined) return { stdout: "", stderr: "" };
    return run(context, await open(inputs.connection), script, inputs, previous);
  }

  return {
    token: "command:remote:Command",
    secrets: ["connection"],
    refreshBeforeUpdate: false,
    check(news) {
      const { error } = inputsSchema.safeParse(news);
      // The inputs go back as they came, without our defaults, so that the state is the same as with the official plugin.
      return { inputs: news, faults: error === undefined ? [] : faultsOf(error, news, []) };
    },
    diff({ oldInputs, news }) {
      const keys = [...new Set([...Object.keys(oldInputs), ...Object.keys(news)])].sort();
      const changed = keys.filter((key) => !isDeepStrictEqual(oldInputs[key], news[key]));
      return Object.fromEntries(changed.map((key) => [key, describeChange(key, oldInputs, news)]));
    },
    async create(context, { inputs, preview }) {
      const id = `command${randomBytes(8).toString("hex")}`;
      if (preview) return { id, outputs: inputs };
      const declared = inputsSchema.parse(inputs);
      return { id, outputs: { ...inputs, ...(await execute(context, declared.create, declared, {})) } };
    },
    read: async (_context, { id, inputs, outputs }) => ({ id, inputs, outputs }),
    async update(context, { outputs, inputs, preview }) {
      if (preview) return { outputs: inputs };
      const declared = inputsSchema.parse(inputs);
      const script = declared.update ?? declared.create;
      return { outputs: { ...inputs, ...(await execute(context, script, declared, outputs)) } };
    },
    async delete(context, { inputs, outputs }) {
      const declared = inputsSchema.parse(inputs);
      await execute(context, declared.delete, declared, outputs);
    },
  };
}

function describeChange(key: string, oldInputs: Properties, news: Properties): PropertyChange {
  if (key === "triggers") return { kind: "replace", inputDiff: true };
  if (oldInputs[key] === undefined) return { kind: "add", inputDiff: true };
  if (news[key] === undefined) return { kind: "delete", inputDiff: true };
  return { kind: "update", inputDiff: true };
}

/** Reads one line, which sets the environment, and leaves the rest of standard input to the command: values stay out of `ps`. */
const environmentReader = 'IFS= read -r e; eval "$(printf %s "$e" | base64 -d)"; unset e; exec sh -c "$0"';

async function run(
  context: Context,
  host: RemoteHost,
  script: string,
  inputs: CommandInputs,
  previous: Properties,
): Promise<Properties> {
  const exports = Object.entries(environmentOf(inputs, previous)).map(
    ([name, value]) => `export ${name}=${quote(value)}`,
  );
  const shell = exports.length === 0 ? ["sh", "-c", script] : ["sh", "-c", environmentReader, script];
  const environment = exports.length === 0 ? "" : `${Buffer.from(exports.join("\n")).toString("base64")}\n`;
  const user = inputs.connection.user;
  const logsErrors = (inputs.logging ?? "stdoutAndStderr") === "stdoutAndStderr" || inputs.logging === "stderr";
  const result = await host.run({
    // A command belongs to the SSH user, while ours run as root.
    argv: user === "root" ? shell : ["runuser", "-u", user, "--", ...shell],
    stdin: environment + (inputs.stdin ?? ""),
    limitSeconds,
    purpose: `run a command on ${host.name}`,
    signal: context.cancelled,
    ...(logsErrors ? { onStderrLine: (line: string) => context.progress(line) } : {}),
  });
  if (result.exitCode !== 0) {
    throw new UserError(
      `${host.name}: found exit code ${result.exitCode} of the command, expected 0. Correct the command or what it needs there.\n${tail(result.stdout + result.stderr)}`,
    );
  }
  return { stdout: result.stdout.replace(/\n$/, ""), stderr: result.stderr.replace(/\n$/, "") };
}

function environmentOf(inputs: CommandInputs, previous: Properties): Readonly<Record<string, string>> {
  const { stdout, stderr } = previous;
  const last =
    inputs.addPreviousOutputInEnv === false ? {} : { PULUMI_COMMAND_STDOUT: stdout, PULUMI_COMMAND_STDERR: stderr };
  const texts = Object.entries(last).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return { ...Object.fromEntries(texts), ...inputs.environment };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The last lines of the output: a screenful tells enough. */
function tail(output: string): string {
  return output.trimEnd().split("\n").slice(-20).join("\n");
}
