import { createHash } from "node:crypto";
import type { RemoteHost } from "./host.ts";

/** One file as it should lie on a host. */
export interface FileToWrite {
  /** Absolute. Its directory must exist. */
  readonly path: string;
  readonly content: string;
  readonly owner: string;
  readonly group: string;
  /** Octal: "0640". */
  readonly mode: string;
  readonly limitSeconds: number;
}

/** One file as it lies on a host. */
export interface RemoteFile {
  readonly content: string;
  /** Of the bytes, in hexadecimal. */
  readonly sha256: string;
  /** A name, or the number when it has none. */
  readonly owner: string;
  readonly group: string;
  /** Four octal digits: "0640". */
  readonly mode: string;
}

/**
 * Written beside the file under a name that no include directory takes for a configuration file, then moved over it:
 * a reader sees the old content or the new one, and after a power cut too. The number of bytes is compared because a
 * broken connection looks like the end of the content.
 */
const writeScript = `
set -eu
umask 077
path=$1 owner=$2 group=$3 mode=$4 bytes=$5
directory=$(dirname -- "$path")
temporary=$(mktemp -- "$directory/.$(basename -- "$path").pgha-XXXXXXXX")
trap 'rm -f -- "$temporary"' EXIT
cat > "$temporary"
arrived=$(wc -c < "$temporary")
if [ "$arrived" -ne "$bytes" ]; then
  echo "$path: only $arrived of $bytes bytes arrived" >&2
  exit 1
fi
if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s -- "$temporary" "$path" &&
  [ "$(stat -c '%U:%G:%a' -- "$path")" = "$owner:$group:$mode" ]; then
  echo same
  exit 0
fi
chown --no-dereference -- "$owner:$group" "$temporary"
chmod -- "$mode" "$temporary"
sync -- "$temporary"
mv -fT -- "$temporary" "$path"
trap - EXIT
sync -- "$directory"
echo changed
`;

/** Writes one file atomically, in one round trip. Returns whether content, owner, group or mode changed. */
export async function writeFile(host: RemoteHost, file: FileToWrite): Promise<boolean> {
  const mode = Number.parseInt(file.mode, 8).toString(8);
  const bytes = String(Buffer.byteLength(file.content));
  const said = await host.must({
    argv: ["sh", "-c", writeScript, "sh", file.path, file.owner, file.group, mode, bytes],
    stdin: file.content,
    limitSeconds: file.limitSeconds,
    purpose: `write ${file.path}`,
  });
  return said === "changed\n";
}

const readScript = `
set -eu
for path in "$@"; do
  if [ -f "$path" ]; then
    stat -L -c '%U %G %u %g %a' -- "$path"
    base64 -w 0 -- "$path"
    echo
  elif [ -e "$path" ] || [ -L "$path" ]; then
    echo "$path is not a file" >&2
    exit 1
  else
    echo missing
  fi
done
`;

/** Reads files as root, in one round trip. In the order of the paths; undefined for one that does not exist. */
export async function readFiles(
  host: RemoteHost,
  paths: readonly string[],
  limitSeconds = 20,
): Promise<(RemoteFile | undefined)[]> {
  if (paths.length === 0) return [];
  const text = await host.must({
    argv: ["sh", "-c", readScript, "sh", ...paths],
    limitSeconds,
    purpose: `read ${paths.join(", ")}`,
  });
  return parseFiles(text, paths.length);
}

function parseFiles(text: string, count: number): (RemoteFile | undefined)[] {
  const lines = text.split("\n").values();
  return Array.from({ length: count }, () => {
    const attributes = lines.next().value ?? "";
    if (attributes === "missing") return undefined;
    const [owner = "", group = "", ownerId = "", groupId = "", mode = ""] = attributes.split(" ");
    const bytes = Buffer.from(lines.next().value ?? "", "base64");
    return {
      content: bytes.toString("utf8"),
      sha256: createHash("sha256").update(bytes).digest("hex"),
      owner: owner === "UNKNOWN" ? ownerId : owner,
      group: group === "UNKNOWN" ? groupId : group,
      mode: mode.padStart(4, "0"),
    };
  });
}

const removeScript = `
set -eu
if [ -e "$1" ] || [ -L "$1" ]; then
  rm -f -- "$1"
  sync -- "$(dirname -- "$1")"
  echo removed
fi
`;

/** Removes one file, lastingly. Returns whether it was there. */
export async function removeFile(host: RemoteHost, path: string): Promise<boolean> {
  const argv = ["sh", "-c", removeScript, "sh", path];
  return (await host.must({ argv, limitSeconds: 20, purpose: `remove ${path}` })) === "removed\n";
}
