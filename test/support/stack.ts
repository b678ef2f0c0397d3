import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDocument } from "yaml";
import { killTree } from "./killTree.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Ran {
  readonly exitCode: number;
  /** Standard output and standard error as they came. */
  readonly output: string;
  readonly seconds: number;
}

/** A `pulumi` that goes on while the test does something to it. */
export interface Running {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  output(): string;
  readonly ended: Promise<Ran>;
}

/** One stack with a state and a stack file of its own, driven through the real CLI as a person would. */
export interface TestStack {
  readonly stackFile: string;
  /** Sets one value of the stack file: edit(["pgha:clusters", "orders", "primary"], "pg2"); undefined removes it. */
  edit(path: readonly string[], value: unknown): Promise<void>;
  preview(...args: string[]): Promise<Ran>;
  /** `pulumi up --yes --skip-preview` */
  up(...args: string[]): Promise<Ran>;
  destroy(...args: string[]): Promise<Ran>;
  pulumi(...args: string[]): Promise<Ran>;
  start(...args: string[]): Running;
  /** The whole state as text, secrets encrypted. */
  exportState(): Promise<string>;
  /** The stack's outputs, secrets in clear. */
  outputs(): Promise<Record<string, Record<string, string>>>;
  /** Removes state and stack file; hosts are not touched. */
  forget(): Promise<void>;
}

export interface StackOptions {
  readonly name: string;
  /** The keys under `config:`, "pgha:hosts" and so on. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Longest time for one call of the CLI. Default 300. */
  readonly limitSeconds?: number;
}

export async function openStack(options: StackOptions): Promise<TestStack> {
  const defaultFile = join(root, "stacks", `Pulumi.${options.name}.yaml`);
  await refuseDeclared(defaultFile);
  const directory = await mkdtemp(join(tmpdir(), `pgha-${options.name}-`));
  const backend = join(directory, "state");
  const stackFile = join(directory, `Pulumi.${options.name}.yaml`);
  await mkdir(backend);
  const document = parseDocument("config: {}\n");
  document.setIn(["config"], document.createNode(options.config));
  await writeFile(stackFile, document.toString({ lineWidth: 0 }));
  const environment = pulumiEnvironment(backend);

  const start = (...args: string[]): Running => {
    const began = performance.now();
    const child = spawn("pulumi", args, { cwd: root, env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const timer = setTimeout(() => killTree({ child }), (options.limitSeconds ?? 300) * 1000);
    const ended = new Promise<Ran>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        resolve({ exitCode: code ?? -1, output, seconds: (performance.now() - began) / 1000 });
      });
    });
    return { child, output: () => output, ended };
  };
  const run = (...args: string[]) => start(...args).ended;
  const onStack = ["--stack", options.name, "--non-interactive"];
  /** The verbs that read the stack file take its place; the others do not know that option. */
  const withPlace = (verb: string | undefined) =>
    ["cancel", "stack", "state"].includes(verb ?? "") ? onStack : [...onStack, "--config-file", stackFile];
  const call = (...args: string[]) => run(...args, ...withPlace(args[0]));
  // Verbs without the option leave the salt where the stack file would be by default.
  const forgetDefaultFile = () => rm(defaultFile, { force: true });

  const created = await run("stack", "init", options.name, "--non-interactive");
  await forgetDefaultFile();
  if (created.exitCode !== 0) throw new Error(`pulumi stack init: ${created.output}`);
  return {
    stackFile,
    async edit(path, value) {
      const edited = parseDocument(await readFile(stackFile, "utf8"));
      if (value === undefined) edited.deleteIn(["config", ...path]);
      else edited.setIn(["config", ...path], edited.createNode(value));
      await writeFile(stackFile, edited.toString({ lineWidth: 0 }));
    },
    preview: (...args) => call("preview", ...args),
    up: (...args) => call("up", "--yes", "--skip-preview", ...args),
    destroy: (...args) => call("destroy", "--yes", "--skip-preview", ...args),
    pulumi: call,
    start: (...args) => start(...args, ...withPlace(args[0])),
    async exportState() {
      return (await call("stack", "export")).output;
    },
    async outputs() {
      return JSON.parse((await call("stack", "output", "--json", "--show-secrets")).output);
    },
    async forget() {
      await forgetDefaultFile();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A file with declarations is somebody's; one with a salt alone was left behind by a test that was killed. */
async function refuseDeclared(file: string): Promise<void> {
  if (!parseDocument(await readFile(file, "utf8").catch(() => "")).has("config")) return;
  throw new Error(
    `${file}: found a stack file, expected none: a test's stack of that name would remove it. Give the test's stack another name.`,
  );
}

/** As .tools/env sets it, with a backend of the test's own. */
function pulumiEnvironment(backend: string): NodeJS.ProcessEnv {
  const bin = join(root, ".tools", "bin");
  return {
    ...process.env,
    PATH: existsSync(bin) ? `${bin}:${process.env.PATH}` : process.env.PATH,
    PULUMI_HOME: join(root, ".tools", "pulumi-home"),
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_DISABLE_REGISTRY_RESOLVE: "true",
  };
}
