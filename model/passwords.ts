import type { Config } from "./connections.ts";
import type { Fault } from "./fault.ts";

const keys = ["superuserPassword", "replicationPassword"] as const;

/** The passwords and Corosync's key, where the stack file declares them. A fault never shows what was found. */
export function parsePasswords(config: Config): { faults: Fault[] } {
  const { corosyncKey } = config;
  const keyFaults: Fault[] =
    corosyncKey === undefined || /^[\x21-\x7e]{128,4096}$/.test(corosyncKey)
      ? []
      : [
          {
            path: ["pgha:corosyncKey"],
            found: `a key of ${corosyncKey.length} characters`,
            expected: "one line of 128 to 4096 printable characters without blanks",
            remedy: "Set it again: pulumi config set --secret pgha:corosyncKey. Without the key one is generated.",
          },
        ];
  const faults = keys.flatMap((key): Fault[] => {
    const value = config[key];
    if (value === undefined) return [];
    const path = [`pgha:${key}`];
    if (value === "") {
      return [
        {
          path,
          found: "an empty password",
          expected: "a password, or no such key",
          remedy: `Set it: pulumi config set --secret pgha:${key}. Without the key one is generated.`,
        },
      ];
    }
    if (/[\r\n\0]/.test(value)) {
      return [
        {
          path,
          found: "a password of several lines",
          expected: "one line",
          remedy: `Set it again: pulumi config set --secret pgha:${key}.`,
        },
      ];
    }
    return [];
  });
  return { faults: [...faults, ...keyFaults] };
}
