import { StringDecoder } from "node:string_decoder";
import type { CommandResult, RemoteCommand } from "./command.ts";
import type { Connection } from "./connection.ts";
import { CommandFailed, OutputTooLong, RemoteTimeout } from "./errors.ts";
import { execute, outputLimitBytes } from "./execution.ts";
import type { RemoteProcess } from "./host.ts";

/** How many long-lived processes a host has room for: some sessions must stay free for short commands. */
const processLimit = 6;

/** The three ways to run a command over one connection. */
export interface Runner {
  run(command: RemoteCommand): Promise<CommandResult>;
  must(command: RemoteCommand): Promise<string>;
  start(command: RemoteCommand): Promise<RemoteProcess>;
}

export function createRunner(hostName: string, connection: Connection): Runner {
  let processes = 0;

  async function run(command: RemoteCommand): Promise<CommandResult> {
    const chunks: Buffer[] = [];
    const execution = await execute(hostName, connection, command, (chunk) => chunks.push(chunk));
    execution.channel.end(command.stdin);
    const { exitCode, stderr } = await execution.ended;
    return { exitCode, stdout: Buffer.concat(chunks).toString("utf8"), stderr };
  }

  async function must(command: RemoteCommand): Promise<string> {
    const { exitCode, stdout, stderr } = await run(command);
    if (exitCode !== 0) throw commandFailed(hostName, command, exitCode, stderr);
    return stdout;
  }

  async function start(command: RemoteCommand): Promise<RemoteProcess> {
    if (processes >= processLimit) {
      throw new Error(
        `${hostName}: ${command.purpose} would be the process ${processes + 1}; at most ${processLimit} fit`,
      );
    }
    processes += 1;
    try {
      const process = await begin(hostName, connection, command);
      const ended = () => {
        processes -= 1;
      };
      process.exit.then(ended, ended);
      return process;
    } catch (error) {
      processes -= 1;
      throw error;
    }
  }

  return { run, must, start };
}

/** The error for an exit code that the caller cannot use. */
function commandFailed(hostName: string, command: RemoteCommand, exitCode: number, stderr: string): CommandFailed {
  const end = stderr.trimEnd().split("\n").slice(-10).join("\n").slice(-2000);
  const told = end === "" ? "it wrote nothing to standard error." : end;
  const message = `${hostName}: could not ${command.purpose}: ${command.argv[0]} ended with exit code ${exitCode}: ${told}`;
  return new CommandFailed(hostName, message, exitCode, stderr);
}

async function begin(hostName: string, connection: Connection, command: RemoteCommand): Promise<RemoteProcess> {
  const lines = createLineQueue(hostName, command);
  const execution = await execute(hostName, connection, command, (chunk) => {
    if (lines.push(chunk) > outputLimitBytes) {
      const message = `${hostName}: could not ${command.purpose}: nobody reads the lines of ${command.argv[0]}; it was killed.`;
      execution.abandon(new OutputTooLong(hostName, message));
    }
  });
  if (command.stdin !== undefined) execution.channel.write(command.stdin);
  const exit = execution.ended.then(({ exitCode, stderr }) => ({ exitCode, stdout: "", stderr }));
  exit.then(
    () => lines.close(undefined),
    (error: Error) => lines.close(error),
  );
  await execution.started;
  return {
    nextLine: (limitSeconds) => lines.next(limitSeconds),
    write: (text) => {
      execution.channel.write(text);
    },
    end: () => {
      execution.channel.end();
    },
    kill: execution.kill,
    exit,
  };
}

interface LineQueue {
  /** Returns how many bytes wait to be read. */
  push(chunk: Buffer): number;
  /** No more lines: a rest without newline counts as one. With an error, readers get it after the last line. */
  close(error: Error | undefined): void;
  next(limitSeconds: number): Promise<string | undefined>;
}

function createLineQueue(hostName: string, command: RemoteCommand): LineQueue {
  const decoder = new StringDecoder("utf8");
  const waiting: string[] = [];
  const readers: { resolve(line: string | undefined): void; reject(error: Error): void }[] = [];
  let rest = "";
  let waitingBytes = 0;
  let end: { readonly error: Error | undefined } | undefined;

  function deliver(line: string): void {
    const reader = readers.shift();
    if (reader !== undefined) {
      reader.resolve(line);
      return;
    }
    waiting.push(line);
    waitingBytes += line.length;
  }

  function next(limitSeconds: number): Promise<string | undefined> {
    const line = waiting.shift();
    if (line !== undefined) {
      waitingBytes -= line.length;
      return Promise.resolve(line);
    }
    if (end !== undefined) return end.error === undefined ? Promise.resolve(undefined) : Promise.reject(end.error);
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        readers.splice(readers.indexOf(reader), 1);
        const waited = `found no line from ${command.argv[0]} within ${limitSeconds} s, expected one`;
        reject(new RemoteTimeout(hostName, `${hostName}: could not ${command.purpose}: ${waited}.`));
      }, limitSeconds * 1000);
      const reader = {
        resolve(value: string | undefined) {
          clearTimeout(limit);
          resolve(value);
        },
        reject(error: Error) {
          clearTimeout(limit);
          reject(error);
        },
      };
      readers.push(reader);
    });
  }

  return {
    push(chunk) {
      const pieces = (rest + decoder.write(chunk)).split("\n");
      rest = pieces.pop() ?? "";
      for (const line of pieces) deliver(line);
      return waitingBytes + rest.length;
    },
    close(error) {
      if (rest !== "") deliver(rest);
      end = { error };
      for (const reader of readers.splice(0)) {
        if (error === undefined) reader.resolve(undefined);
        else reader.reject(error);
      }
    },
    next,
  };
}
