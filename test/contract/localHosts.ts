import { spawn } from "node:child_process";
import type { CommandResult, RemoteCommand } from "../../remote/command.ts";
import { CommandFailed, Unreachable } from "../../remote/errors.ts";
import type { RemoteHost, RemoteHosts } from "../../remote/host.ts";

/** Hosts that are this machine: commands run here, as the current user. What a test lays goes into a directory of its own. */
export interface LocalHosts extends RemoteHosts {
  /** What ran, as "host purpose". */
  readonly ran: string[];
  /** From now on the host does not answer. */
  cut(name: string): void;
  restore(name: string): void;
}

/** `path`: directories that come first in PATH, so that a test can put a program of its own before the real one. */
export function createLocalHosts(options: { path?: string } = {}): LocalHosts {
  const ran: string[] = [];
  const cut = new Set<string>();

  async function run(name: string, command: RemoteCommand): Promise<CommandResult> {
    if (cut.has(name)) throw new Unreachable(name, `${name}: found no answer, expected sshd. Start the host.`);
    ran.push(`${name} ${command.purpose}`);
    const path = options.path === undefined ? process.env.PATH : `${options.path}:${process.env.PATH}`;
    return execute(command, { ...process.env, PATH: path });
  }

  function host(name: string): RemoteHost {
    return {
      name,
      run: (command) => run(name, command),
      async must(command) {
        const { exitCode, stdout, stderr } = await run(name, command);
        if (exitCode === 0) return stdout;
        const message = `${name}: found exit code ${exitCode}, expected to ${command.purpose}. ${stderr}`;
        throw new CommandFailed(name, message, exitCode, stderr);
      },
      start: () => Promise.reject(new Error("not needed here")),
      socket: () => Promise.reject(new Error("not needed here")),
    };
  }

  const names = () => Promise.reject(new Error("not needed here"));
  return { ran, names, host, close() {}, cut: (name) => void cut.add(name), restore: (name) => void cut.delete(name) };
}

function execute(command: RemoteCommand, environment: NodeJS.ProcessEnv): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const [program = "", ...rest] = command.argv;
    const child = spawn(program, rest, { env: environment, stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      for (const line of chunk.toString().trimEnd().split("\n")) command.onStderrLine?.(line);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ exitCode: code ?? 255, stdout, stderr }));
    child.stdin.on("error", () => undefined);
    child.stdin.end(command.stdin ?? "");
  });
}
