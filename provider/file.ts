import { dirname } from "node:path";
import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { absolutePath, expected, hostName } from "../model/schema.ts";
import { readFiles, removeFile, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";
import { concealSecrets, extractBlock, placeBlock, placeholderOf, removeBlock, revealSecrets } from "./fileText.ts";
import { removeOrForget } from "./forget.ts";
import { checkInputs, createQueue, lastSeen } from "./inputs.ts";
import type { Context, Properties, PropertyChange, ResourceType } from "./resource.ts";

const limitSeconds = 30;

const inputsSchema = z
  .strictObject({
    /** The host, by its name in the stack file. It and the path are the file's identity: another one replaces. */
    host: hostName,
    /** Absolute. Missing directories above it are made, for root and readable by all. */
    path: absolutePath,
    /** The whole text, or that of the block. Where a secret belongs it has `@@NAME@@`, so that a diff may be shown. */
    content: z.string(),
    /** Values for the placeholders. They are kept as secrets, and are never shown. */
    secrets: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string().min(1)).default({}),
    /** Default root. */
    owner: z.string().min(1).default("root"),
    /** Default root. */
    group: z.string().min(1).default("root"),
    /** Octal. Default 0644. */
    mode: z
      .string()
      .regex(/^[0-7]{3,4}$/, expected('an octal mode such as "0640"', "Correct the mode.").error)
      .transform((mode) => mode.padStart(4, "0"))
      .default("0644"),
    /** `block`: only the lines between two marks are ours; owner, group and mode then count only when the file is new. */
    placement: z.enum(["whole", "block"]).default("whole"),
    /** Tells the blocks in one file apart. Default "pgha". */
    blockName: z.string().min(1).default("pgha"),
  })
  .superRefine((file, issues) => {
    for (const name of Object.keys(file.secrets)) {
      if (file.content.includes(placeholderOf(name))) continue;
      const { error } = expected(`content with ${placeholderOf(name)} in it`, "Put it where the secret belongs.");
      issues.addIssue({ code: "custom", path: ["content"], message: error });
    }
  })
  .transform((file) => {
    const endsOpen = file.placement === "block" && file.content !== "" && !file.content.endsWith("\n");
    return endsOpen ? { ...file, content: `${file.content}\n` } : file;
  });

type FileInputs = z.infer<typeof inputsSchema>;

/** Blocks of one file are written one after the other: each is a read and a write of the whole file. */
const inTurn = createQueue();

/**
 * One file on one host, or a marked block in one. Outputs carry the live content, owner and mode, so that a hand edit shows
 * as a diff of lines and is put right by the next `pulumi up`.
 */
export const file: ResourceType = {
  token: "pgha:index:File",
  secrets: ["secrets"],
  check: (news) => checkInputs(inputsSchema, news),
  diff: ({ outputs, news }) => compareFiles(outputs, news),
  async create(context, { inputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    if (!preview) await layFile(context, declared, true);
    return { id: idOf(declared), outputs: { ...declared } };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) {
      throw new UserError(
        `${id}: found an import, expected a file that is declared. Declare it: a file with the same content is taken over as it is.`,
      );
    }
    const { unreachable: _, ...known } = outputs;
    try {
      return { id, outputs: await readFile(context, inputsSchema.parse(inputs)) };
    } catch (error) {
      const seen = lastSeen(known, error);
      if (seen === undefined) throw error;
      return { id, outputs: seen };
    }
  },
  async update(context, { inputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    if (!preview) await layFile(context, declared, false);
    return { outputs: { ...declared } };
  },
  async delete(context, { inputs }) {
    const declared = inputsSchema.parse(inputs);
    const left = `${declared.path} is left on ${declared.host} as it is`;
    await removeOrForget(context, declared.host, left, () => takeAway(context, declared));
  },
};

function idOf(declared: FileInputs): string {
  const block = declared.placement === "block" ? `#${declared.blockName}` : "";
  return `${declared.host}:${declared.path}${block}`;
}

function compareFiles(outputs: Properties, news: Properties): Record<string, PropertyChange> {
  const identity = ["host", "path", "placement", "blockName"].filter((key) => outputs[key] !== news[key]);
  if (identity.length > 0) return Object.fromEntries(identity.map((key) => [key, { kind: "replace" }]));
  // In a block, owner and mode are those of somebody else's file.
  const tracked = news.placement === "block" ? ["content"] : ["content", "owner", "group", "mode"];
  const changes: Record<string, PropertyChange> = {};
  for (const key of tracked) {
    if (outputs[key] === news[key]) continue;
    changes[key] = { kind: outputs[key] === undefined ? "add" : "update" };
  }
  if (JSON.stringify(sortKeys(outputs.secrets)) !== JSON.stringify(sortKeys(news.secrets))) {
    changes.secrets = { kind: "update" };
  }
  return changes;
}

function sortKeys(value: Properties[string] | undefined): [string, unknown][] {
  return Object.entries(value ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Live content, owner, group and mode beside what is declared; without `content` when the file or the block is missing. */
async function readFile(context: Context, declared: FileInputs): Promise<Properties> {
  const [live] = await readFiles(context.hosts.host(declared.host), [declared.path]);
  const { content: _, owner, group, mode, ...rest } = declared;
  if (live === undefined) return rest;
  if (declared.placement === "whole") {
    const content = concealSecrets(live.content, declared.content, declared.secrets);
    return { ...rest, content, owner: live.owner, group: live.group, mode: live.mode };
  }
  const block = extractBlock(live.content, declared.blockName);
  const content = block === undefined ? {} : { content: concealSecrets(block, declared.content, declared.secrets) };
  return { ...rest, owner, group, mode, ...content };
}

async function layFile(context: Context, declared: FileInputs, isNew: boolean): Promise<void> {
  const host = context.hosts.host(declared.host);
  const { path, owner, group, mode } = declared;
  const content = revealSecrets(declared.content, declared.secrets);
  if (isNew) await makeDirectory(host, dirname(path));
  if (declared.placement === "whole") {
    await writeFile(host, { path, content, owner, group, mode, limitSeconds });
    return;
  }
  await inTurn(`${declared.host}:${path}`, async () => {
    const [live] = await readFiles(host, [path]);
    const { content: around, ...attributes } = live ?? { content: "", owner, group, mode };
    const whole = explainPlace(declared, () => placeBlock(around, declared.blockName, content));
    await writeFile(host, { path, limitSeconds, ...pickAttributes(attributes), content: whole });
  });
}

function pickAttributes(from: { owner: string; group: string; mode: string }) {
  return { owner: from.owner, group: from.group, mode: from.mode };
}

async function makeDirectory(host: RemoteHost, path: string): Promise<void> {
  await host.must({
    argv: ["sh", "-c", 'umask 022; mkdir -p -- "$1"', "sh", path],
    limitSeconds,
    purpose: `make ${path}`,
  });
}

/** Removes the file, or the block, if it is still as we laid it; what somebody changed since is left. */
async function takeAway(context: Context, declared: FileInputs): Promise<void> {
  const host = context.hosts.host(declared.host);
  const ours = revealSecrets(declared.content, declared.secrets);
  await inTurn(`${declared.host}:${declared.path}`, async () => {
    const [live] = await readFiles(host, [declared.path]);
    if (live === undefined) return;
    const isBlock = declared.placement === "block";
    const found = isBlock ? explainPlace(declared, () => extractBlock(live.content, declared.blockName)) : live.content;
    if (found === undefined) return;
    if (found !== ours) {
      context.warn(`${declared.path} on ${declared.host} is left: its content is not the one that was laid`);
      return;
    }
    const rest = isBlock ? removeBlock(live.content, declared.blockName) : "";
    if (rest === "") await removeFile(host, declared.path);
    else await writeFile(host, { path: declared.path, limitSeconds, ...pickAttributes(live), content: rest });
  });
}

/** An error about the text of a file gets its place in front. */
function explainPlace<T>(declared: FileInputs, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${declared.host}:${declared.path}: ${error.message}`);
    throw error;
  }
}
