import { UserError } from "../model/fault.ts";
import type { StandIns } from "../model/pacemaker/standIns.ts";
import { readFiles, writeFile } from "../remote/files.ts";
import type { RemoteHost } from "../remote/host.ts";

/** As `standInTexts`, of what lies there; undefined where nothing does. */
export async function readStandIns(host: RemoteHost, { files, link }: StandIns): Promise<string[] | undefined> {
  const [laid, target] = await Promise.all([
    readFiles(
      host,
      files.map(({ path }) => path),
    ),
    host.run({ argv: ["readlink", link], limitSeconds: 20, purpose: `read ${link}` }),
  ]);
  const texts = [...laid.map((file) => file?.content ?? ""), target.stdout.trim()];
  return texts.every((text) => text === "") ? undefined : texts;
}

/* A directory there is not ours to replace. */
const linkScript = `
set -eu
programs=$1 link=$2 target=$3 configuration=$4
install -d -o root -g root -m 0755 "$programs"
if [ -e "$link" ] && [ ! -L "$link" ]; then echo "taken"; exit 0; fi
[ "$(readlink "$link" || true)" = "$target" ] || ln -sfnT "$target" "$link"
[ -e "$configuration" ] || install -m 0600 /dev/null "$configuration"
echo linked`;

/** Before Pacemaker's agent is told to use them. Errors: `UserError` where something else has the place of the link. */
export async function layStandIns(
  host: RemoteHost,
  { directory, files, link, target, configuration }: StandIns,
): Promise<void> {
  const said = await host.must({
    argv: ["sh", "-c", linkScript, "sh", directory, link, target, configuration],
    limitSeconds: 30,
    purpose: `lay what Pacemaker's agent works with at ${directory}`,
  });
  if (said.trim() === "taken") {
    throw new UserError(
      `${host.name}: found something that is no link at ${link}, expected nothing, or the link to ${target}.\n  Nothing was changed there. Move it away, then run \`pulumi up\` again.`,
    );
  }
  await Promise.all(files.map((file) => writeFile(host, { ...file, owner: "root", group: "root", limitSeconds: 20 })));
}

/*
 * While Pacemaker's agent works with them they stay: without them it would take every member for broken. A Pacemaker that runs
 * and does not answer may use them.
 */
const removeScript = `
set -eu
programs=$1 link=$2; shift 2
if systemctl is-active --quiet pacemaker; then
  if ! resources=$(cibadmin --query --scope resources 2>/dev/null); then echo used; exit 0; fi
  case $resources in *"\\"$programs"[\\"/]*) echo used; exit 0 ;; esac
fi
rm -f -- "$@"
[ ! -L "$link" ] || rm -f -- "$link"
[ ! -d "$programs" ] || rmdir --ignore-fail-on-non-empty -- "$programs"
echo removed`;

/** False where Pacemaker still uses them. */
export async function removeStandIns(
  host: RemoteHost,
  { directory, files, link, configuration }: StandIns,
): Promise<boolean> {
  const said = await host.must({
    argv: ["sh", "-c", removeScript, "sh", directory, link, ...files.map(({ path }) => path), configuration],
    limitSeconds: 40,
    purpose: `remove what Pacemaker's agent worked with at ${directory}`,
  });
  return said.trim() === "removed";
}
