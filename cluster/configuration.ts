import { z } from "zod";
import { type Fault, UserError } from "../model/fault.ts";
import { memberPaths, replicationRole } from "../model/names.ts";
import { type RoleSettings, renderConfiguration, renderPostgresqlConf, renderRole } from "../model/rendering.ts";
import { writeFile } from "../remote/files.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";

/** Lays one of the member's files; only root and postgres read them, only root writes them. */
function layFile(member: MemberAccess, path: string, content: string): Promise<boolean> {
  return writeFile(member.host, { path, content, owner: "root", group: "postgres", mode: "0640", limitSeconds: 20 });
}

/** postgresql.conf, pg_hba.conf and pg_ident.conf as declared. True when something changed. */
export async function layConfiguration(access: ClusterAccess, member: MemberAccess): Promise<boolean> {
  const files = Object.entries(renderConfiguration(access.group, member.declaration));
  const changed = await Promise.all(files.map(([path, content]) => layFile(member, path, content)));
  return changed.includes(true);
}

export function layRole(access: ClusterAccess, member: MemberAccess, role: RoleSettings): Promise<boolean> {
  return layFile(member, member.paths.roleConf, renderRole(access.group, member.declaration, role));
}

/** The password that a standby connects with: libpq accepts only a file that nobody else can read. */
export async function layPassfile(access: ClusterAccess, member: MemberAccess, password: string): Promise<boolean> {
  const escaped = password.replaceAll("\\", "\\\\").replaceAll(":", "\\:");
  return writeFile(member.host, {
    path: memberPaths(access.group.cluster, member.name).passfile,
    content: `*:*:*:${replicationRole}:${escaped}\n`,
    owner: "postgres",
    group: "postgres",
    mode: "0600",
    limitSeconds: 20,
  });
}

/**
 * Lets a running instance read its files again, after it has said that it can: pg_file_settings judges the files as they
 * lie there, before they take effect.
 */
export async function reloadConfiguration(member: MemberAccess): Promise<void> {
  await withSession(member, async (session) => {
    const faults = await session.select(
      z.object({ name: z.string().nullable(), sourcefile: z.string(), sourceline: z.number(), error: z.string() }),
      `select f.name, f.sourcefile, f.sourceline, f.error from pg_file_settings f left join pg_settings s using (name)
        where f.error is not null and (f.error <> 'setting could not be applied' or s.context is distinct from 'postmaster')
       union all select 'pg_hba.conf', $1, line_number, error from pg_hba_file_rules where error is not null`,
      [member.paths.hba],
    );
    if (faults.length > 0) {
      const list = faults.map(
        (fault) => `  ${fault.name ?? ""}: ${fault.error} (${fault.sourcefile}:${fault.sourceline})`,
      );
      throw new UserError(
        `${member.name}: PostgreSQL does not accept its new configuration:\n${list.join("\n")}\n  The running instance goes on with the old one. Correct parameters: in the stack file and run \`pulumi up\`.`,
      );
    }
    await session.query("select pg_reload_conf()");
  });
}

/* Reads the file as a starting server would, without a data directory; -C prints one setting and ends, also as root. */
const judgeScript = `
programs=$1
[ -x "$programs/postgres" ] || exit 0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cat > "$directory/postgresql.conf"
cd "$directory"
LC_ALL=C "$programs/postgres" -C port -D "$directory" -c log_line_prefix= 2>&1 >/dev/null || true`;

/**
 * What PostgreSQL on the member's host says against the declared parameters, before any file is laid: a bad value in
 * postgresql.conf would keep the instance from its next start. Nothing where PostgreSQL is not installed yet.
 */
export async function judgeParameters(access: ClusterAccess, member: MemberAccess): Promise<Fault[]> {
  const { cluster, parameters, postgresVersion } = access.group;
  const text = renderPostgresqlConf(access.group, member.declaration).replaceAll(/^include .*$/gm, "");
  const said = await member.host.must({
    argv: ["sh", "-c", judgeScript, "sh", member.programs],
    stdin: text,
    limitSeconds: 20,
    purpose: `let PostgreSQL on ${member.host.name} read the parameters`,
  });
  return said.split("\n").flatMap((line): Fault[] => {
    const reason = /^LOG: +(.*parameter "([^"]+)".*)$/.exec(line);
    const name = Object.keys(parameters).find((key) => key.toLowerCase() === reason?.[2]?.toLowerCase());
    if (reason === null || name === undefined) return [];
    return [
      {
        path: ["pgha:clusters", cluster, "parameters", name],
        found: `${parameters[name]}`,
        expected: `a value that PostgreSQL ${postgresVersion} takes (it says: ${reason[1]})`,
        remedy: "Correct the value.",
      },
    ];
  });
}
