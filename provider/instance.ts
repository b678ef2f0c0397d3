import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { z } from "zod";
import { agentProgram, startGate } from "../agent/program.ts";
import { askAgent } from "../cluster/agent.ts";
import { layHelper } from "../cluster/helper.ts";
import { type Fault, UserError } from "../model/fault.ts";
import { agentPath, channelHome, memberPaths, startGatePath } from "../model/names.ts";
import { readFiles, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";
import { removeOrForget } from "./forget.ts";
import { checkInputs, lastSeen } from "./inputs.ts";
import type { Context, Properties, ResourceType } from "./resource.ts";

const inputsSchema = z.strictObject({
  cluster: z.string(),
  member: z.string(),
  host: z.string(),
  dataDirectory: z.string(),
  walDirectory: z.string().optional(),
  /** The whole unit file. */
  unit: z.string(),
  /** SHA-256 of the host helper that lies beside it. */
  helper: z.string().optional(),
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
    const { inputs, faults } = checkInputs(inputsSchema, { ...news, helper });
    return { inputs, faults: [...faults, ...movedDirectories(inputs, oldInputs)] };
  },
  diff({ outputs, news }) {
    if (outputs.host !== news.host) return { host: { kind: "replace" } };
    return Object.fromEntries(
      ["unit", "helper"].filter((key) => outputs[key] !== news[key]).map((key) => [key, { kind: "update" } as const]),
    );
  },
  async create(context, { inputs, preview }) {
    const declared = inputsSchema.parse(inputs);
    if (!preview) await prepare(context, declared);
    return { id: `${declared.cluster}:${declared.member}`, outputs: inputs };
  },
  async read(context, { id, inputs, outputs, imported }) {
    if (imported) throw new UserError(`${id}: an instance is not imported; declare it, it takes over what is there.`);
    const declared = inputsSchema.parse(inputs);
    try {
      const paths = [unitPath(declared), ...helperFiles.map(({ path }) => path)];
      const [unit, ...laid] = await readFiles(context.hosts.host(declared.host), paths);
      return {
        id,
        outputs: { ...inputs, unit: unit?.content ?? "", helper: digest(laid.map((file) => file?.content ?? "")) },
      };
    } catch (error) {
      const seen = lastSeen(outputs, error);
      if (seen === undefined) throw error;
      return { id, outputs: seen };
    }
  },
  async update(context, { inputs, preview }) {
    if (!preview) await prepare(context, inputsSchema.parse(inputs));
    return { outputs: inputs };
  },
  // What stops or erases an instance is onDestroy of its cluster: the unit of one that still has its data must stay.
  async delete(context, { inputs }) {
    const declared = inputsSchema.parse(inputs);
    const paths = memberPaths(declared.cluster, declared.member);
    await removeOrForget(context, declared.host, leftText(declared), async () => {
      const host = context.hosts.host(declared.host);
      if ((await forgetRecords(host, declared)) === "has data") return;
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
  if (!changed) return;
  await host.must({ argv: ["systemctl", "daemon-reload"], limitSeconds: 30, purpose: `load ${paths.unit}` });
}
