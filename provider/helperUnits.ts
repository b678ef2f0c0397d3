import { UserError } from "../model/fault.ts";
import { memberPaths } from "../model/names.ts";
import { relaxedAttribute } from "../model/pacemaker/names.ts";
import { readFiles, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";

/** Whose units they are. */
interface Owner {
  readonly cluster: string;
  readonly member: string;
}

/** Units beside the instance's own, by the input that has their text: one runs at boot, the other always. */
export const helperUnits = ["rejoinUnit", "relaxUnit"] as const;

type HelperUnit = (typeof helperUnits)[number];

const readScript = `
for unit; do
  if systemctl is-active --quiet "$unit"; then echo active; else echo "not active"; fi
done`;

/** What lies there, and runs when it should; undefined where there is none, "" where it would not run. */
export async function readHelperUnit(host: RemoteHost, kind: HelperUnit, owner: Owner): Promise<string | undefined> {
  const { path, wanted, name } = placesOf(kind, owner);
  const [[unit, started], state] = await Promise.all([
    readFiles(host, [path, wanted]),
    host.must({ argv: ["sh", "-c", readScript, "sh", name], limitSeconds: 20, purpose: `look at ${name}` }),
  ]);
  if (unit === undefined) return undefined;
  const runs = kind === "rejoinUnit" || state.trim() === "active";
  return runs && started?.content === unit.content ? unit.content : "";
}

/** One that runs always is started anew: its program may have changed. */
export async function layHelperUnit(host: RemoteHost, kind: HelperUnit, owner: Owner, content: string): Promise<void> {
  const { path, name } = placesOf(kind, owner);
  await writeFile(host, { path, content, owner: "root", group: "root", mode: "0644", limitSeconds: 20 });
  const start = kind === "relaxUnit" ? ' && systemctl restart "$1"' : "";
  await host.must({
    argv: ["sh", "-c", `systemctl daemon-reload && systemctl --quiet enable "$1"${start}`, "sh", name],
    limitSeconds: 60,
    purpose: `enable ${name}`,
  });
}

/* What lets commits go on alone is not taken away while they do, nor while anybody is bound by it. */
const removeScript = `
set -eu
path=$1 wanted=$2 name=$3 relaxed=$4 attribute=$5
if [ -n "$relaxed" ]; then
  if [ -e "$relaxed" ]; then echo relaxed; exit 0; fi
  if systemctl is-active --quiet pacemaker && cibadmin --query --scope nodes 2>/dev/null | grep -q "name=\\"$attribute\\""; then
    echo relaxed; exit 0
  fi
  systemctl --quiet stop "$name" 2>/dev/null || true
  if [ -e "$relaxed" ]; then systemctl start "$name"; echo relaxed; exit 0; fi
fi
if [ -e "$path" ] || [ -L "$wanted" ]; then rm -f "$path" "$wanted"; systemctl daemon-reload; fi
echo removed`;

/** Errors: `UserError` while commits go on without standbys. One that runs at boot and has begun goes on. */
export async function removeHelperUnit(host: RemoteHost, kind: HelperUnit, owner: Owner): Promise<void> {
  const { path, wanted, name } = placesOf(kind, owner);
  const relaxed = kind === "relaxUnit" ? memberPaths(owner.cluster, owner.member).relaxedConf : "";
  const said = await host.must({
    argv: ["sh", "-c", removeScript, "sh", path, wanted, name, relaxed, relaxedAttribute(owner.cluster)],
    limitSeconds: 60,
    purpose: `remove ${name}`,
  });
  if (said.trim() !== "relaxed") return;
  throw new UserError(
    `${owner.cluster}: found commits that go on without standbys, or Pacemaker's word that they did, expected standbys that have every row while onLoss: relax is taken away.\n  ${name} was left as it is. Bring a standby back, wait until preview no longer tells of it, then run this again.`,
  );
}

function placesOf(kind: HelperUnit, { cluster, member }: Owner): { name: string; path: string; wanted: string } {
  const name = memberPaths(cluster, member)[kind];
  const folder = "/etc/systemd/system";
  return { name, path: `${folder}/${name}`, wanted: `${folder}/multi-user.target.wants/${name}` };
}
