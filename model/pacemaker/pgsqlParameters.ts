import { z } from "zod";
import { replicationRole } from "../names.ts";
import { absolutePath, expected } from "../schema.ts";
import { pacemakerNames } from "./names.ts";

/** A word of PostgreSQL's configuration or of a shell that the agent puts between quotes of its own. */
const quotable = z
  .string()
  .regex(
    /^[^'"`$\\\n]*$/,
    expected("a text without quotes, backslashes and dollar signs: the agent writes it between its own", "Correct it.")
      .error,
  );

const escalation = (fallback: number) =>
  z
    .int(expected("seconds from 1 to 50", "Correct the number."))
    .min(1, expected("seconds from 1 to 50", "Correct the number."))
    .max(50, expected("seconds from 1 to 50: the operation itself ends after 60", "Correct the number."))
    .default(fallback);

/** Parameters of ocf:heartbeat:pgsql, as the agent names them. node_list and master_ip follow from members and virtual IPs. */
export const pgsqlParametersSchema = z.strictObject({
  /** "sync": the standby confirms every commit, until it is lost; "async": it confirms none. Default: as `synchronous` says. */
  rep_mode: z
    .enum(["sync", "async"], expected('"sync" or "async"', "Write one of the two, or leave it out."))
    .optional(),
  /** restore_command of a standby: fetches archived WAL. Default "": none, a standby that fell behind is cloned. */
  restore_command: quotable.default(""),
  /** archive_cleanup_command of a standby: removes archived WAL that it no longer needs. Default "": none. */
  archive_cleanup_command: quotable.default(""),
  /** The role that standbys connect with. Always the one that pgha makes. */
  repuser: z
    .literal(
      replicationRole,
      expected(`"${replicationRole}", the role that pgha makes for replication`, "Remove the line."),
    )
    .default(replicationRole),
  /** Further settings of the standbys' connection, such as "sslmode=verify-full". Default "": none besides ours. */
  primary_conninfo_opt: quotable
    .refine(
      (text) =>
        !/(^|\s)(host|hostaddr|port|user|application_name|passfile|password|target_session_attrs)\s*=/.test(text),
      expected("no host, port, user, application_name or password: they follow from the declaration", "Remove it."),
    )
    .default(""),
  /** Where the agent keeps its own files, PGSQL.lock among them: a directory of its own. Default /var/lib/pgha/CLUSTER/pgsql. */
  tmpdir: absolutePath
    .refine(
      (path) => path.split("/").length > 3 && !path.includes("//"),
      expected(
        "a directory of its own such as /var/lib/pgsqlscratch: the agent takes it for itself (mode 0700)",
        "Name another one.",
      ),
    )
    .optional(),
  /** After how many equal looks at all positions a standby is promoted where nobody is primary. Default 3. */
  xlog_check_count: z
    .int(expected("a number from 1 to 10", "Correct it."))
    .min(1, expected("a number from 1 to 10", "Correct it."))
    .max(10, expected("a number from 1 to 10", "Correct it."))
    .default(3),
  /** Seconds after which a primary that does not stop is stopped as in a crash. Default 30. */
  stop_escalate: escalation(30),
  /** The same of a standby. Default 30. */
  stop_escalate_in_slave: escalation(30),
  /** Whether a standby is promoted by a restart. Always false. */
  restart_on_promote: z
    .literal(
      false,
      expected(
        "false: a primary that begins no timeline of its own cannot be told from the one before it",
        "Remove the line.",
      ),
    )
    .default(false),
});

/** Parameters of ocf:heartbeat:pgsql as they stand in the stack file, each with its default. */
export type PgsqlParameters = z.infer<typeof pgsqlParametersSchema>;

/** The same with everything that follows from the declaration. */
export const declaredPgsqlSchema = z.object({
  /** "sync" with a rule for synchronous commit, "async" without one. */
  rep_mode: z.enum(["sync", "async"]),
  /** Empty: none. */
  restore_command: z.string(),
  /** Empty: none. */
  archive_cleanup_command: z.string(),
  /** The role that standbys connect with. */
  repuser: z.string(),
  /** Empty: none besides ours. */
  primary_conninfo_opt: z.string(),
  /** Where the agent keeps its own files. */
  tmpdir: z.string(),
  /** Equal looks at all positions before a standby is promoted where nobody is primary. */
  xlog_check_count: z.number(),
  /** Seconds. */
  stop_escalate: z.number(),
  /** Seconds. */
  stop_escalate_in_slave: z.number(),
  /** Always false. */
  restart_on_promote: z.boolean(),
});

/** Parameters of ocf:heartbeat:pgsql, complete. */
export type DeclaredPgsql = z.infer<typeof declaredPgsqlSchema>;

/** What the declaration makes of them. `synchronous`: whether commits wait for a standby. */
export function declarePgsql(
  cluster: string,
  synchronous: boolean,
  given: PgsqlParameters = pgsqlParametersSchema.parse({}),
): DeclaredPgsql {
  return {
    ...given,
    rep_mode: given.rep_mode ?? (synchronous ? "sync" : "async"),
    tmpdir: given.tmpdir ?? pacemakerNames(cluster).agentDirectory,
  };
}
