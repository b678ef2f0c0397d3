import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { RemoteCommand } from "../../remote/command.ts";
import type { RemoteHost, RemoteProcess } from "../../remote/host.ts";

/** This machine as a host for the helper: what it calls is first looked for in `programs`. */
export function createLocalHost(programs: string): RemoteHost {
  const start = (command: RemoteCommand) => startLocally(command, programs);
  const refuse = () => Promise.reject(new Error("the helper needs no such thing"));
  return {
    name: "here",
    run: refuse,
    socket: refuse,
    start: async (command) => start(command),
    async must(command) {
      const process = start(command);
      process.write(command.stdin?.toString() ?? "");
      process.end();
      const lines: string[] = [];
      for (;;) {
        const line = await process.nextLine(command.limitSeconds);
        if (line === undefined) break;
        lines.push(line);
      }
      const { exitCode, stderr } = await process.exit;
      if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`);
      return lines.join("\n");
    },
  };
}

function startLocally(command: RemoteCommand, programs: string): RemoteProcess {
  const [program = "", ...rest] = command.argv;
  const child = spawn(program, rest, { env: { ...process.env, PATH: `${programs}:${process.env.PATH}` } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.on("error", () => undefined);
  const exit = new Promise<{ exitCode: number; stdout: string; stderr: string }>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ exitCode: code ?? 255, stdout: "", stderr }));
  });
  return {
    async nextLine(limitSeconds) {
      const limit = setTimeout(() => child.kill(), limitSeconds * 1000);
      try {
        const { value, done } = await lines.next();
        return done === true ? undefined : value;
      } finally {
        clearTimeout(limit);
      }
    },
    write: (text) => void child.stdin.write(text),
    end: () => void child.stdin.end(),
    kill: () => void child.kill(),
    exit,
  };
}
