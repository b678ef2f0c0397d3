import { expect, it } from "vitest";
import { faults, hosts, orders, parsed } from "../../test/support/stackFiles.ts";

/** A cluster on pg1 to pg3 that is fenced so. */
function fencedBy(fencing: object) {
  const clusters = { orders: { ...orders, failover: { manager: "pacemaker" } } };
  return { hosts, clusters, pacemaker: { main: { fencing } } };
}

/** What is wrong with it. */
function wrong(fencing: object): string[] {
  const start = "pgha:pacemaker.main.fencing.";
  return faults(fencedBy(fencing)).map((fault) => (fault.startsWith(start) ? fault.slice(start.length) : fault));
}

const board = (host: string) => ({
  agent: "fence_ipmilan",
  hosts: [host],
  parameters: { ip: "192.0.2.101", username: "pgha", lanplus: true },
  secretParameters: { password: "BOARD" },
});
const boards = { b1: board("pg1"), b2: board("pg2"), b3: board("pg3") };
const machines = { pg1: "vm-1", pg2: "vm-2", pg3: "vm-3" };
const instances = { pg1: "i-0123456789abcdef0", pg2: "i-01234567", pg3: "i-0123456789abcdef2" };

it.each<[string, object]>([
  ["a board for each host", { devices: boards }],
  [
    "a hypervisor that calls the hosts otherwise",
    {
      devices: {
        hypervisor: {
          agent: "fence_virsh",
          hosts: machines,
          parameters: { ip: "hypervisor.example", username: "fence", identity_file: "/etc/pgha/fence" },
        },
      },
    },
  ],
  [
    "a cloud, by the instances' own profile",
    { devices: { cloud: { agent: "fence_aws", hosts: instances, parameters: { region: "eu-central-1" } } } },
  ],
  [
    "two shared disks",
    {
      devices: {
        disks: { agent: "fence_sbd", hosts: ["pg1", "pg2", "pg3"], parameters: { devices: "/dev/sdb,/dev/sdc" } },
      },
    },
  ],
  ["an agent that is not known here", { devices: { power: { agent: "fence_apc", hosts: ["pg1", "pg2", "pg3"] } } }],
  ["levels", { devices: boards, levels: { pg1: [["b1"]] } }],
])("complete is %s", (_what, fencing) => {
  expect(parsed(fencedBy(fencing)).pacemaker[0]?.fencing.length).toBeGreaterThan(0);
});

it("a board needs its address, its user and a proof, for one host only", () => {
  const devices = { b: { agent: "fence_ipmilan", hosts: ["pg1", "pg2", "pg3"], parameters: { method: "off" } } };
  expect(wrong({ devices })).toEqual([
    "devices.b.parameters.ip: found nothing, expected the device's address, such as 192.0.2.101. Add it under parameters.",
    "devices.b.parameters.username: found nothing, expected the user's name at the device. Add it under parameters.",
    'devices.b.parameters.method: found off, expected "onoff" or "cycle". Write one of the two.',
    "devices.b.secretParameters: found no password, no password_script, expected one of them: fence_ipmilan has to prove who it is. Add it, such as secretParameters: { password: KEY }.",
    "devices.b.hosts: found pg1, pg2, pg3, expected one host: at one address fence_ipmilan switches off one, whichever of them is meant. Declare one device for each host.",
  ]);
});

it("a password in clear is refused, and not shown", () => {
  const { secretParameters: _, ...rest } = board("pg1");
  const b1 = { ...rest, parameters: { ...rest.parameters, password: "hunter2" } };
  const said = wrong({ devices: { ...boards, b1 } });
  expect(said).toEqual([
    "devices.b1.parameters.password: found a secret in clear, expected it under secretParameters, with the key of pgha:fencingSecrets that has it. Write secretParameters: { password: KEY }, and change the secret: it stood in a file.",
  ]);
});

it("what is secret counts as there", () => {
  const { parameters, ...rest } = board("pg1");
  const b1 = { ...rest, parameters: { ip: parameters.ip }, secretParameters: { password: "BOARD", username: "USER" } };
  expect(parsed(fencedBy({ devices: { ...boards, b1 } })).pacemaker[0]?.fencing).toHaveLength(3);
});

it("a hypervisor and a cloud know hosts by other names", () => {
  const virsh = {
    agent: "fence_virsh",
    hosts: ["pg1"],
    parameters: { ip: "192.0.2.9", username: "fence", identity_file: "key" },
  };
  const aws = { agent: "fence_aws", hosts: { pg2: "pg2", pg3: instances.pg3 }, parameters: { region: "Frankfurt" } };
  expect(wrong({ devices: { virsh, aws } })).toEqual([
    expect.stringMatching(/^devices\.virsh\.parameters\.identity_file: found key, expected an absolute path/),
    "devices.virsh.hosts.pg1: found only its name here, expected the name of its virtual machine, such as { pg1: vm-pg1 }. fence_virsh does not know hosts by the names of the stack file.",
    "devices.aws.parameters.region: found Frankfurt, expected a region such as eu-central-1. Correct it.",
    "devices.aws.hosts.pg2: found pg2, expected the id of its instance, such as { pg1: i-0123456789abcdef0 }. fence_aws does not know hosts by the names of the stack file.",
  ]);
});

it("levels name devices that can switch the host off, each once", () => {
  const levels = { pg1: [["b1", "pdu"], ["b2"], ["b1"]], pg9: [["b1"]] };
  expect(wrong({ devices: boards, levels })).toEqual([
    "levels.pg1.0.1: found pdu, expected a device (b1, b2, b3). Correct it.",
    "levels.pg1.1.0: found b2, which cannot switch off pg1, expected a device that has pg1 in its hosts:. Add it there, or name another device.",
    "levels.pg1.2.0: found b1 a second time, expected each device once for a host. Remove one of the two.",
    "levels.pg9: found pg9, expected a host of this Corosync cluster (pg1, pg2, pg3). Correct it.",
  ]);
});
