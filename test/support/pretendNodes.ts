import { createHash } from "node:crypto";
import { corosyncConfPath, corosyncKeyPath } from "../../model/pacemaker/corosyncConf.ts";
import type { CommandResult, RemoteCommand } from "../../remote/command.ts";
import { Unreachable } from "../../remote/errors.ts";
import type { RemoteHost, RemoteHosts } from "../../remote/host.ts";

/** One pretended host: its files, its two services, and every command that it got. */
export interface PretendNode {
  readonly files: Map<string, string>;
  running: boolean;
  enabled: boolean;
  reachable: boolean;
  readonly commands: RemoteCommand[];
  /** What corosync-cfgtool says of its rings. Default: nothing. */
  rings?: string;
}

export interface PretendNodes extends RemoteHosts {
  readonly nodes: Readonly<Record<string, PretendNode>>;
  /** Pacemaker's configuration, the same on every node. */
  cib: string;
  /** Somebody else changes it just before the next change that is made here. */
  disturbOnce(change: (cib: string) => string): void;
  /** Those commands of this host that change something there. */
  orders(name: string): string[];
}

/** Hosts whose Corosync and Pacemaker are pretended: they join at once, and take a configuration for the version it was made for. */
export function createPretendNodes(names: readonly string[]): PretendNodes {
  const nodes = Object.fromEntries(
    names.map((name): [string, PretendNode] => [
      name,
      { files: new Map(), running: true, enabled: true, reachable: true, commands: [] },
    ]),
  );
  let cib = emptyCib(names);
  let disturb: ((text: string) => string) | undefined;
  const version = (text: string) => Number(/ epoch="(\d+)"/.exec(text)?.[1]);

  function answer(name: string, node: PretendNode, { argv, stdin = "", purpose }: RemoteCommand): string | number {
    const text = stdin.toString();
    if (purpose.startsWith("look at Corosync")) return facts(name, node);
    if (purpose.startsWith("clear the one-node")) node.running = false;
    else if (purpose.startsWith("write ")) {
      const path = argv[4] ?? "";
      const same = node.files.get(path) === text;
      node.files.set(path, text);
      return same ? "same\n" : "changed\n";
    } else if (purpose.startsWith("start Corosync")) Object.assign(node, { running: true, enabled: true });
    else if (purpose.startsWith("remove Corosync")) {
      Object.assign(node, { running: false, enabled: false });
      for (const path of [corosyncConfPath, corosyncKeyPath]) node.files.delete(path);
    } else if (purpose.startsWith("read Pacemaker's configuration")) {
      return cib;
    } else if (purpose.startsWith("change Pacemaker's configuration")) {
      if (disturb !== undefined) cib = disturb(cib);
      disturb = undefined;
      const bytes = Number(argv[4]);
      const before = Buffer.from(text).subarray(0, bytes).toString();
      if (version(before) !== version(cib)) return 103;
      cib = Buffer.from(text).subarray(bytes).toString();
    } else if (purpose.startsWith("read Pacemaker's status")) return statusOf(cib, names);
    else if (!/wait until Pacemaker|have Corosync read|have Pacemaker forget/.test(purpose)) {
      throw new Error(`${name}: nothing pretends to ${purpose}`);
    }
    return "";
  }

  function facts(name: string, node: PretendNode): string {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const conf = node.files.get(corosyncConfPath);
    const key = node.files.get(corosyncKeyPath);
    return [
      ...(conf === undefined ? [] : [`conf ${base64(conf)}`]),
      ...(key === undefined ? [] : [`key ${createHash("sha256").update(key).digest("hex")}`]),
      ...["corosync", "pacemaker"].flatMap((service) => [
        ...(node.running ? [`active ${service}`] : []),
        ...(node.enabled ? [`enabled ${service}`] : []),
      ]),
      "address 127.0.0.1",
      `address 192.0.2.1${name.slice(2)}`,
      ...(node.running ? [`cib ${base64(cib)}`, `status ${base64(statusOf(cib, names))}`] : []),
      ...(node.rings === undefined ? [] : [`rings ${base64(node.rings)}`]),
      "",
    ].join("\n");
  }

  function hostOf(name: string): RemoteHost {
    const node = nodes[name];
    if (node === undefined) throw new Error(`${name} is not pretended`);
    const run = async (command: RemoteCommand): Promise<CommandResult> => {
      if (!node.reachable) throw new Unreachable(name, `${name}: found no answer, expected sshd. Start the host.`);
      node.commands.push(command);
      const said = answer(name, node, command);
      return typeof said === "number"
        ? { exitCode: said, stdout: "", stderr: "Update was older than existing configuration" }
        : { exitCode: 0, stdout: said, stderr: "" };
    };
    const unused = () => Promise.reject(new Error("not pretended"));
    return { name, run, must: async (command) => (await run(command)).stdout, start: unused, socket: unused };
  }

  return {
    nodes,
    get cib() {
      return cib;
    },
    set cib(text) {
      cib = text;
    },
    disturbOnce(change) {
      disturb = change;
    },
    orders(name) {
      const purposes = nodes[name]?.commands.map(({ purpose }) => purpose) ?? [];
      return purposes.filter((purpose) => !/^(look at|read|wait)/.test(purpose));
    },
    names: async () => names,
    host: hostOf,
    close() {},
  };
}

function emptyCib(names: readonly string[]): string {
  const states = names.map((name) => `<node_state uname="${name}" crmd="1763766000" join="member"/>`);
  return `<cib admin_epoch="0" epoch="5" num_updates="3" have-quorum="1"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="dc" name="dc-version" value="3.0.0"/></cluster_property_set></crm_config><nodes/><resources/><constraints/></configuration><status>${states.join("")}</status></cib>`;
}

/** What crm_mon says when the first node is primary and everything else is where it should be. */
function statusOf(cib: string, names: readonly string[]): string {
  const flags = `active="true" orphaned="false" blocked="false" managed="true" maintenance="false" failed="false" failure_ignored="false"`;
  const resource = (id: string, agent: string, role: string, node: string) =>
    `<resource id="${id}" resource_agent="${agent}" role="${role}" ${flags} nodes_running_on="1"><node name="${node}" id="1" cached="true"/></resource>`;
  const instances = names.map((name, index) =>
    resource("pgha-orders", "ocf:heartbeat:pgsqlms", index === 0 ? "Promoted" : "Unpromoted", name),
  );
  const address = cib.includes('<group id="pgha-orders-addresses">')
    ? `<group id="pgha-orders-addresses" number_resources="1" maintenance="false" managed="true" disabled="false">${resource("pgha-orders-primary-ip", "ocf:heartbeat:IPaddr2", "Started", names[0] ?? "")}</group>`
    : "";
  const clone = cib.includes('<clone id="pgha-orders-clone">')
    ? `<clone id="pgha-orders-clone" multi_state="true" unique="false" maintenance="false" managed="true" disabled="false" failed="false" failure_ignored="false">${instances.join("")}</clone>`
    : "";
  return `<pacemaker-result api-version="2.38" request="crm_mon"><summary><current_dc present="true" name="${names[0]}" with_quorum="true"/><cluster_options stonith-enabled="false" maintenance-mode="false"/></summary><nodes/><resources>${clone}${address}</resources><status code="0" message="OK"/></pacemaker-result>`;
}
