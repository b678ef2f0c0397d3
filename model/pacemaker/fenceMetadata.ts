import type { Fault } from "../fault.ts";
import { childOf, childrenOf, parseXml } from "./xml.ts";

/** One parameter of a fence agent, by its own words. */
interface AgentParameter {
  readonly name: string;
  readonly required: boolean;
  /** The older name that it replaces. */
  readonly obsoletes: string | undefined;
  readonly deprecated: boolean;
}

/** Pacemaker gives these by itself, for the host that is to be switched off. */
const given = ["action", "port", "plug", "nodename"];

/** Does the device have what its agent needs, and nothing that the agent does not know? `metadata`: what the agent prints. */
export function deviceFaults(
  path: readonly string[],
  agent: string,
  parameters: readonly string[],
  metadata: string,
): Fault[] {
  const known = readParameters(metadata, agent);
  const names = known.map(({ name }) => name);
  const unknown = parameters.filter(
    (name) => !names.includes(name) && !name.startsWith("pcmk_") && name !== "priority",
  );
  const missing = known.filter(
    ({ name, required, obsoletes, deprecated }) =>
      required &&
      !deprecated &&
      !given.includes(name) &&
      !parameters.includes(name) &&
      (obsoletes === undefined || !parameters.includes(obsoletes)),
  );
  return [
    ...unknown.map((name) => ({
      path: [...path, "parameters", name],
      found: `a parameter that ${agent} does not know`,
      expected: `one of ${known
        .filter(({ deprecated }) => !deprecated)
        .map((parameter) => parameter.name)
        .join(", ")}`,
      remedy: "Correct its spelling or remove it.",
    })),
    ...missing.map(({ name }) => ({
      path: [...path, "parameters", name],
      found: "nothing",
      expected: `a value: ${agent} requires it`,
      remedy: "Add it under parameters or secretParameters.",
    })),
  ];
}

function readParameters(metadata: string, agent: string): AgentParameter[] {
  return childrenOf(childOf(parseXml(metadata, agent), "parameters"), "parameter").map(({ attributes }) => ({
    name: attributes.name ?? "",
    required: attributes.required === "1",
    obsoletes: attributes.obsoletes,
    deprecated: attributes.deprecated === "1",
  }));
}
