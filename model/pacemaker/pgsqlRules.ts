import type { UncheckedCluster } from "../declaration.ts";
import type { Fault } from "../fault.ts";
import { within } from "../schema.ts";

/** What a rule needs of one cluster, as far as it could be read. */
interface Parts {
  readonly parts: Partial<UncheckedCluster>;
  readonly memberNames: readonly string[];
  /** Data and WAL directories of its members. */
  readonly directories: readonly string[];
  readonly at: (...path: string[]) => string[];
}

/** What a cluster must be like for the agent pgsql, all faults at once; none where it has another one. */
export function pgsqlFaults({ parts, memberNames, directories, at }: Parts): Fault[] {
  const { failover, members = {}, synchronous } = parts;
  if (failover?.manager !== "pacemaker") return [];
  const path = (...words: string[]) => at("failover", "pgsql", ...words);
  if (failover.agent !== "pgsql") {
    if (failover.pgsql === undefined) return [];
    return [
      {
        path: path(),
        found: `parameters of the agent pgsql, and the agent is ${failover.agent}`,
        expected: "them with agent: pgsql only",
        remedy: "Write agent: pgsql, or remove them.",
      },
    ];
  }
  return [
    ...sizeFaults(memberNames.length, synchronous, at),
    ...candidateFaults(members, at),
    ...synchronousFaults(synchronous, failover.pgsql?.rep_mode, at, path),
    ...addressFaults(parts, at),
    ...(failover.autoRejoin
      ? [
          {
            path: at("failover", "autoRejoin"),
            found: "true, under the agent pgsql",
            expected: "false: its PGSQL.lock goes only once `pulumi up` has seen that nothing is lost by it",
            remedy: "Remove it, or declare agent: paf.",
          },
        ]
      : []),
    ...parameterFaults(parts, failover.pgsql ?? {}, path),
    ...directoryFaults(failover.pgsql?.tmpdir, directories, path),
  ];
}

function sizeFaults(
  members: number,
  synchronous: UncheckedCluster["synchronous"] | undefined,
  at: Parts["at"],
): Fault[] {
  if (members === 2) return [];
  const why =
    synchronous === "off"
      ? "with more asynchronous standbys the agent promotes none of them: it cannot tell whose data is the newest"
      : "the agent lets commits wait for one standby by its name, and promotes that one alone";
  return [
    {
      path: at("members"),
      found: `${members} member${members === 1 ? "" : "s"} under the agent pgsql`,
      expected: `two (${why})`,
      remedy: "Declare two members, or agent: paf.",
    },
  ];
}

function candidateFaults(members: UncheckedCluster["members"], at: Parts["at"]): Fault[] {
  return Object.entries(members)
    .filter(([, { candidate }]) => !candidate)
    .map(([name]) => ({
      path: at("members", name, "candidate"),
      found: "false, under the agent pgsql",
      expected: "true: of its two members each must be able to take over from the other",
      remedy: "Remove the line, or declare agent: paf.",
    }));
}

function synchronousFaults(
  synchronous: UncheckedCluster["synchronous"] | undefined,
  mode: "sync" | "async" | undefined,
  at: Parts["at"],
  path: Parts["at"],
): Fault[] {
  if (synchronous === undefined) return [];
  if (synchronous !== "off" && "quorum" in synchronous) {
    return [
      {
        path: at("synchronous"),
        found: "quorum, under the agent pgsql",
        expected: "{ priority: 1 } or off: the agent promotes nobody who is one of a quorum",
        remedy: "Write { priority: 1 }, which waits for the one standby just so; or declare agent: paf.",
      },
    ];
  }
  const follows = synchronous === "off" ? "async" : "sync";
  if (mode === undefined || mode === follows) return [];
  return [
    {
      path: path("rep_mode"),
      found: `${mode}, and synchronous is ${synchronous === "off" ? "off" : "{ priority: 1 }"}`,
      expected: `${follows}, as synchronous says`,
      remedy: `Write ${mode === "sync" ? "synchronous: { priority: 1 }" : "synchronous: off"}, or remove rep_mode.`,
    },
  ];
}

function addressFaults({ virtualIps }: Partial<UncheckedCluster>, at: Parts["at"]): Fault[] {
  if (virtualIps === undefined || virtualIps.primary !== undefined || virtualIps.replication !== undefined) return [];
  return [
    {
      path: at("virtualIps"),
      found: "none, under the agent pgsql",
      expected: "at least one address that moves with the primary: the agent does not work without (its master_ip)",
      remedy: "Declare primary or replication, or agent: paf.",
    },
  ];
}

/** Those that are settings of PostgreSQL too. */
const settings = ["restore_command", "archive_cleanup_command"] as const;

function parameterFaults(
  { parameters = {} }: Partial<UncheckedCluster>,
  pgsql: Partial<Record<(typeof settings)[number], string>>,
  path: Parts["at"],
): Fault[] {
  const declared = Object.keys(parameters).map((name) => name.toLowerCase());
  return settings
    .filter((name) => (pgsql[name] ?? "") !== "" && declared.includes(name))
    .map((name) => ({
      path: path(name),
      found: "a value here, and another under parameters:",
      expected: "one of the two",
      remedy: "Remove one.",
    }));
}

function directoryFaults(tmpdir: string | undefined, directories: readonly string[], path: Parts["at"]): Fault[] {
  if (tmpdir === undefined) return [];
  return directories
    .filter((directory) => within(directory, tmpdir) || within(tmpdir, directory))
    .map((directory) => ({
      path: path("tmpdir"),
      found: `${tmpdir}, beside or around the data in ${directory}`,
      expected: "a directory of its own: the agent takes it away from everybody else (mode 0700, owner root)",
      remedy: "Name another one, or leave it out.",
    }));
}
