import ipaddr from "ipaddr.js";
import { z } from "zod";
import type { Fault } from "./fault.ts";

/*
 * zod's messages are written for programmers; ours are for people. Every refinement here carries
 * "what was expected|the way out", and `faultsOf` joins it with what was found at that place.
 */
export function expected(what: string, remedy: string): { error: string } {
  return { error: `${what}|${remedy}` };
}

export const hostName = z
  .string()
  .regex(
    /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/,
    expected("a name of small letters, digits and hyphens, at most 40 characters", "Rename it.").error,
  );

export const address = z
  .string()
  .refine((text) => ipaddr.isValid(text), expected("an IP address such as 198.51.100.11", "Correct the address."));

export const network = z
  .string()
  .refine(
    (text) => ipaddr.isValidCIDR(text),
    expected("a network such as 198.51.100.0/24", "Write the address, a slash and the number of bits."),
  );

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
    expected("a path without ..", "Write the directory that is meant."),
  );

/** Is the address inside the network? Both must be valid. */
export function contains(cidr: string, candidate: string): boolean {
  const [base, bits] = ipaddr.parseCIDR(cidr);
  const parsed = ipaddr.parse(candidate);
  return parsed.kind() === base.kind() && parsed.match([base, bits] as [ipaddr.IPv4, number]);
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
  const text = typeof value === "string" ? value : JSON.stringify(value);
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
    const [what, remedy] = issue.message.split("|");
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

function plainExpectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.expected === "string" ? "a text" : `a value of type ${issue.expected}`;
    case "invalid_value":
      return `one of ${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `at least ${issue.minimum}`;
    case "too_big":
      return `at most ${issue.maximum}`;
    case "invalid_union":
      return "one of the documented forms";
    default:
      return issue.message;
  }
}
