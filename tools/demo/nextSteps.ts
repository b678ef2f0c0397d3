import { relative } from "node:path";
import type { DemoEnvironment } from "./environments.ts";
import { root } from "./pulumi.ts";

interface DemoHosts {
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
  readonly keyFile: string;
  readonly knownHostsFile: string;
  readonly virtualIp: string;
}

/** What the reader may type after the demo. `primary`: the member that is primary now. */
export function nextSteps(environment: DemoEnvironment, lab: DemoHosts, primary: string): string {
  const { command, stack, stackFile, manager } = environment;
  const edit = `edit ${stackFile}: primary: ${lab.hosts.at(-1)?.name}`;
  const line = (typed: string, what: string) => `  ${typed.padEnd(edit.length + 9)}# ${what}`;
  return [
    "The hosts run on. Try:",
    line(". .tools/env", "this checkout's Pulumi"),
    line(edit, "or parameters, synchronous, members"),
    line(`pulumi preview --stack ${stack} --diff`, "the checks, the plan, the expected gap"),
    `  pulumi up --stack ${stack}`,
    line("lab/lab --help", "kill, partition or freeze a host, then preview again"),
    line(command, "once more, the other way round"),
    line("make demo-down", "removes it all"),
    ...(manager === "pacemaker" ? failover(lab, primary, stack) : []),
  ].join("\n");
}

function failover({ hosts, keyFile, knownHostsFile, virtualIp }: DemoHosts, primary: string, stack: string): string[] {
  const others = hosts.filter(({ name }) => name !== primary);
  const [key, known] = [keyFile, knownHostsFile].map((file) => relative(root, file));
  return [
    "",
    `Or let the power of the primary fail, and look from ${others[0]?.name}:`,
    `  lab/lab kill ${primary}`,
    `  ssh -i ${key} -o UserKnownHostsFile=${known} root@${others[0]?.address} crm_mon -1A`,
    `  pulumi preview --stack ${stack} --diff`,
    `After some 4 s ${primary} is UNCLEAN, and OFFLINE once the management board has switched it off and on (.lab/board.log). Within 10`,
    ...(others.length === 1 ? afterwardsPgsql : afterwardsPaf)(primary, others, virtualIp),
  ];
}

type Afterwards = (primary: string, others: DemoHosts["hosts"], virtualIp: string) => string[];

const afterwardsPaf: Afterwards = (primary, others, virtualIp) => [
  `to 20 s ${others.map(({ name }) => name).join(" or ")} is Promoted, one that has every acknowledged row, and ${virtualIp} is there. ${primary} boots 20 s after`,
  "it was switched on, and Pacemaker starts it as a standby; where it has WAL that the new primary lacks, pulumi up",
  "rewinds it. Preview says who is primary now: write that name at primary: in the stack file.",
];

/** PGSQL.lock keeps a former primary down. */
const afterwardsPgsql: Afterwards = (primary, others, virtualIp) => [
  `to 30 s ${others[0]?.name} is Promoted, with every acknowledged row, and ${virtualIp} is there. ${primary} boots 20 s after it was`,
  "switched on, and the agent refuses to start it: PGSQL.lock marks a former primary. Preview says who is primary now:",
  "write that name at primary: in the stack file, and pulumi up makes the other one its standby again.",
];
