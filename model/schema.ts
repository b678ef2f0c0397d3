import ipaddr from "ipaddr.js";
import { z } from "zod";
import type { Fault } from "./fault.ts";

/*
 * zod's messages are written for programmers; ours are for people. Every refinement here carries
 * what was expected and the way out, and `faultsOf` joins it with what was found at that place.
 */
export function expected(what: string, remedy: string): { error: string } {
  return { error: `${what}${divider}${remedy}` };
}

/** zod's own messages are of one line. */
const divider = "\n";

export const hostName = z
  .string()
  .regex(
    /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/,
    expected("a name of small letters, digits and hyphens, at most 40 characters", "Rename it.").error,
  );

/** Four decimal numbers, or IPv6 without a zone: what every program on a host understands alike. */
function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (ipaddr.IPv6.isValid(text) && !text.includes("%"));
}

export const address = z
  .string()
  .refine(isAddress, expected("an IP address such as 198.51.100.11", "Correct the address."));

export const network = z
  .string()
  .refine(
    (text) => ipaddr.isValidCIDR(text) && isAddress(text.split("/")[0] ?? ""),
    expected("a network such as 198.51.100.0/24", "Write the address, a slash and the number of bits."),
  );

/** An address and how many bits of it are the network's, taken apart. */
export const addressWithPrefix = z
  .string()
  .refine(
    (text) => ipaddr.isValidCIDR(text) && isAddress(text.split("/")[0] ?? ""),
    expected("an address such as 198.51.100.50/24", "Write the address, a slash and the bits of its network."),
  )
  .transform((text) => ({ address: text.split("/")[0] ?? "", prefix: Number(text.split("/")[1]) }));

export const port = z
  .int(expected("a TCP port from 1 to 65535", "Correct the port."))
  .min(1, expected("a TCP port from 1 to 65535", "Correct the port."))
  .max(65535, expected("a TCP port from 1 to 65535", "Correct the port."));

export const absolutePath = z
  .string()
  .regex(
    /^\/[A-Za-z0-9._/-]*[A-Za-z0-9_-]$/,
    expected(
      "an absolute path of letters, digits, dots, hyphens and underscores, without a slash at its end",
      "Correct the path.",
    ).error,
  )
  .refine(
    (path) => !path.split("/").includes(".."),
    expected('a path without ".."', "Write the directory that is meant."),
  );

/** Is the address inside the network? Both must be valid. */
export function contains(cidr: string, candidate: string): boolean {
  const [base, bits] = ipaddr.parseCIDR(cidr);
  const parsed = ipaddr.parse(candidate);
  return parsed.kind() === base.kind() && parsed.match([base, bits] as [ipaddr.IPv4, number]);
}

/** Is the path the directory, or inside it? */
export function within(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** A value as people write it, short enough for one line. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  // A text that looks like a number is shown as the text that it is.
  const plain = typeof value === "string" && !/^(-?[0-9]+(\.[0-9]+)?|true|false|null)$/.test(value);
  const text = plain ? value : JSON.stringify(value);
  if (text === "") return "an empty text";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Every fault that a schema finds, in our form. `prefix` is where the value stands in the stack file. */
export function faultsOf(error: z.ZodError, root: unknown, prefix: readonly string[]): Fault[] {
  return error.issues.flatMap((issue): Fault[] => {
    const path = [...prefix, ...issue.path.map(String)];
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({
        path: [...path, key],
        found: "a key that is not known here",
        expected: "one of the documented keys",
        remedy: "Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
      }));
    }
    if (issue.code === "invalid_key") return [nameFault(issue, path)];
    const [what, remedy] = issue.message.split(divider);
    const value = valueAt(root, issue.path);
    return [
      {
        path,
        found: show(value),
        expected: remedy === undefined ? plainExpectation(issue) : (what ?? ""),
        remedy: remedy ?? (value === undefined ? "Add it." : "Correct it (docs/reference/stack-file.md)."),
      },
    ];
  });
}

/** The key itself is wrong: it is what was found, and its own schema knows what it should be. */
function nameFault(issue: z.core.$ZodIssueInvalidKey, path: readonly string[]): Fault {
  const [what = "another name", remedy = "Rename it."] = issue.issues[0]?.message.split(divider) ?? [];
  return { path, found: `the name ${show(String(issue.path.at(-1)))}`, expected: what, remedy };
}

const typeNames: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "keys with values",
  record: "keys with values",
};

function plainExpectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return typeNames[issue.expected] ?? `a value of type ${issue.expected}`;
    case "invalid_value":
      return `one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return issue.origin === "string" ? "a text that is not empty" : `at least ${issue.minimum}`;
    case "too_big":
      return `at most ${issue.maximum}`;
    case "invalid_union":
      return "one of the documented forms";
    default:
      return issue.message;
  }
}

/** What a schema made of one value. */
export interface Reading<T> {
  /** The whole; only when nothing was wrong. */
  readonly value?: T;
  /** What remains when everything faulty is taken away: enough for the rules that need other parts. Undefined when nothing does. */
  readonly parts?: Partial<T>;
  /** Where something was wrong, from the value's own root. */
  readonly faultyPaths: readonly (readonly PropertyKey[])[];
}

/** Parses an object and goes on where a part of it is wrong, so that one run tells every fault. */
export function readObject<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  data: unknown,
  prefix: readonly string[],
  faults: Fault[],
): Reading<z.output<z.ZodObject<Shape>>> {
  const whole = schema.safeParse(data);
  if (whole.success) return { value: whole.data, parts: whole.data, faultyPaths: [] };
  faults.push(...faultsOf(whole.error, data, prefix));
  const faultyPaths = whole.error.issues.map((issue) => issue.path);
  if (!isMapping(data)) return { faultyPaths };
  const rest = structuredClone(data);
  // Taking a part away can make what holds it incomplete; that is then taken away in the next round.
  for (let round = 0; round < 5; round++) {
    const result = schema.partial().safeParse(rest);
    if (result.success) return { parts: result.data as Partial<z.output<z.ZodObject<Shape>>>, faultyPaths };
    for (const issue of result.error.issues) {
      const keys = issue.code === "unrecognized_keys" ? issue.keys : [undefined];
      for (const key of keys) removeAt(rest, key === undefined ? issue.path : [...issue.path, key]);
    }
  }
  return { faultyPaths };
}

export function isMapping(data: unknown): data is Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}

/** Removes the value, or the nearest thing around it that can be removed. */
function removeAt(root: object, path: readonly PropertyKey[]): void {
  for (let length = path.length; length > 0; length--) {
    const parent = valueAt(root, path.slice(0, length - 1));
    const key = String(path[length - 1]);
    if (isMapping(parent) && key in parent) {
      delete parent[key];
      return;
    }
  }
}
