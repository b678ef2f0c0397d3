import { UserError } from "../../model/fault.ts";
import { agentPath } from "../../model/names.ts";
import { addressResource, pacemakerNames, readersKind } from "../../model/pacemaker/names.ts";
import { plannedActions, refusedActions } from "../../model/pacemaker/simulation.ts";
import { standsBackAttribute } from "../../model/pacemaker/view.ts";
import { RemoteError } from "../../remote/errors.ts";
import { waitFor } from "../waitFor.ts";
import { type PgsqlMember, recordPgsqlRolesScript, settlePgsqlFiles } from "./pgsqlRoles.ts";

/** For one of his commands: each waits for his daemons, and they for the others'. */
const commandLimitSeconds = 120;
/** Until he has looked at everything again and wants nothing. */
const idleLimitSeconds = 90;

/** What of Pacemaker is one PostgreSQL cluster's. */
export interface ControlledCluster {
  readonly cluster: string;
  /** What its virtual IPs are for. */
  readonly addressKinds: readonly string[];
  /** Its members, one on each host. */
  readonly members: readonly PgsqlMember[];
}

/** One PostgreSQL cluster's part of Pacemaker: left alone by maintenance of its clone and addresses, and managed again. */
export interface PacemakerControl {
  /**
   * False where Pacemaker does not manage this cluster yet. `epoch`: of who orders it, for everybody to see. Where an
   * operator has the clone in maintenance he stands back already: nothing is set.
   */
  standBack(epoch: number): Promise<boolean>;
  /**
   * He looks at everything anew, is told who is primary, and manages again once he would change nothing but what an operator
   * ordered. False: an operator's maintenance was there before, and stays; nothing was done. Errors: `UserError` when he
   * would act; he stands back still.
   */
  manageAgain(found: Found): Promise<boolean>;
}

/** How the members are when Pacemaker is to manage again. */
export interface Found {
  readonly primaryNode: string;
  /** Hosts of members that run, the primary's among them. */
  readonly runningNodes: readonly string[];
  /** Where an operator ordered that no member runs: by standby or a ban. */
  readonly idleNodes: readonly string[];
}

export function controlPacemaker({ cluster, addressKinds, members }: ControlledCluster): PacemakerControl {
  const names = pacemakerNames(cluster);
  // The readers' may be moved by him at any time: it is no primary's.
  const addresses = addressKinds.filter((kind) => kind !== readersKind).map((kind) => addressResource(cluster, kind));
  const attribute = standsBackAttribute(cluster);
  /** The maintenance was there before, by an operator's hand. */
  let operators = false;
  const own = [
    names.clone,
    ...(addresses.length > 0 ? [names.addressGroup] : []),
    ...(addressKinds.includes(readersKind) ? [names.readersGroup] : []),
  ];

  /** On the first host that Pacemaker answers on, with quorum. Undefined: it manages this cluster nowhere. */
  async function ask(script: string, values: readonly string[], purpose: string): Promise<string | undefined> {
    let partitioned: string | undefined;
    for (const { host } of members) {
      const argv = ["sh", "-c", `${prelude}${script}`, "sh", names.clone, attribute, ...values];
      try {
        const said = await host.must({ argv, limitSeconds: commandLimitSeconds, purpose });
        if (said.startsWith("no quorum")) partitioned = host.name;
        else if (!said.startsWith("absent")) return said;
      } catch (error) {
        if (!(error instanceof RemoteError) || !isUnreached(error)) throw error;
      }
    }
    if (partitioned === undefined) return undefined;
    throw new UserError(
      `${cluster}: could not ${purpose}: found Pacemaker on ${partitioned} without quorum, expected most of its nodes to see each other.\n  Look at it there (\`crm_mon -1\`), and bring the other hosts back.`,
    );
  }

  /** One turn: he looks at everything anew; what he would do then if he managed. */
  async function wants(found: Found): Promise<string[]> {
    const xml = await ask(simulateScript, own, "ask Pacemaker what it would do");
    return refusedActions(plannedActions(xml ?? ""), { resource: names.resource, addresses, ...found });
  }

  async function manageAgain(found: Found): Promise<boolean> {
    if (operators) return false;
    const { primaryNode, runningNodes: nodes } = found;
    const said = await ask(refreshScript, own, "let Pacemaker look again");
    const [script, roles] = isPgsql(said)
      ? [recordPgsqlRolesScript, await settlePgsqlFiles(names.resource, primaryNode, members)]
      : [scoresScript, nodes.map((node) => `${node}=${node === primaryNode ? 1001 : 1000}`)];
    await ask(script, [names.resource, ...roles], "tell Pacemaker who is primary");
    await waitFor(`Pacemaker to have nothing to do for ${cluster}`, idleLimitSeconds, async () => {
      const wanted = await wants(found);
      return wanted.length === 0 ? { done: true } : { lastSeen: `it would ${wanted.join(", ")}` };
    }).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(
        `${cluster}: Pacemaker still stands back: ${error.message}.\n  The cluster itself is as it should be, but nobody fails over until Pacemaker manages again: find the cause (\`crm_mon -1\`, \`crm_simulate -LS\` on ${primaryNode}), then run \`pulumi up\` again.`,
      );
    });
    await ask(resumeScript, own, "let Pacemaker manage again");
    return true;
  }

  /** So that a promotion that an orchestrator makes finds synchronous commit as declared. A host that does not answer is not promoted. */
  async function tightenStandbys(): Promise<void> {
    await Promise.allSettled(
      members.map(({ host, memberFile }) =>
        host.must({
          argv: ["python3", "-u", agentPath, "rep_mode_standby", memberFile],
          limitSeconds: 30,
          purpose: `have ${host.name} keep the declared synchronous commit`,
        }),
      ),
    );
  }

  return {
    manageAgain,
    async standBack(epoch) {
      const said = await ask(standBackScript, [String(epoch), ...own], "let Pacemaker stand back");
      const other = /^in maintenance (\S+)/.exec(said ?? "")?.[1];
      if (other !== undefined && other !== names.clone) {
        throw new UserError(
          `${cluster}: could not let Pacemaker stand back: found ${other} in maintenance by somebody's hand, expected it managed.\n  Whoever set it may need it: end it first (\`crm_resource --resource ${other} --meta --delete-parameter maintenance\`), then run \`pulumi up\` again.`,
        );
      }
      operators = other !== undefined;
      if (isPgsql(said)) await tightenStandbys();
      return said !== undefined;
    },
  };
}

/** By the driver that a script named: PAF is "pgsqlms". */
function isPgsql(said: string | undefined): boolean {
  return said?.includes('type="pgsql"') ?? false;
}

function isUnreached(error: RemoteError): boolean {
  return error.name === "Unreachable" || error.name === "HostKeyRefused";
}

/* 105 is CRM_EX_NOSUCH: Pacemaker runs, and does not know this cluster yet; or there is no maintenance to take away. Values: clone, attribute, then the script's own. */
const prelude = `
set -eu
clone=$1 attribute=$2; shift 2
if ! systemctl is-active --quiet pacemaker; then echo absent; exit 0; fi
code=0
cibadmin --query --xpath "//clone[@id='$clone']" >/dev/null || code=$?
if [ "$code" = 105 ]; then echo absent; exit 0; fi
[ "$code" = 0 ] || exit "$code"
if [ "$(crm_node --quorum)" != 1 ]; then echo "no quorum"; exit 0; fi
known() { cibadmin --query --xpath "//*[@id='$1']" >/dev/null 2>&1; }
driver() { cibadmin --query --xpath "//clone[@id='$clone']/primitive" | grep -o 'type="pgsql[a-z]*"' | head -n 1; }
manage() {
  code=0
  crm_resource --resource "$1" --meta --delete-parameter maintenance >/dev/null || code=$?
  [ "$code" = 0 ] || [ "$code" = 105 ]
}
`;

/*
 * A maintenance without our attribute is an operator's: it is neither taken over nor, later, ended. What was begun before runs
 * to its end first, at most for as long as its operations may take: --wait is over when the whole cluster has settled.
 */
const standBackScript = `
epoch=$1; shift
if ! cibadmin --query --scope nodes | grep -q "name=\\"$attribute\\""; then
  for resource in "$@"; do
    known "$resource" || continue
    case $(crm_resource --resource "$resource" --meta --get-parameter maintenance 2>/dev/null) in
      [Tt]rue | TRUE | [Yy]es | [Oo]n | y | 1)
        echo "in maintenance $resource $(driver)"
        exit 0
        ;;
    esac
  done
fi
crm_node --list | while read -r _ node _; do
  crm_attribute --type nodes --node "$node" --name "$attribute" --update "$epoch"
done
for resource in "$@"; do
  ! known "$resource" || crm_resource --resource "$resource" --meta --set-parameter maintenance --parameter-value true >/dev/null
done
crm_resource --wait --timeout 100s
echo "stands back $(driver)"
`;

const refreshScript = `
for resource in "$@"; do ! known "$resource" || crm_resource --resource "$resource" --refresh >/dev/null; done
crm_resource --wait --timeout 50s
echo "refreshed $(driver)"
`;

/* What another agent recorded before is gone with it: the agent pgsql, whose scores end with the boot. */
const scoresScript = `
resource=$1; shift
if cibadmin --query | grep -q "name=\\"$resource-data-status\\""; then
  crm_node --list | while read -r _ node _; do
    crm_attribute --type nodes --node "$node" --name "$resource-data-status" --delete >/dev/null 2>&1 || true
    for name in status master-baseline xlog-loc; do
      crm_attribute --type status --node "$node" --name "$resource-$name" --delete >/dev/null 2>&1 || true
    done
    crm_attribute --promotion="$resource" --lifetime reboot --node "$node" --delete >/dev/null 2>&1 || true
  done
fi
nodes=" $(crm_node --list | cut -d ' ' -f 2 | tr '\\n' ' ') "
for score in "$@"; do
  # A member that is new comes to Pacemaker only afterwards.
  case $nodes in *" \${score%%=*} "*) ;; *) continue ;; esac
  crm_attribute --promotion="$resource" --lifetime forever --node "\${score%%=*}" --update "\${score#*=}"
done
echo told
`;

/* On a copy of the CIB in which it manages already. */
const simulateScript = `
copy=$(mktemp -p /run)
trap 'rm -f "$copy"' EXIT
trap 'exit 1' HUP INT TERM
crm_resource --wait --timeout 30s
cibadmin --query > "$copy"
for resource in "$@"; do
  ! known "$resource" || (export CIB_file="$copy"; manage "$resource")
done
crm_simulate --simulate --xml-file "$copy" --output-as=xml
`;

const resumeScript = `
for resource in "$@"; do
  ! known "$resource" || manage "$resource"
done
crm_node --list | while read -r _ node _; do
  crm_attribute --type nodes --node "$node" --name "$attribute" --delete >/dev/null 2>&1 || true
done
echo manages
`;
