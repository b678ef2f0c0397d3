import { parseDocument } from "yaml";

/** What the demo's stack file says about one host. */
export interface DemoHost {
  readonly name: string;
  readonly addresses: { readonly service: string; readonly cluster: string; readonly replication: string };
  /** "ssh-ed25519 AAAA…" */
  readonly hostKey: string;
}

/** The demo's cluster. */
export const demoCluster = "orders";

const firstText = `# The demo: three hosts of the lab and one cluster on them. Try: change \`primary:\`, then pulumi preview, pulumi up.
config:
  pgha:ssh: {}
  pgha:hosts: {}
  pgha:networks:
    lab: 198.51.100.0/26
  pgha:clusters:
    ${demoCluster}:
      postgresVersion: 17
      members: { pg1: {}, pg2: {}, pg3: {} }
      primary: pg1 # change this line = planned switchover
      synchronous: { quorum: 1 }
      walSegmentSize: 1MB
      clientNetworks: [lab]
`;

/**
 * The demo's stack file for these hosts. Addresses and keys follow the lab, whose hosts get new ones when it is made
 * anew; everything else in `existing` is the reader's experiment and stays.
 */
export function demoStackFile(
  hosts: readonly DemoHost[],
  privateKeyFile: string,
  existing: string | undefined,
): string {
  const document = parseDocument(existing ?? firstText);
  document.setIn(["config", "pgha:ssh"], document.createNode({ user: "root", privateKeyFile }));
  const declared = hosts.map((host) => [host.name, { address: host.addresses, hostKey: host.hostKey }]);
  document.setIn(["config", "pgha:hosts"], document.createNode(Object.fromEntries(declared)));
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
