import { z } from "zod";
import type { Fault } from "../fault.ts";
import { readJson } from "../json.ts";
import type { PacemakerDeclaration } from "./declaration.ts";

const schema = z.record(z.string(), z.string().min(1));
const path = ["pgha:fencingSecrets"];
const how = "Set it: pulumi config set --secret --path 'pgha:fencingSecrets.KEY'.";

/** The secrets of fence devices, and whether each that a device names is there. A fault never shows what was found. */
export function parseFencingSecrets(
  text: string | undefined,
  pacemaker: readonly PacemakerDeclaration[] = [],
): { secrets: Readonly<Record<string, string>>; faults: Fault[] } {
  const parsed = schema.safeParse(text === undefined ? {} : readJson(text));
  if (!parsed.success) {
    return {
      secrets: {},
      faults: [{ path, found: "something else", expected: "keys, each with a text that is not empty", remedy: how }],
    };
  }
  const secrets = parsed.data;
  const needed = pacemaker.flatMap(({ name, fencing }) =>
    fencing.flatMap((device) =>
      Object.entries(device.secretParameters).map(([parameter, key]) => ({
        key,
        at: ["pgha:pacemaker", name, "fencing", "devices", device.name, "secretParameters", parameter],
      })),
    ),
  );
  return {
    secrets,
    faults: needed
      .filter(({ key }) => !(key in secrets))
      .map(({ key, at }) => ({
        path: at,
        found: `${key}, which is not there`,
        expected: `a key of pgha:fencingSecrets (${Object.keys(secrets).join(", ") || "it has none"})`,
        remedy: how.replace("KEY", key),
      })),
  };
}
