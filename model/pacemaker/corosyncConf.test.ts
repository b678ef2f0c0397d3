import { describe, expect, it } from "vitest";
import { faultText } from "../fault.ts";
import { belongingOf, type CorosyncShape, numberNodes, parseCorosyncConf, renderCorosyncConf } from "./corosyncConf.ts";

const shape: CorosyncShape = {
  name: "main",
  detection: "fast",
  nodes: {
    pg1: { id: 1, addresses: ["192.0.2.11", "198.51.100.11"] },
    pg3: { id: 3, addresses: ["192.0.2.13", "198.51.100.13"] },
    pg4: { id: 2, addresses: ["192.0.2.14", "198.51.100.14"] },
  },
};

const debian = `# Please read the corosync.conf.5 manual page
totem {
	version: 2
	cluster_name: debian
	crypto_cipher: none
	crypto_hash: none
}
quorum {
	provider: corosync_votequorum
}
nodelist {
	# Change/uncomment/add node sections to match cluster configuration
	node {
		name: pg1
		nodeid: 1
		ring0_addr: 127.0.0.1
	}
}
`;

it("corosync.conf has a node for each host, by its number, with an address on every ring", () => {
  expect(
    renderCorosyncConf(shape),
  ).toBe(`# Corosync cluster main: laid by pgha. Changes by hand are shown by \`pulumi preview\` and undone by \`pulumi up\`.
totem {
  version: 2
  cluster_name: main
  transport: knet
  token: 1000
  crypto_cipher: aes256
  crypto_hash: sha256
}
nodelist {
  node {
    name: pg1
    nodeid: 1
    ring0_addr: 192.0.2.11
    ring1_addr: 198.51.100.11
  }
  node {
    name: pg4
    nodeid: 2
    ring0_addr: 192.0.2.14
    ring1_addr: 198.51.100.14
  }
  node {
    name: pg3
    nodeid: 3
    ring0_addr: 192.0.2.13
    ring1_addr: 198.51.100.13
  }
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_syslog: yes
  to_logfile: no
}
`);
});

it("of two nodes each has quorum alone, once they have seen each other", () => {
  const { pg4: _, ...two } = shape.nodes;
  expect(renderCorosyncConf({ ...shape, nodes: two })).toContain(`
quorum {
  provider: corosync_votequorum
  two_node: 1
}
`);
});

it("what was written is read again", () => {
  expect(parseCorosyncConf(renderCorosyncConf(shape))).toEqual({
    name: "main",
    nodes: [
      { name: "pg1", id: 1, addresses: ["192.0.2.11", "198.51.100.11"] },
      { name: "pg4", id: 2, addresses: ["192.0.2.14", "198.51.100.14"] },
      { name: "pg3", id: 3, addresses: ["192.0.2.13", "198.51.100.13"] },
    ],
  });
});

describe("the number of a node", () => {
  const host = (name: string) => ({ name, addresses: [`${name}-address`] });

  it("follows the order at creation", () => {
    expect(numberNodes([host("pg1"), host("pg2")])).toEqual({
      pg1: { id: 1, addresses: ["pg1-address"] },
      pg2: { id: 2, addresses: ["pg2-address"] },
    });
  });

  it("stays when another host comes or goes, and is not given again while the old one may still be known", () => {
    const before = { pg1: { id: 1 }, pg2: { id: 2 }, pg3: { id: 3 } };
    expect(numberNodes([host("pg0"), host("pg1"), host("pg3")], before)).toEqual({
      pg0: { id: 4, addresses: ["pg0-address"] },
      pg1: { id: 1, addresses: ["pg1-address"] },
      pg3: { id: 3, addresses: ["pg3-address"] },
    });
  });
});

describe("a host", () => {
  const kind = (conf: string | undefined) => belongingOf("pg1", conf, shape).kind;

  it("is free without a corosync.conf, and with the one of Debian's packages", () => {
    expect(kind(undefined)).toBe("free");
    expect(kind(debian)).toBe("free");
    expect(kind(debian.replace("cluster_name: debian", "cluster_name: x"))).toBe("free");
  });

  it("is ours with ours, also with some of its nodes only, or with one of before", () => {
    const own = renderCorosyncConf(shape);
    expect(kind(own)).toBe("ours");
    const { pg4: left, ...rest } = shape.nodes;
    if (left === undefined) throw new Error("pg4 is a node");
    expect(kind(renderCorosyncConf({ ...shape, nodes: rest }))).toBe("ours");
    expect(belongingOf("pg1", own, { ...shape, nodes: rest }, { pg4: left }).kind).toBe("ours");
  });

  it.each<[string, CorosyncShape]>([
    ["web: pg1 (1), pg4 (2), pg3 (3)", { ...shape, name: "web" }],
    ["main: pg1 (7)", { ...shape, nodes: { pg1: { id: 7, addresses: ["192.0.2.11"] } } }],
    [
      "main: pg1 (1), web1 (2)",
      { ...shape, nodes: { pg1: { id: 1, addresses: ["192.0.2.11"] }, web1: { id: 2, addresses: ["192.0.2.12"] } } },
    ],
  ])("of the cluster %s is refused", (found, other) => {
    const belonging = belongingOf("pg1", renderCorosyncConf(other), shape);
    expect(belonging.kind === "foreign" && faultText(belonging.fault)).toBe(
      `pgha:hosts.pg1: found a node of the Corosync cluster ${found}, expected none, or main: pg1 (1), pg3 (3), pg4 (2). Choose another host, or take it out of that cluster first and remove /etc/corosync/corosync.conf.`,
    );
  });
});
