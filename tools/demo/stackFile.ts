import { parseDocument } from "yaml";
import { boardDevices } from "../../test/support/fencingBoard.ts";

/** Who fails the demo's cluster over. */
export type Manager = "none" | "pacemaker";

/** What the demo's stack file says about one host. */
export interface DemoHost {
  readonly name: string;
  readonly addresses: { readonly service: string; readonly cluster: string; readonly replication: string };
  /** "ssh-ed25519 AAAA…" */
  readonly hostKey: string;
}

/** What the demo's stack file says about the lab. */
export interface DemoLab {
  readonly hosts: readonly DemoHost[];
  readonly keyFile: string;
  readonly virtualIp: string;
  readonly board: { readonly address: string; readonly port: number; readonly user: string };
}

/** The demo's cluster. */
export const demoCluster = "orders";

function corosync(hosts: number): string {
  const silent = hosts === 2 ? "2.2 s" : "3.6 s";
  return `  pgha:pacemaker:
    main:
      detection: fast # a host that is silent for ${silent} counts as lost
      fencing:
        # The lab's management board, which switches hosts off and on.
        devices: {}
`;
}

/** Two hosts are the classic pair, under its agent pgsql: clients and replication have an address each. */
function virtualIps({ hosts, virtualIp }: DemoLab): string {
  const own =
    hosts.length === 2 ? `, replication: ${virtualIp.replace(/^[0-9]+\.[0-9]+\.[0-9]+/, "203.0.113")}/26` : "";
  return `{ primary: ${virtualIp}/26${own} } # clients write to the first; ${own === "" ? "it moves" : "both move"} with the primary`;
}

function firstText(manager: Manager, lab: DemoLab): string {
  const { hosts } = lab;
  const pair = hosts.length === 2;
  const failover = `      failover: { manager: pacemaker${pair ? ", agent: pgsql" : ""} }
      virtualIps: ${virtualIps(lab)}
`;
  return `# The demo: ${pair ? "two" : "three"} hosts of the lab and one cluster on them. Try: change \`primary:\`, then pulumi preview, pulumi up.
config:
  pgha:ssh: {}
  pgha:hosts: {}
  pgha:networks:
    lab: 198.51.100.0/26
${manager === "pacemaker" ? corosync(hosts.length) : ""}  pgha:clusters:
    ${demoCluster}:
      postgresVersion: 17
      members: { ${hosts.map(({ name }) => `${name}: {}`).join(", ")} }
      primary: pg1 # change this line = planned switchover
      synchronous: { ${pair ? "priority" : "quorum"}: 1 }
${manager === "pacemaker" ? failover : ""}      walSegmentSize: 1MB
      clientNetworks: [lab]
`;
}

/**
 * The demo's stack file for this lab. Addresses and keys follow the lab, whose hosts get new ones when it is made
 * anew; everything else in `existing` is the reader's experiment and stays.
 */
export function demoStackFile(manager: Manager, lab: DemoLab, existing: string | undefined): string {
  const document = parseDocument(existing ?? firstText(manager, lab));
  const set = (path: readonly string[], value: unknown) =>
    document.setIn(["config", ...path], document.createNode(value));
  set(["pgha:ssh"], { user: "root", privateKeyFile: lab.keyFile });
  const declared = lab.hosts.map((host) => [host.name, { address: host.addresses, hostKey: host.hostKey }]);
  set(["pgha:hosts"], Object.fromEntries(declared));
  if (manager === "pacemaker") {
    set(["pgha:pacemaker", "main", "fencing", "devices"], boardDevices(lab.board, lab.hosts));
  }
  return document.toString({ lineWidth: 0 });
}

const primaryPath = ["config", "pgha:clusters", demoCluster, "primary"];

/** Who is to be primary, as the stack file says. */
export function declaredPrimary(text: string): string {
  return String(parseDocument(text).getIn(primaryPath));
}

/** The stack file with another primary; comments and everything else stay. */
export function withPrimary(text: string, member: string): string {
  const document = parseDocument(text);
  document.setIn(primaryPath, member);
  return document.toString({ lineWidth: 0 });
}
