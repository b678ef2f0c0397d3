import { describe, expect, it } from "vitest";
import { type Data, documented, faults, hostKey, hosts, orders } from "../test/support/stackFiles.ts";
import { parseConnections } from "./connections.ts";

describe("one fault of the hosts, of the way to them, or of the networks", () => {
  const keyRule =
    'a public key such as "ssh-ed25519 AAAA...". Copy the line from /etc/ssh/ssh_host_ed25519_key.pub on the host.';
  const addressRule = "an IP address such as 198.51.100.11. Correct the address.";

  it.each<[string, Data, string[]]>([
    [
      "a host without key",
      { hosts: { ...hosts, pg2: { address: "198.51.100.12" } } },
      [`pgha:hosts.pg2.hostKey: found nothing, expected ${keyRule}`],
    ],
    [
      "a host key of another form",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, hostKey: "AAAA" } } },
      [`pgha:hosts.pg2.hostKey: found AAAA, expected ${keyRule}`],
    ],
    [
      "an address of three numbers",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, address: "198.51.100" } } },
      [`pgha:hosts.pg2.address: found 198.51.100, expected ${addressRule}`],
    ],
    [
      "a name as address",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, address: "pg2.example" } } },
      [`pgha:hosts.pg2.address: found pg2.example, expected ${addressRule}`],
    ],
    [
      "an address with a zone",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, address: "fe80::1%eth0" } } },
      [`pgha:hosts.pg2.address: found fe80::1%eth0, expected ${addressRule}`],
    ],
    [
      "no address",
      { hosts: { ...hosts, pg2: { hostKey } } },
      [
        "pgha:hosts.pg2.address: found nothing, expected an IP address, or one per network: { service, cluster, replication }. Write where SSH reaches it.",
      ],
    ],
    [
      "two hosts with one address",
      { hosts: { ...hosts, pg2: hosts.pg1 } },
      [
        "pgha:hosts.pg2.address: found 198.51.100.11 port 22, which is also pg1, expected an address of its own for every host. Correct one of the two.",
      ],
    ],
    [
      "an SSH port",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, sshPort: 65536 } } },
      ["pgha:hosts.pg2.sshPort: found 65536, expected a TCP port from 1 to 65535. Correct the port."],
    ],
    [
      "a package name",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, packages: ["x; reboot"] } } },
      ["pgha:hosts.pg2.packages.0: found x; reboot, expected the name of a Debian package. Correct it."],
    ],
    [
      "a command without create",
      { hosts: { ...hosts, pg2: { ...hosts.pg2, commands: { tune: {} } } } },
      ["pgha:hosts.pg2.commands.tune.create: found nothing, expected a text. Add it."],
    ],
    ["hosts as text", { hosts: "pg1" }, [`pgha:hosts: found pg1, expected keys with values. ${documented}`]],
    ["ssh as text", { ssh: "root" }, [`pgha:ssh: found root, expected keys with values. ${documented}`]],
    [
      "an SSH user of no letters",
      { ssh: { user: "" } },
      [`pgha:ssh.user: found an empty text, expected a text that is not empty. ${documented}`],
    ],
    [
      "a jump host without key",
      { ssh: { jump: { address: "bastion" } } },
      [`pgha:ssh.jump.hostKey: found nothing, expected ${keyRule}`],
    ],
    [
      "a network",
      { networks: { office: "198.51.100.0/33" } },
      [
        "pgha:networks.office: found 198.51.100.0/33, expected a network such as 198.51.100.0/24. Write the address, a slash and the number of bits.",
      ],
    ],
    [
      "a host outside its network",
      { networks: { service: "192.0.2.0/24" }, hosts: { pg1: hosts.pg1 }, clusters: {} },
      [
        "pgha:hosts.pg1.address.service: found 198.51.100.11, expected an address in pgha:networks.service (192.0.2.0/24). Correct the address or the network.",
      ],
    ],
    ["clusters as a list", { clusters: [] }, [`pgha:clusters: found [], expected keys with values. ${documented}`]],
    [
      "a cluster as text",
      { clusters: { orders: "pg1" } },
      [`pgha:clusters.orders: found pg1, expected keys with values. ${documented}`],
    ],
    [
      "a cluster's name",
      { clusters: { Orders: orders } },
      [
        "pgha:clusters.Orders: found the name Orders, expected a name of small letters, digits and hyphens, at most 40 characters. Rename it.",
      ],
    ],
  ])("%s", (_, config, expected) => {
    expect(faults(config)).toEqual(expected);
  });
});

it("the provider gets the hosts alone, and their faults alone", () => {
  const config = { hosts: JSON.stringify(hosts), ssh: JSON.stringify({ user: "deploy" }), clusters: "nonsense" };
  const { targets, faults: found } = parseConnections(config);
  expect(found).toEqual([]);
  expect(targets.map(({ name, address, user, port }) => [name, address, user, port])).toEqual([
    ["pg1", "198.51.100.11", "deploy", 22],
    ["pg2", "198.51.100.12", "deploy", 22],
    ["pg3", "198.51.100.13", "deploy", 22],
  ]);
  expect(parseConnections({ hosts: "{}" })).toEqual({ targets: [], faults: [] });
});
