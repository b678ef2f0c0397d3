import type { z } from "zod";
import type { Fault } from "../model/fault.ts";
import { faultsOf } from "../model/schema.ts";
import { CommandFailed, RemoteError } from "../remote/errors.ts";
import type { Properties } from "./resource.ts";

/** The answer of `check` for inputs that a schema describes: completed with its defaults, or as they are with every fault. */
export function checkInputs(
  schema: z.ZodType<object>,
  news: Properties,
): { inputs: Properties; faults: readonly Fault[] } {
  const result = schema.safeParse(news);
  if (result.success) return { inputs: asProperties(result.data), faults: [] };
  return { inputs: news, faults: faultsOf(result.error, news, []) };
}

/**
 * What read returns when the host could not be asked: what was seen last, and why it was not seen now. `undefined` for an
 * error of a host that did answer, or of our own. A diff must not look at `unreachable`, or every network trouble would be a change.
 */
export function lastSeen(outputs: Properties, error: unknown): Properties | undefined {
  if (!(error instanceof RemoteError) || error instanceof CommandFailed) return undefined;
  return { ...outputs, unreachable: error.message.split("\n")[0] ?? "" };
}

/** Runs work on the same thing one after the other; different keys do not wait for each other. */
export function createQueue(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>();
  return (key, work) => {
    const before = tails.get(key) ?? Promise.resolve();
    const result = before.then(work, work);
    tails.set(key, result);
    return result;
  };
}

/** Typed data as properties. Through JSON: what is undefined is absent, as on the wire. */
export function asProperties(value: object): Properties {
  return JSON.parse(JSON.stringify(value));
}
