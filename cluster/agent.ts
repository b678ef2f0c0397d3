import { z } from "zod";
import { agentProgram } from "../agent/program.ts";
import type { RemoteHost, RemoteProcess } from "../remote/host.ts";

/** Reads exactly the script from standard input, so that what follows it there is left for the script itself. */
const loader =
  "import sys,os;n=int(sys.stdin.readline());exec(compile(sys.stdin.read(n),'pgha_agent','exec'),{'__name__':'__main__'})";

/** Arguments are texts and numbers, lists and objects of them: what both JSON and Python write in the same way. */
export interface AgentArguments {
  readonly [key: string]: string | number | readonly (string | AgentArguments)[] | AgentArguments;
}

function agentCommand(verb: string, values: AgentArguments, limitSeconds: number, purpose: string) {
  return {
    argv: ["python3", "-u", "-c", loader, verb, JSON.stringify(values)],
    limitSeconds,
    purpose,
  };
}

/** The script is ASCII, so that its length in characters, which Python reads, is its length in bytes. */
const preamble = `${agentProgram.length}\n${agentProgram}`;

/** Runs a verb that answers once, and reads its answer. */
export async function askAgent<T>(
  host: RemoteHost,
  verb: string,
  values: AgentArguments,
  answer: z.ZodType<T>,
  options: { limitSeconds: number; purpose: string },
): Promise<T> {
  const output = await host.must({
    ...agentCommand(verb, values, options.limitSeconds, options.purpose),
    stdin: preamble,
  });
  return answer.parse(JSON.parse(output));
}

/** A verb that stays and is spoken to in lines. */
export interface AgentConversation {
  /** The next answer; throws when none came within the limit or the process ended. */
  answer(limitSeconds: number): Promise<Record<string, unknown>>;
  /** The same, but undefined when the process ended. */
  next(limitSeconds: number): Promise<Record<string, unknown> | undefined>;
  say(line: string): void;
  /** Ends the input: every verb then stops without doing anything more. */
  end(): void;
}

const answerSchema = z.record(z.string(), z.unknown());

export async function converseWithAgent(
  host: RemoteHost,
  verb: string,
  values: AgentArguments,
  options: { limitSeconds: number; purpose: string },
): Promise<AgentConversation> {
  const process: RemoteProcess = await host.start(agentCommand(verb, values, options.limitSeconds, options.purpose));
  process.write(preamble);
  const next = async (limitSeconds: number) => {
    const line = await process.nextLine(limitSeconds);
    return line === undefined ? undefined : answerSchema.parse(JSON.parse(line));
  };
  return {
    next,
    async answer(limitSeconds) {
      const answer = await next(limitSeconds);
      if (answer !== undefined) return answer;
      const { stderr } = await process.exit;
      throw new Error(`${host.name}: the ${verb} helper ended without an answer: ${stderr.trim()}`);
    },
    say: (line) => process.write(`${line}\n`),
    end: () => process.end(),
  };
}
