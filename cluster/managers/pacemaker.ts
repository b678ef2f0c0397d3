import { UserError } from "../../model/fault.ts";
import type { Group } from "../../model/group.ts";
import { endpointsOf, memberOf } from "../../model/group.ts";
import { type MemberObservation, reachedMembers } from "../../model/observation.ts";
import { namedPrimary, observePrimary } from "../../model/observedPrimary.ts";
import { addressResource, pacemakerNames, readersKind, withPrimary } from "../../model/pacemaker/names.ts";
import { plannedActions, refusedActions } from "../../model/pacemaker/simulation.ts";
import { actsOn, pacemakerView, standsBackAttribute, standsBackSince } from "../../model/pacemaker/view.ts";
import { RemoteError } from "../../remote/errors.ts";
import type { RemoteHost } from "../../remote/host.ts";
import type { Hold } from "../order.ts";
import type { Reporter } from "../reporter.ts";
import { waitFor } from "../waitFor.ts";
import type { FailoverManager } from "./manager.ts";

/** For one of his commands: each waits for his daemons, and they for the others'. */
const commandLimitSeconds = 120;
/** Until he has looked at everything again and wants nothing. */
const idleLimitSeconds = 90;

/**
 * Pacemaker. He stands back by `maintenance` of this cluster's clone and addresses alone; an attribute of every node, set before
 * and removed after it, tells that it is ours and not an operator's. `hosts`: of the members, in their order.
 */
export function pacemakerManager(group: Group, hosts: readonly RemoteHost[]): FailoverManager {
  const names = pacemakerNames(group.cluster);
  // The readers' may be moved by him at any time: it is no primary's.
  const addresses = Object.keys(withPrimary(group.virtualIps)).map((kind) => addressResource(group.cluster, kind));
  const attribute = standsBackAttribute(group.cluster);
  const own = [
    names.clone,
    ...(addresses.length > 0 ? [names.addressGroup] : []),
    ...(readersKind in group.virtualIps ? [names.readersGroup] : []),
  ];
  let asked: Promise<string | undefined> | undefined;
  /** Not where he does not manage this cluster yet. */
  let stoodBack = false;

  /** On the first host that Pacemaker answers on, with quorum. Undefined: it manages this cluster nowhere. */
  async function ask(script: string, values: readonly string[], purpose: string): Promise<string | undefined> {
    let partitioned: string | undefined;
    for (const host of hosts) {
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
      `${group.cluster}: could not ${purpose}: found Pacemaker on ${partitioned} without quorum, expected most of its nodes to see each other.\n  Look at it there (\`crm_mon -1\`), and bring the other hosts back.`,
    );
  }

  /** One turn: he looks at everything anew; what he would do then if he managed. */
  async function wants(primaryNode: string, runningNodes: readonly string[]): Promise<string[]> {
    const xml = await ask(simulateScript, own, "ask Pacemaker what it would do");
    return refusedActions(plannedActions(xml ?? ""), {
      resource: names.resource,
      addresses,
      primaryNode,
      runningNodes,
    });
  }

  async function manageAgain(primaryNode: string, nodes: readonly string[]): Promise<void> {
    await ask(refreshScript, own, "let Pacemaker look again");
    const scores = nodes.map((node) => `${node}=${node === primaryNode ? 1001 : 1000}`);
    await ask(scoresScript, [names.resource, ...scores], "tell Pacemaker who is primary");
    await waitFor(`Pacemaker to have nothing to do for ${group.cluster}`, idleLimitSeconds, async () => {
      const wanted = await wants(primaryNode, nodes);
      return wanted.length === 0 ? { done: true } : { lastSeen: `it would ${wanted.join(", ")}` };
    }).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(
        `${group.cluster}: Pacemaker still stands back: ${error.message}.\n  The cluster itself is as it should be, but nobody fails over until Pacemaker manages again: find the cause (\`crm_mon -1\`, \`crm_simulate -LS\` on ${primaryNode}), then run \`pulumi up\` again.`,
      );
    });
    await ask(resumeScript, own, "let Pacemaker manage again");
  }

  return {
    startsMembers: true,
    async standBack(lock: Hold) {
      asked ??= ask(standBackScript, [String(lock.epoch), ...own], "let Pacemaker stand back");
      stoodBack ||= (await asked) !== undefined;
    },
    standsBack: (seen) => stoodBack || standsBackSince(pacemakerView(seen), group.cluster) !== undefined,
    acts: (seen) => actsOn(pacemakerView(seen), group.cluster),
    async resume(seen: readonly MemberObservation[], reporter: Reporter) {
      const primary = namedPrimary(observePrimary(seen, endpointsOf(group)));
      if (primary === undefined) {
        reporter.warn(`${group.cluster}: Pacemaker still stands back, for who is primary cannot be told`);
        return;
      }
      reporter.progress("Pacemaker manages again");
      const running = reachedMembers(seen).filter(({ postgres }) => postgres !== undefined);
      const nodes = running.map(({ member }) => memberOf(group, member).host);
      await manageAgain(memberOf(group, primary.member).host, nodes);
      asked = undefined;
      stoodBack = false;
    },
  };
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
manage() {
  code=0
  crm_resource --resource "$1" --meta --delete-parameter maintenance >/dev/null || code=$?
  [ "$code" = 0 ] || [ "$code" = 105 ]
}
`;

/* What was begun before runs to its end first, at most for as long as its operations may take: --wait is over when the whole cluster has settled. */
const standBackScript = `
epoch=$1; shift
crm_node --list | while read -r _ node _; do
  crm_attribute --type nodes --node "$node" --name "$attribute" --update "$epoch"
done
for resource in "$@"; do
  ! known "$resource" || crm_resource --resource "$resource" --meta --set-parameter maintenance --parameter-value true >/dev/null
done
crm_resource --wait --timeout 100s
echo "stands back"
`;

const refreshScript = `
for resource in "$@"; do ! known "$resource" || crm_resource --resource "$resource" --refresh >/dev/null; done
crm_resource --wait --timeout 50s
echo refreshed
`;

const scoresScript = `
resource=$1; shift
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
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
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
