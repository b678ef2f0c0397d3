import type { GroupInputs } from "./group.ts";

/** What a declaration promises less than it seems to; the first line <= 80 characters. */
export interface WeakPromise {
  /** "warn": acknowledged rows may be lost when one host dies; "info": only when two die at once. */
  readonly level: "warn" | "info";
  readonly text: string;
}

/** Words for "off" that PostgreSQL takes for synchronous_commit. */
const offWords = ["off", "false", "no", "0"];

/** What `parameters.synchronous_commit` takes away from `synchronous:`; undefined when it takes nothing. */
export function weakenedCommit(declared: Pick<GroupInputs, "parameters" | "synchronous">): WeakPromise | undefined {
  if (declared.synchronous === "off") return undefined;
  const entry = Object.entries(declared.parameters).find(([name]) => name.toLowerCase() === "synchronous_commit");
  const value = entry?.[1].trim().toLowerCase() ?? "on";
  const rule = Object.entries(declared.synchronous).map(([kind, count]) => `${kind}: ${count}`);
  const wayOut = `Take parameters.synchronous_commit out, so that commits wait as synchronous: { ${rule.join()} } says.`;
  if (offWords.includes(value) || value === "local") {
    const waits = value === "local" ? "only for the primary's own disk" : "for no disk at all";
    return {
      level: "warn",
      text: [
        `synchronous_commit = ${value}: commits do not wait for standbys`,
        `  They wait ${waits}. Rows that were acknowledged may be lost at a failover; a planned switchover loses none.`,
        `  ${wayOut} Sessions that may lose rows can set it for themselves.`,
      ].join("\n"),
    };
  }
  if (value === "remote_write") {
    return {
      level: "info",
      text: [
        "synchronous_commit = remote_write: commits do not wait for a standby's disk",
        "  Rows that were acknowledged are lost if the primary dies and the standbys' hosts crash at the same moment.",
        `  ${wayOut}`,
      ].join("\n"),
    };
  }
  return undefined;
}
