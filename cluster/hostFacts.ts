import type { HostFacts } from "../model/hostFacts.ts";
import { corosyncConfPath } from "../model/pacemaker/corosyncConf.ts";
import type { RemoteHost } from "../remote/host.ts";
import { readWordLines } from "./wordLines.ts";

/* POSIX shell and what Debian's base has: a bare host need not have Python. One "word value" a line. */
const script = `
. /etc/os-release
echo "system $ID"; echo "systemVersion \${VERSION_ID:-}"
[ -d /run/systemd/system ] && echo "hasSystemd yes"
command -v apt-get >/dev/null && echo "hasApt yes"
ip -o addr show 2>/dev/null | awk '{print "network " $4; sub("/.*","",$4); print "address " $4}'
ss -Hltnp 2>/dev/null | awk '{n=split($4,a,":"); p=""; if (match($0, /\\(\\("[^"]*"/)) p=substr($0,RSTART+3,RLENGTH-4); print "listening " a[n] " " p}'
for marker in /var/lib/pgha/*/*/marker.json; do
  [ -e "$marker" ] || continue
  member=$(dirname "$marker"); name="$(basename "$(dirname "$member")")/$(basename "$member")"
  port=$(sed -n "s/^port *= *'\\{0,1\\}\\([0-9][0-9]*\\).*/\\1/p" "/etc/pgha/$name/postgresql.conf" 2>/dev/null)
  echo "marker $name \${port:-0} $(sed -n 's/.*"dataDirectory":"\\([^"]*\\)".*/\\1/p' "$marker")"
done
[ ! -f ${corosyncConfPath} ] || echo "corosyncConf $(base64 -w 0 ${corosyncConfPath})"
# An answer shows in the neighbours that the kernel finds when something is sent there.
ask() {
  ip neigh flush to "$1" >/dev/null 2>&1
  bash -c 'exec 3<>"/dev/udp/$1/9" && echo >&3' bash "$1" 2>/dev/null
  tries=0
  while [ $tries -lt 40 ]; do
    set -- "$1" $(ip neigh show to "$1" 2>/dev/null)
    case "$*" in
      *REACHABLE*|*STALE*|*DELAY*|*PROBE*) echo "answered $1 $(ip neigh show to "$1" | sed -n 's/.*lladdr \\([^ ]*\\).*/\\1/p')"; return ;;
      *INCOMPLETE*) ;;
      *) return ;;
    esac
    tries=$((tries + 1)); sleep 0.1
  done
}
for address in $ADDRESSES; do
  grep -s "value=\\"$address\\"" /var/lib/pacemaker/cib/cib.xml | grep -q 'id="pgha-[^"]*-ip-instance_attributes' && echo "managed $address"
  ask "$address" &
done
wait
for directory in "$@"; do
  if [ ! -e "$directory" ]; then kind=missing
  elif [ ! -d "$directory" ]; then kind=foreign
  elif [ -z "$(ls -A "$directory")" ]; then kind=empty
  elif [ -e "$directory/PG_VERSION" ]; then kind=data
  else kind=foreign; fi
  parent=$directory; while [ ! -d "$parent" ]; do parent=$(dirname "$parent"); done
  echo "directory $kind $(df -P -B1 "$parent" | awk 'NR==2 {print $4}') $directory"
done`;

/** What a host, bare or not, says of itself, and whether somebody answers for these addresses. Throws a RemoteError when it cannot be asked. */
export async function readHostFacts(
  host: RemoteHost,
  directories: readonly string[],
  addresses: readonly string[] = [],
): Promise<HostFacts> {
  const text = await host.must({
    argv: ["env", `ADDRESSES=${addresses.join(" ")}`, "sh", "-c", script, "sh", ...directories],
    limitSeconds: 10,
    purpose: `look at the host ${host.name}`,
  });
  return parseHostFacts(text);
}

function parseHostFacts(text: string): HostFacts {
  const all = readWordLines(text);
  const [conf] = all("corosyncConf");
  return {
    system: all("system")[0] ?? "",
    systemVersion: all("systemVersion")[0] ?? "",
    hasSystemd: all("hasSystemd").length > 0,
    hasApt: all("hasApt").length > 0,
    addresses: all("address"),
    networks: all("network").filter((network) => network.includes("/")),
    listening: all("listening").map((value) => {
      const [port, ...process] = value.split(" ");
      return { port: Number(port), process: process.join(" ") };
    }),
    directories: Object.fromEntries(
      all("directory").map((value) => {
        const [kind = "", freeBytes = "0", ...path] = value.split(" ");
        return [path.join(" "), { kind, freeBytes: Number(freeBytes) }];
      }),
    ),
    ...(conf === undefined ? {} : { corosyncConf: Buffer.from(conf, "base64").toString("utf8") }),
    answered: Object.fromEntries(
      all("answered").map((value) => {
        const [address = "", who = ""] = value.split(" ");
        return [address, who];
      }),
    ),
    managed: all("managed"),
    markers: all("marker").map((value) => {
      const [name = "", port = "0", ...directory] = value.split(" ");
      const [cluster = "", member = ""] = name.split("/");
      return {
        cluster,
        member,
        dataDirectory: directory.join(" "),
        ...(port === "0" ? {} : { port: Number(port) }),
      };
    }),
  };
}
