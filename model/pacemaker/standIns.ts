import { agentPath, memberPaths } from "../names.ts";
import { render } from "../template.ts";
import { pacemakerNames } from "./names.ts";

/** The member that the agent runs on a host. */
export interface DrivenMember {
  readonly cluster: string;
  readonly member: string;
  readonly dataDirectory: string;
  /** Where PostgreSQL's programs lie. */
  readonly programs: string;
}

/**
 * What the agent takes for PostgreSQL's programs, by name: all of PAF's `bindir`; the agent pgsql uses psql and pg_ctl of them.
 * It asks and orders as root.
 */
export function renderStandIns({ cluster, member, dataDirectory, programs }: DrivenMember): Record<string, string> {
  const { unit, memberFile, postgresqlConf, pass, yields } = memberPaths(cluster, member);
  const program = (name: string, after = "") => render("pacemaker/program.hbs", { program: name, programs, after });
  const driven = { unit, member, memberFile, dataDirectory, programs, agent: agentPath };
  return {
    pg_ctl: render("pacemaker/pg_ctl.hbs", { ...driven, yields }),
    psql: render("pacemaker/psql.hbs", { programs }),
    // the configuration is not in the data directory
    postgres: program("postgres", ` -c config_file=${postgresqlConf}`),
    pg_isready: render("pacemaker/pg_isready.hbs", { ...driven, yields }),
    pg_controldata: render("pacemaker/pg_controldata.hbs", { dataDirectory, programs, pass }),
    pg_waldump: program("pg_waldump"),
  };
}

/** Everything that the agent finds on one member's host. */
export interface StandIns {
  /** Its `bindir`. */
  readonly directory: string;
  readonly files: readonly { readonly path: string; readonly content: string; readonly mode: "0755" | "0644" }[];
  /** Its `pgdata`: the same path on every host. */
  readonly link: string;
  /** Where the link leads. */
  readonly target: string;
  /** What the agent pgsql takes for postgresql.conf: empty, and for the agent to write in. */
  readonly configuration: string;
}

export function standInsOf(driven: DrivenMember): StandIns {
  const names = pacemakerNames(driven.cluster);
  const files = Object.entries(renderStandIns(driven)).map(([name, content]) => ({
    path: `${names.programs}/${name}`,
    content,
    mode: "0755" as const,
  }));
  const tmpfiles = {
    path: `/etc/tmpfiles.d/pgha-${driven.cluster}-${driven.member}.conf`,
    content: render("pacemaker/tmpfiles.hbs", { dataDirectory: driven.dataDirectory }),
    mode: "0644" as const,
  };
  return {
    directory: names.programs,
    files: [...files, tmpfiles],
    link: names.dataLink,
    target: driven.dataDirectory,
    configuration: names.agentConfiguration,
  };
}

/** What is laid, in words whose digest tells whether it is as it should be. */
export function standInTexts({ files, target }: StandIns): string[] {
  return [...files.map(({ content }) => content), target];
}
