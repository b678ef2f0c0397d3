import { agentPath } from "../../model/names.ts";
import type { RemoteHost } from "../../remote/host.ts";

/*
 * What the agent pgsql keeps beside Pacemaker's own records: files on each host, and attributes of the nodes. After a change of
 * roles that it did not make itself they are set to what is true. In every script `$resource` is the primitive.
 */

/** A member under Pacemaker, by its host. */
export interface PgsqlMember {
  readonly host: RemoteHost;
  /** Its description on its host. */
  readonly memberFile: string;
}

/**
 * PGSQL.lock lies where the primary is, and goes from a standby that streams from it: nothing of its own is left there. While
 * one streams, synchronous commit is as declared, and confirmed. Returns what is to be recorded: NODE=ROLE.
 */
export async function settlePgsqlFiles(
  resource: string,
  primaryNode: string,
  members: readonly PgsqlMember[],
): Promise<string[]> {
  const primary = members.find(({ host }) => host.name === primaryNode);
  if (primary === undefined) throw new Error(`${primaryNode} has no member under ${resource}`);
  const standbys = members.filter((member) => member !== primary);
  const said = await primary.host.must({
    argv: ["sh", "-c", leadScript, "sh", resource, primary.memberFile, agentPath],
    limitSeconds: 60,
    purpose: "have the agent pgsql know its primary",
  });
  const [role = "async", ...streaming] = said.trim().split(/\s+/);
  const streams = (member: PgsqlMember) => streaming.includes(member.host.name);
  await Promise.all(
    standbys.filter(streams).map(({ host }) =>
      host.must({
        argv: ["sh", "-c", unlockScript, "sh", resource],
        limitSeconds: 30,
        purpose: `remove PGSQL.lock on ${host.name}, whose member follows the primary`,
      }),
    ),
  );
  return [
    `${primaryNode}=primary`,
    ...standbys.map((member) => `${member.host.name}=${streams(member) ? role : "away"}`),
  ];
}

/** `get`: one of the primitive's parameters. */
const parameters = `
get() { crm_resource --resource "$resource" --get-parameter "$1"; }
directory=$(get tmpdir)
case $directory in /*/*/*) ;; *) echo "found the tmpdir $directory, expected a directory of its own" >&2; exit 1 ;; esac
`;

const unlockScript = `
set -eu
resource=$1
${parameters}
rm -f -- "$directory/PGSQL.lock"
`;

/* Who streams, in the primary's own words; then the wish that the agent would write, and its pg_ctl reload. */
const leadScript = `
set -eu
resource=$1 member=$2 agent=$3
${parameters}
streaming=$("$(get psql)" -XAt -h "$(get socketdir)" -p "$(get pgport)" -d postgres -c \\
  "select application_name from pg_stat_replication where state = 'streaming' and application_name = any(string_to_array('$(get node_list)', ' '))")
install -d -o root -g root -m 0700 "$directory"
: > "$directory/PGSQL.lock"
role=async
if [ "$(get rep_mode)" = sync ] && [ -n "$streaming" ]; then
  printf "synchronous_standby_names = '\\"%s\\"'\\n" "$streaming" > "$directory/rep_mode.conf"
  OCF_RESKEY_tmpdir=$directory python3 -u "$agent" rep_mode "$member"
  if grep -q '"' "$directory/rep_mode.conf"; then role=sync; fi
fi
echo "$role" $streaming
`;

/** Of the nodes that Pacemaker knows: a member that is new comes to it only afterwards. Values: the primitive, then NODE=ROLE. */
export const recordPgsqlRolesScript = `
resource=$1; shift
nodes=" $(crm_node --list | cut -d ' ' -f 2 | tr '\\n' ' ') "
mode=$(crm_resource --resource "$resource" --get-parameter rep_mode)
record() { crm_attribute --type "$1" --node "$node" --name "$resource-$2" --update "$3"; }
forget() { crm_attribute "$@" --node "$node" --delete >/dev/null 2>&1 || true; }
for entry in "$@"; do
  node=\${entry%%=*}
  case $nodes in *" $node "*) ;; *) continue ;; esac
  case \${entry#*=} in
    primary) status=PRI data=LATEST score=1000 ;;
    sync) status=HS:sync data='STREAMING|SYNC' score=100 ;;
    async) status=HS:async data='STREAMING|ASYNC' score=100; [ "$mode" = async ] || score=-INFINITY ;;
    away) status= data=DISCONNECT score=-INFINITY ;;
  esac
  record nodes data-status "$data"
  [ -z "$status" ] || record status status "$status"
  forget --type status --name "$resource-master-baseline"
  forget --promotion="$resource" --lifetime forever
  crm_attribute --promotion="$resource" --lifetime reboot --node "$node" --update "$score"
done
echo told
`;
