import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { UserError } from "../model/fault.ts";
import type { HostNames, LabNames } from "./names.ts";
import { networkNames } from "./names.ts";
import { must, run } from "./shell.ts";

const forwarding = "/proc/sys/net/ipv4/ip_forward";
/** Remembers that forwarding was off before the first lab; /run forgets it with the boot, as the kernel does. */
const forwardingWasOff = "/run/pgha-lab.forwarding-was-off";

export function interfaceExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

/**
 * Bridges, the way out, and the lab's nft tables. Repeating it repairs what is half there and heals every fault.
 * `owner` is the folder of the lab's files: a lab of the same name from another checkout is refused while its hosts run;
 * bridges that nobody is connected with any more are taken over.
 */
export async function createNetworks(lab: LabNames, owner: string): Promise<void> {
  await refuseForeignAddress(lab);
  refuseForeignBridge(lab, owner);
  const commands: string[] = [];
  for (const network of lab.networks) {
    const bridge = network.bridge;
    if (!interfaceExists(bridge)) commands.push(`link add ${bridge} type bridge forward_delay 0 mcast_snooping 0`);
    commands.push(`link set ${bridge} addrgenmode none alias ${owner}`, `link set ${bridge} up`);
    if (network.name === "service") commands.push(`address replace ${lab.gateway}/26 dev ${bridge}`);
  }
  await must(["ip", "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
  if (readFileSync(forwarding, "utf8").trim() === "0") {
    writeFileSync(forwardingWasOff, "");
    writeFileSync(forwarding, "1");
  }
  await must(["nft", "-f", "-"], { stdin: `${removeTables(lab)}${tables(lab)}` });
}

/** Only the service network leads out, through the machine; the bridge table starts with no fault in it. */
function tables(lab: LabNames): string {
  const service = lab.networks.find((network) => network.name === "service");
  if (service === undefined) throw new Error("a lab without a service network");
  return `
table ip ${lab.table} {
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${service.bridge}" oifname != "${service.bridge}" tcp flags syn tcp option maxseg size set rt mtu
    iifname != "${service.bridge}" oifname "${service.bridge}" tcp flags syn tcp option maxseg size set rt mtu
  }
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${service.subnet} ip daddr != ${service.subnet} oifname != "${service.bridge}" masquerade
  }
}
table bridge ${lab.table} {
  set cut { type ifname; }
  set pairs { type ifname . ifname; }
  chain from_hosts {
    type filter hook prerouting priority -300; policy accept;
    iifname @cut drop
    jump loss
  }
  chain between_hosts {
    type filter hook forward priority 0; policy accept;
    iifname . oifname @pairs drop
  }
  chain to_hosts {
    type filter hook postrouting priority 300; policy accept;
    oifname @cut drop
    jump loss_to
  }
  chain loss { }
  chain loss_to { }
}
`;
}

/** Declared before they are deleted, so that deleting works whether they exist or not. */
function removeTables(lab: LabNames): string {
  return ["ip", "bridge"]
    .map((family) => `table ${family} ${lab.table} {}\ndelete table ${family} ${lab.table}\n`)
    .join("");
}

/** Removes bridges and tables, and switches forwarding off again after the last lab if it was off before the first. */
export async function removeNetworks(lab: LabNames): Promise<void> {
  for (const network of lab.networks) {
    if (interfaceExists(network.bridge)) await must(["ip", "link", "delete", network.bridge]);
  }
  await must(["nft", "-f", "-"], { stdin: removeTables(lab) });
  const left = await must(["nft", "list", "tables"]);
  if (existsSync(forwardingWasOff) && !left.includes("table ip pgha_")) {
    writeFileSync(forwarding, "0");
    rmSync(forwardingWasOff, { force: true });
  }
}

/** Connects a booting host's three machine-side interfaces with the bridges. */
export async function plugIn(lab: LabNames, host: HostNames): Promise<void> {
  const commands = lab.networks.map((network) => {
    const port = host.ports[network.name];
    return `link set ${port} addrgenmode none\nlink set ${port} master ${network.bridge} up\n`;
  });
  await must(["ip", "-batch", "-"], { stdin: commands.join("") });
}

/** Cuts a host's cables, all at once: nothing that its processes say while they die reaches anybody. */
export async function unplug(host: HostNames): Promise<void> {
  const ports = networkNames.map((name) => host.ports[name]).filter(interfaceExists);
  if (ports.length === 0) return;
  await run(["ip", "-force", "-batch", "-"], {
    stdin: ports.map((port) => `link set ${port} nomaster down\n`).join(""),
  });
}

/** Deletes the machine-side interfaces that a dead host may have left behind. */
export async function removePorts(host: HostNames): Promise<void> {
  for (const name of networkNames) {
    const port = host.ports[name];
    if (interfaceExists(port)) await run(["ip", "link", "delete", port]);
  }
}

/** Machine-side interfaces of a lab's hosts, also of hosts that no state file knows. */
export async function leftPorts(lab: LabNames): Promise<string[]> {
  const output = await must(["ip", "-json", "link", "show", "type", "veth"]);
  const links: unknown = output.trim() === "" ? [] : JSON.parse(output);
  if (!Array.isArray(links)) return [];
  const names = links.map((link: { ifname?: string }) => link.ifname ?? "");
  return names.filter((name) => new RegExp(`^${lab.lab}-pg\\d+[scr]$`).test(name));
}

function isUnused(bridge: string): boolean {
  return readdirSync(`/sys/class/net/${bridge}/brif`).length === 0;
}

function refuseForeignBridge(lab: LabNames, owner: string): void {
  for (const network of lab.networks) {
    const file = `/sys/class/net/${network.bridge}/ifalias`;
    const found = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    if (found === "" || found === owner || isUnused(network.bridge)) continue;
    throw new UserError(
      `lab ${lab.lab}: found bridge ${network.bridge} of a lab that runs from ${found}, expected none or this one's (${owner}). Run: lab/lab down --lab ${lab.lab}`,
    );
  }
}

/** Another network of the machine that uses the lab's addresses would lose its traffic to the lab. */
async function refuseForeignAddress(lab: LabNames): Promise<void> {
  const output = await must(["ip", "-json", "-4", "address", "show", "to", labSubnet(lab)]);
  const links: unknown = JSON.parse(output === "" ? "[]" : output);
  if (!Array.isArray(links)) return;
  const foreign = links
    .map((link: { ifname?: string }) => link.ifname)
    .find((name) => name !== undefined && !lab.networks.some((network) => network.bridge === name));
  if (foreign === undefined) return;
  throw new UserError(
    `lab ${lab.lab}: found interface ${foreign} with an address in ${labSubnet(lab)}, expected nobody else there. Take down the lab of that name, or give this one another name with --lab.`,
  );
}

function labSubnet(lab: LabNames): string {
  const service = lab.networks.find((network) => network.name === "service");
  return service?.subnet ?? "";
}
