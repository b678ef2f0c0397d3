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

/** What the agent PAF takes for PostgreSQL's programs: the texts of its `bindir`, by name. It asks and orders as root. */
export function renderStandIns({ cluster, member, dataDirectory, programs }: DrivenMember): Record<string, string> {
  const { unit, memberFile, postgresqlConf, pass } = memberPaths(cluster, member);
  const program = (name: string, after = "") => render("pacemaker/program.hbs", { program: name, programs, after });
  return {
    pg_ctl: render("pacemaker/pg_ctl.hbs", { unit, memberFile, dataDirectory, programs, agent: agentPath }),
    psql: render("pacemaker/psql.hbs", { programs }),
    // the configuration is not in the data directory
    postgres: program("postgres", ` -c config_file=${postgresqlConf}`),
    pg_isready: render("pacemaker/pg_isready.hbs", { unit, member, dataDirectory, programs }),
    pg_controldata: render("pacemaker/pg_controldata.hbs", { dataDirectory, programs, pass }),
    pg_waldump: program("pg_waldump"),
  };
}

/** Everything that the agent finds on one member's host. */
export interface StandIns {
  /** Its `bindir`. */
  readonly directory: string;
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** Its `pgdata`: the same path on every host. */
  readonly link: string;
  /** Where the link leads. */
  readonly target: string;
}

export function standInsOf(driven: DrivenMember): StandIns {
  const names = pacemakerNames(driven.cluster);
  const files = Object.entries(renderStandIns(driven)).map(([name, content]) => ({
    path: `${names.programs}/${name}`,
    content,
  }));
  return { directory: names.programs, files, link: names.dataLink, target: driven.dataDirectory };
}

/** What is laid, in words whose digest tells whether it is as it should be. */
export function standInTexts({ files, target }: StandIns): string[] {
  return [...files.map(({ content }) => content), target];
}
