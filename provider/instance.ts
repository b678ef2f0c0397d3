import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { z } from "zod";
import { agentProgram, startGate } from "../agent/program.ts";
import { askAgent } from "../cluster/agent.ts";
import { layHelper } from "../cluster/helper.ts";
import { type Fault, UserError } from "../model/fault.ts";
import { agentPath, channelHome, memberPaths, startGatePath } from "../model/names.ts";
import { type StandIns, standInsOf, standInTexts } from "../model/pacemaker/standIns.ts";
import { readFiles, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";
import { removeOrForget } from "./forget.ts";
import { helperUnits, layHelperUnit, readHelperUnit, removeHelperUnit } from "./helperUnits.ts";
import { checkInputs, lastSeen } from "./inputs.ts";
import type { Context, Properties, ResourceType } from "./resource.ts";
import { layStandIns, readStandIns, removeStandIns } from "./standIns.ts";

const inputsSchema = z.strictObject({
  cluster: z.string(),
  member: z.string(),
  host: z.string(),
  dataDirectory: z.string(),
  walDirectory: z.string().optional(),
  /** The whole unit file. */
  unit: z.string(),
  /** The whole unit file of what lets a former primary come back at boot. */
  rejoinUnit: z.string().optional(),
  /** The whole unit file of what lets commits go on without standbys. */
  relaxUnit: z.string().optional(),
  /** SHA-256 of the host helper that lies beside it. */
  helper: z.string().optional(),
  /** Who starts, stops and promotes the member beside pgha. */
  manager: z.enum(["none", "pacemaker"]).optional(),
  /** Where PostgreSQL's programs lie. */
  programs: z.string().optional(),
  /** SHA-256 of what the manager's agent takes for them. */
  standIns: z.string().optional(),
});

/** The host helper, the same for every instance of a host: what happens there without an orchestrator. */
const helperFiles = [
  { path: agentPath, content: agentProgram },
  { path: startGatePath, content: startGate },
];

function digest(contents: readonly string[]): string {
  return createHash("sha256").update(contents.join("\0")).digest("hex");
}

const helper = digest(helperFiles.map(({ content }) => content));

type InstanceInputs = z.infer<typeof inputsSchema>;

/** Everything of one member that stands before there is data: its directories and its systemd unit. It knows no role. */
export const instance: ResourceType = {
  token: "pgha:index:Instance",
  secrets: [],
  check(news, oldInputs) {
    const { standIns: _, ...given } = news;
    const { inputs, faults } = checkInputs(inputsSchema, { ...given, helper });
    const driven = faults.length === 0 ? drivenBy(inputsSchema.parse(inputs)) : undefined;
    if (driven !== undefined) inputs.standIns = digest(standInTexts(driven));
    return { inputs, faults: [...faults, ...missingPrograms(inputs), ...movedDirectories(inputs, oldInputs)] };
  },
  diff({ outputs, news }) {
    if (outputs.host !== news.host) return { host: { kind: "replace" } };
    return Object.fromEntries(
      ["unit", "helper", "standIns", ...helperUnits]
        .filter((key) => outputs[key] !== news[key])
        .map((key) => [key, { kind: "update" } as const]),
    );
  },
  async create(context, { inputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    if (!preview) await prepare(context, declared);
    const driven = drivenBy(declared);
    if (!preview && driven !== undefined) await layStandIns(context.hosts.host(declared.host), driven);
    return { id: `${declared.cluster}:${declared.member}`, outputs: inputs };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) throw new UserError(`${id}: an instance is not imported; declare it, it takes over what is there.`);
    const declared = inputsSchema.parse(inputs);
    try {
      const paths = [unitPath(declared), ...helperFiles.map(({ path }) => path)];
      const host = context.hosts.host(declared.host);
      const known = helperUnits.filter((kind) => declared[kind] !== undefined || outputs[kind] !== undefined);
      const driven = drivenBy(declared) ?? drivenBefore(outputs);
      const [[unit, ...laid], units, standIns] = await Promise.all([
        readFiles(host, paths),
        Promise.all(known.map(async (kind) => [kind, await readHelperUnit(host, kind, declared)] as const)),
        driven === undefined ? undefined : readStandIns(host, driven),
      ]);
      const { standIns: _, rejoinUnit: __, relaxUnit: ___, ...declaredInputs } = inputs;
      const seen: Properties = {
        ...declaredInputs,
        unit: unit?.content ?? "",
        helper: digest(laid.map((file) => file?.content ?? "")),
      };
      for (const [kind, text] of units) if (text !== undefined) seen[kind] = text;
      if (standIns !== undefined) Object.assign(seen, { standIns: digest(standIns), programs: outputs.programs });
      return { id, outputs: seen };
    } catch (error) {
      const seen = lastSeen(outputs, error);
      if (seen === undefined) throw error;
      return { id, outputs: seen };
    }
  },
  async update(context, { inputs, outputs, preview }) {
    if (preview) return { outputs: inputs };
    const declared = inputsSchema.parse(inputs);
    const [driven, before] = [drivenBy(declared), drivenBefore(outputs)];
    const host = context.hosts.host(declared.host);
    await prepare(context, declared);
    for (const kind of helperUnits) {
      if (declared[kind] === undefined && outputs[kind] !== undefined) await removeHelperUnit(host, kind, declared);
    }
    if (driven !== undefined) await layStandIns(host, driven);
    else if (before !== undefined && !(await removeStandIns(host, before))) {
      context.warn(usedText(declared));
      return { outputs: { ...inputs, standIns: outputs.standIns ?? "", programs: outputs.programs ?? "" } };
    }
    return { outputs: inputs };
  },
  // What stops or erases an instance is onDestroy of its cluster: the unit of one that still has its data must stay.
  async delete(context, { inputs }) {
    const declared = inputsSchema.parse(inputs);
    const paths = memberPaths(declared.cluster, declared.member);
    await removeOrForget(context, declared.host, leftText(declared), async () => {
      const host = context.hosts.host(declared.host);
      for (const kind of helperUnits) {
        if (declared[kind] !== undefined) await removeHelperUnit(host, kind, declared);
      }
      if ((await forgetRecords(host, declared)) === "has data") return;
      const driven = drivenBy(declared);
      if (driven !== undefined) await removeStandIns(host, driven);
      await host.must({
        argv: [
          "sh",
          "-c",
          removeScript,
          "sh",
          paths.marker,
          unitPath(declared),
          paths.configDirectory,
          paths.stateDirectory,
          channelHome,
          paths.authorized,
        ],
        limitSeconds: 30,
        purpose: `remove ${paths.unit}`,
      });
    });
  },
};

/** As a failover manager's agent drives it; undefined where none does. */
function drivenBy({ cluster, member, dataDirectory, manager, programs }: InstanceInputs): StandIns | undefined {
  if (manager !== "pacemaker" || programs === undefined) return undefined;
  return standInsOf({ cluster, member, dataDirectory, programs });
}

/** The same, by what was laid before; undefined where nothing was, or nothing is left of it. */
function drivenBefore({ unreachable: _, ...outputs }: Properties): StandIns | undefined {
  const before = inputsSchema.safeParse({ ...outputs, manager: "pacemaker" });
  return before.success && before.data.standIns !== undefined ? drivenBy(before.data) : undefined;
}

function usedText({ cluster, member }: InstanceInputs): string {
  return [
    `${cluster}-${member}: what Pacemaker's agent works with stays for now`,
    "  Pacemaker still manages this cluster. Once it does not, the next `pulumi up` removes it.",
  ].join("\n");
}

/** What stays on a host that could not be asked, and what to do there when it comes back. */
function leftText({ cluster, member, host, dataDirectory }: InstanceInputs): string {
  const { unit } = memberPaths(cluster, member);
  return [
    `${unit} is forgotten, not stopped`,
    `  Its service, and its data at ${dataDirectory}, stay on ${host} as they are.`,
    `  There, now or when the host comes back: \`systemctl disable --now ${unit}\`. Its boot gate keeps a former primary down until then.`,
  ].join("\n");
}

const forgotten = z.union([
  z.object({ result: z.enum(["forgotten", "has data"]) }),
  z.object({ result: z.literal("held"), holder: z.string(), since: z.string() }),
]);

/** The records of a member without data. Errors: `UserError` while somebody holds the member: he may be about to begin it. */
async function forgetRecords(host: RemoteHost, { cluster, member }: InstanceInputs): Promise<"forgotten" | "has data"> {
  const {
    lock,
    marker,
    journal,
    ticket,
    switch: switched,
    givenUp,
    pass,
    rejoinLock,
    rewindLog,
  } = memberPaths(cluster, member);
  const answer = await askAgent(
    host,
    "forget",
    { lock, marker, records: [journal, ticket, switched, givenUp, pass, rejoinLock, rewindLog] },
    forgotten,
    { limitSeconds: 90, purpose: `forget ${member} on ${host.name}` },
  );
  if (answer.result !== "held") return answer.result;
  throw new UserError(
    `${cluster}: ${answer.holder} holds ${member} since ${answer.since}, and may be about to begin its data. Nothing of it was removed.\n  Wait for it to end, then run this again; a dead one loses its hold after 30 s.`,
  );
}

const removeScript = `
set -eu
marker=$1 unit=$2 configuration=$3 state=$4 home=$5 part=$6
[ ! -e "$marker" ] || exit 0
rm -f "$unit"
for file in member.json known_hosts channel_key channel_key.pub; do rm -f "$configuration/$file"; done
systemctl daemon-reload
for directory in "$configuration" "$state"; do
  [ ! -d "$directory" ] || rmdir --ignore-fail-on-non-empty -p "$directory"
done
[ -d "$home/authorized" ] || exit 0
exec 9>"$home/authorized.lock"
flock 9
rm -f "$part"
if [ -z "$(ls -A "$home/authorized")" ]; then
  rm -f /etc/sudoers.d/pgha-channel
  userdel pgha 2>/dev/null || true
  rm -rf "$home"
  rmdir --ignore-fail-on-non-empty "$(dirname "$home")"
else
  cat "$home/authorized/"* > "$home/.ssh/authorized_keys.new"
  chmod 0644 "$home/.ssh/authorized_keys.new"
  mv -f "$home/.ssh/authorized_keys.new" "$home/.ssh/authorized_keys"
fi`;

/** Without them nothing could be laid that the manager's agent works with. */
function missingPrograms(news: Properties): Fault[] {
  if (news.manager !== "pacemaker" || news.programs !== undefined) return [];
  const expected = "the directory of PostgreSQL's programs, which Pacemaker's agent works with";
  return [{ path: ["programs"], found: "nothing", expected, remedy: "Name it, such as /usr/lib/postgresql/17/bin." }];
}

/** A unit that points elsewhere would start another database, or none, at the next boot: refused before it is written. */
function movedDirectories(news: Properties, oldInputs: Properties | undefined): Fault[] {
  if (oldInputs === undefined || oldInputs.host !== news.host) return [];
  return ["dataDirectory", "walDirectory"].flatMap((key): Fault[] =>
    oldInputs[key] === news[key]
      ? []
      : [
          {
            path: [key],
            found: `${news[key] ?? "nothing"} (it was ${oldInputs[key] ?? "nothing"})`,
            expected: "no change: where a member lies is decided when it is added",
            remedy: "Write the old value, or add a member of another name.",
          },
        ],
  );
}

function unitPath(declared: InstanceInputs): string {
  return `/etc/systemd/system/${memberPaths(declared.cluster, declared.member).unit}`;
}

/** A data directory is made only where no marker says that there was one: a missing one is then an unmounted volume. */
const directoriesScript = `
set -eu
config=$1 state=$2 log=$3 marker=$4; shift 4
helper=$1; shift
install -d -o root -g root -m 0755 /etc/pgha "$(dirname "$config")" "$helper"
install -d -o root -g postgres -m 0750 "$config"
install -d -o root -g root -m 0700 /var/lib/pgha "$(dirname "$state")" "$state"
install -d -o postgres -g postgres -m 0750 "$log"
[ ! -e "$marker" ] || exit 0
for directory in "$@"; do
  # Owned by postgres as Debian has it, so that a member whose directory somebody removed can be begun anew there.
  parent=$(dirname "$directory")
  [ -d "$parent" ] || { mkdir -p "$parent"; chown postgres:postgres "$parent"; }
  [ -e "$directory" ] || mkdir "$directory"
  [ -n "$(ls -A "$directory")" ] || { chown postgres:postgres "$directory"; chmod 0700 "$directory"; }
done`;

async function prepare(context: Context, declared: InstanceInputs): Promise<void> {
  const host = context.hosts.host(declared.host);
  const paths = memberPaths(declared.cluster, declared.member);
  const data = [declared.dataDirectory, ...(declared.walDirectory === undefined ? [] : [declared.walDirectory])];
  await host.must({
    argv: [
      "sh",
      "-c",
      directoriesScript,
      "sh",
      paths.configDirectory,
      paths.stateDirectory,
      paths.logDirectory,
      paths.marker,
      dirname(agentPath),
      ...data,
    ],
    limitSeconds: 30,
    purpose: `make the directories of ${declared.member}`,
  });
  // Before the unit: systemd calls them at the next start.
  await layHelper(host, helperFiles, `${declared.cluster}-${declared.member}`);
  const changed = await writeFile(host, {
    path: unitPath(declared),
    content: declared.unit,
    owner: "root",
    group: "root",
    mode: "0644",
    limitSeconds: 20,
  });
  if (changed) {
    await host.must({ argv: ["systemctl", "daemon-reload"], limitSeconds: 30, purpose: `load ${paths.unit}` });
  }
  for (const kind of helperUnits) {
    const text = declared[kind];
    if (text !== undefined) await layHelperUnit(host, kind, declared, text);
  }
}
