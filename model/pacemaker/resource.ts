import { z } from "zod";

/** Names with values. */
export const texts = z.record(z.string(), z.string());

/** One resource or fence device, in the words of Pacemaker's documentation. */
export const resource = z.object({
  /** "ocf:heartbeat:pgsqlms", "stonith:fence_ipmilan" */
  agent: z.string(),
  parameters: texts,
  /** By name, with the role where it has one: "start", "monitor Promoted". */
  operations: z.record(z.string(), texts),
  meta: texts,
});

/** One resource or fence device. */
export type PacemakerResource = z.infer<typeof resource>;
/** Names with values. */
export type Texts = Readonly<Record<string, string>>;
