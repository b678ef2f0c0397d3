import { describe, expect, it } from "vitest";
import { buildEnvironment, type EnvironmentArgs } from "../../components/environment.ts";
import { type Environment, parseEnvironment } from "../../model/environment.ts";
import { defaultLimits } from "../support/shapes.ts";
import { type Registered, recordProgram } from "./recorder.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample";

/** pg1 to pgN with one address to serve and one to replicate; `own` is added to each. */
function hosts(count: number, own: Readonly<Record<string, object>> = {}): object {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => {
      const name = `pg${index + 1}`;
      const address = { service: `198.51.100.1${index + 1}`, replication: `203.0.113.1${index + 1}` };
      return [name, { address, hostKey: key, ...own[name] }];
    }),
  );
}

const orders = { postgresVersion: 17, members: { pg1: {}, pg2: {}, pg3: {} }, primary: "pg1" };

/** Every resource of a stack file, by "type name". */
async function resources(
  stackFile: { ssh?: object; hosts: object; clusters?: object; pacemaker?: object },
  args: Omit<EnvironmentArgs, "environment"> = {},
  change: (environment: Environment) => Environment = (environment) => environment,
): Promise<ReadonlyMap<string, Registered>> {
  const config = Object.fromEntries(Object.entries(stackFile).map(([name, value]) => [name, JSON.stringify(value)]));
  const { environment, faults } = parseEnvironment(config);
  expect(faults).toEqual([]);
  if (environment === undefined) throw new Error("no faults, and no environment");
  const registered = await recordProgram(() => void buildEnvironment({ ...args, environment: change(environment) }));
  return new Map(registered.map((resource) => [`${resource.type} ${resource.name}`, resource]));
}

/** "type name <- parent | what it waits for" */
function tree(found: ReadonlyMap<string, Registered>): string[] {
  return [...found].map(
    ([name, { parent, dependsOn }]) => `${name} <- ${parent || "the stack"} | ${dependsOn.join(", ") || "nothing"}`,
  );
}

function propsOf(found: ReadonlyMap<string, Registered>, resource: string): Readonly<Record<string, unknown>> {
  const registered = found.get(resource);
  if (registered === undefined) throw new Error(`no ${resource} among ${[...found.keys()].join(", ")}`);
  return registered.props;
}

describe("what a stack file becomes", () => {
  it("one host and one member: looked at, prepared, furnished, then the cluster", async () => {
    const found = await resources({
      hosts: hosts(1),
      clusters: { orders: { postgresVersion: 17, members: { pg1: {} }, primary: "pg1" } },
    });
    expect(tree(found)).toEqual([
      "command:remote:Command pg1-prepare <- pgha:index:Host pg1 | nothing",
      "pgha:index:File pg1-hosts <- pgha:index:Host pg1 | pg1-prepare",
      "pgha:index:Host pg1 <- the stack | preflight",
      "pgha:index:Instance orders-pg1 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Packages pg1-packages <- pgha:index:Host pg1 | pg1-prepare",
      "pgha:index:PostgresCluster orders <- the stack | pg1-hosts, pg1-packages, pg1-prepare",
      "pgha:index:Preflight preflight <- the stack | nothing",
      "pgha:index:ReplicationGroup orders <- pgha:index:PostgresCluster orders | orders-pg1",
    ]);
  });

  it("three hosts and a cluster on them: hosts side by side, the cluster after all of them", async () => {
    expect(tree(await resources({ hosts: hosts(3), clusters: { orders } }))).toEqual([
      "command:remote:Command pg1-prepare <- pgha:index:Host pg1 | nothing",
      "command:remote:Command pg2-prepare <- pgha:index:Host pg2 | nothing",
      "command:remote:Command pg3-prepare <- pgha:index:Host pg3 | nothing",
      "pgha:index:File pg1-hosts <- pgha:index:Host pg1 | pg1-prepare",
      "pgha:index:File pg2-hosts <- pgha:index:Host pg2 | pg2-prepare",
      "pgha:index:File pg3-hosts <- pgha:index:Host pg3 | pg3-prepare",
      "pgha:index:Host pg1 <- the stack | preflight",
      "pgha:index:Host pg2 <- the stack | preflight",
      "pgha:index:Host pg3 <- the stack | preflight",
      "pgha:index:Instance orders-pg1 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Instance orders-pg2 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Instance orders-pg3 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Packages pg1-packages <- pgha:index:Host pg1 | pg1-prepare",
      "pgha:index:Packages pg2-packages <- pgha:index:Host pg2 | pg2-prepare",
      "pgha:index:Packages pg3-packages <- pgha:index:Host pg3 | pg3-prepare",
      "pgha:index:PostgresCluster orders <- the stack | " +
        "pg1-hosts, pg1-packages, pg1-prepare, pg2-hosts, pg2-packages, pg2-prepare, pg3-hosts, pg3-packages, pg3-prepare",
      "pgha:index:Preflight preflight <- the stack | nothing",
      "pgha:index:ReplicationGroup orders <- pgha:index:PostgresCluster orders | orders-pg1, orders-pg2, orders-pg3",
    ]);
  });

  it("two clusters: each waits only for the hosts of its own members", async () => {
    const found = await resources({
      hosts: hosts(3),
      clusters: {
        orders: { postgresVersion: 17, members: { pg1: {}, pg2: {} }, primary: "pg1" },
        stock: { postgresVersion: 17, members: { a: { host: "pg2", port: 5433 }, pg3: {} }, primary: "a" },
      },
    });
    const clusters = tree(found).filter((line) => /Instance|PostgresCluster \w+ <-|ReplicationGroup/.test(line));
    expect(clusters).toEqual([
      "pgha:index:Instance orders-pg1 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Instance orders-pg2 <- pgha:index:PostgresCluster orders | nothing",
      "pgha:index:Instance stock-a <- pgha:index:PostgresCluster stock | nothing",
      "pgha:index:Instance stock-pg3 <- pgha:index:PostgresCluster stock | nothing",
      "pgha:index:PostgresCluster orders <- the stack | " +
        "pg1-hosts, pg1-packages, pg1-prepare, pg2-hosts, pg2-packages, pg2-prepare",
      "pgha:index:PostgresCluster stock <- the stack | " +
        "pg2-hosts, pg2-packages, pg2-prepare, pg3-hosts, pg3-packages, pg3-prepare",
      "pgha:index:ReplicationGroup orders <- pgha:index:PostgresCluster orders | orders-pg1, orders-pg2",
      "pgha:index:ReplicationGroup stock <- pgha:index:PostgresCluster stock | stock-a, stock-pg3",
    ]);
    expect(propsOf(found, "pgha:index:Packages pg2-packages")).toEqual({
      host: "pg2",
      names: ["openssh-client", "postgresql-17", "python3-minimal", "sudo"],
    });
  });

  it("hosts without a cluster are prepared all the same", async () => {
    const found = await resources({ hosts: hosts(1) });
    expect([...found.keys()]).toEqual([
      "command:remote:Command pg1-prepare",
      "pgha:index:File pg1-hosts",
      "pgha:index:Host pg1",
      "pgha:index:Packages pg1-packages",
      "pgha:index:Preflight preflight",
    ]);
    expect(propsOf(found, "pgha:index:Packages pg1-packages")).toEqual({
      host: "pg1",
      names: ["openssh-client", "python3-minimal", "sudo"],
    });
  });
});

describe("a host", () => {
  it("is looked at with all that is to live there, before anything is touched on any", async () => {
    const found = await resources({
      hosts: hosts(2),
      clusters: {
        orders: {
          postgresVersion: 15,
          members: { pg1: { walDirectory: "/wal/orders" }, b: { host: "pg1", port: 5433 } },
          primary: "pg1",
        },
      },
    });
    const common = { cluster: "orders", postgresVersion: 15, replicationAddress: "203.0.113.11" };
    expect(propsOf(found, "pgha:index:Preflight preflight")).toEqual({
      hosts: {
        pg1: {
          address: "198.51.100.11",
          members: [
            {
              ...common,
              member: "pg1",
              port: 5432,
              dataDirectory: "/var/lib/postgresql/15/orders-pg1",
              walDirectory: "/wal/orders",
            },
            { ...common, member: "b", port: 5433, dataDirectory: "/var/lib/postgresql/15/orders-b" },
          ],
        },
        pg2: { address: "198.51.100.12", members: [] },
      },
    });
  });

  it("knows every host of the environment by name", async () => {
    const found = await resources({ hosts: hosts(3) });
    for (const host of ["pg1", "pg2", "pg3"]) {
      expect(propsOf(found, `pgha:index:File ${host}-hosts`)).toEqual({
        host,
        path: "/etc/hosts",
        placement: "block",
        content: "198.51.100.11 pg1\n198.51.100.12 pg2\n198.51.100.13 pg3\n",
      });
    }
  });

  it("holds the user's packages beside ours, each once", async () => {
    const found = await resources({
      hosts: hosts(1, { pg1: { packages: ["htop", "postgresql-17", "auditd"] } }),
      clusters: { orders: { postgresVersion: 17, members: { pg1: {} }, primary: "pg1" } },
    });
    expect(propsOf(found, "pgha:index:Packages pg1-packages")).toEqual({
      host: "pg1",
      names: ["auditd", "htop", "openssh-client", "postgresql-17", "python3-minimal", "sudo"],
    });
  });

  it("keeps Debian from making a cluster of its own, before the server's package comes", async () => {
    const { create } = propsOf(await resources({ hosts: hosts(1) }), "command:remote:Command pg1-prepare");
    expect(create).toBe(
      "timeout -k 5 600 sh -c 'set -eu\n" +
        "mkdir -p /etc/postgresql-common/createcluster.d\n" +
        "printf '\\''create_main_cluster = false\\n'\\'' > /etc/postgresql-common/createcluster.d/pgha.conf'",
    );
  });

  it("runs the user's commands after its packages, with a time limit and as root", async () => {
    const commands = { motd: { create: "echo 'it''s ours' > /etc/motd", update: "true", delete: "rm /etc/motd" } };
    const found = await resources({ ssh: { user: "deploy" }, hosts: hosts(1, { pg1: { commands } }) });
    const motd = found.get("command:remote:Command pg1-motd");
    expect(motd).toMatchObject({ parent: "pgha:index:Host pg1", dependsOn: ["pg1-packages"] });
    expect(motd?.props).toMatchObject({
      create: "sudo -n timeout -k 5 600 sh -c 'echo '\\''it'\\'''\\''s ours'\\'' > /etc/motd'",
      update: "sudo -n timeout -k 5 600 sh -c 'true'",
      delete: "sudo -n timeout -k 5 600 sh -c 'rm /etc/motd'",
    });
  });

  it("when a user's command is replaced, the old one is undone before the new one runs", async () => {
    const found = await resources({ hosts: hosts(1, { pg1: { commands: { motd: { create: "true" } } } }) });
    expect(found.get("command:remote:Command pg1-motd")?.deleteBeforeReplace).toBe(true);
    expect(propsOf(found, "command:remote:Command pg1-motd")).not.toHaveProperty("delete");
  });

  it("is connected to with its own host key through its own jump host, and no private key is anywhere", async () => {
    const ssh = {
      user: "deploy",
      port: 2222,
      privateKeyFile: "/home/anna/.ssh/id_ed25519",
      jump: { address: "198.51.100.1", user: "anna", hostKey: key },
    };
    const found = await resources({ ssh, hosts: hosts(1) }, { agentSocketPath: "/tmp/agent.sock" });
    expect(propsOf(found, "command:remote:Command pg1-prepare").connection).toEqual({
      secret: {
        host: "198.51.100.11",
        port: 2222,
        user: "deploy",
        hostKey: key,
        agentSocketPath: "/tmp/agent.sock",
        dialErrorLimit: 10,
        perDialTimeout: 15,
        proxy: {
          host: "198.51.100.1",
          port: 22,
          user: "anna",
          hostKey: key,
          agentSocketPath: "/tmp/agent.sock",
          dialErrorLimit: 10,
          perDialTimeout: 15,
        },
      },
    });
    expect(JSON.stringify([...found.values()])).not.toContain("/home/anna");
  });
});

describe("a cluster", () => {
  const declared = {
    ...orders,
    members: { pg1: {}, pg2: { walDirectory: "/wal/orders" }, pg3: { candidate: false } },
    synchronous: { quorum: 1 },
    parameters: { max_connections: 200, jit: false },
    clientNetworks: ["198.51.100.0/24"],
    onDestroy: "erase",
    eraseConfirmation: "orders",
  };

  it("hands the whole declaration, every default filled in, to the resource that owns its data", async () => {
    const found = await resources({ ssh: { user: "deploy" }, hosts: hosts(3), clusters: { orders: declared } });
    const member = (number: number) => ({
      host: `pg${number}`,
      port: 5432,
      dataDirectory: `/var/lib/postgresql/17/orders-pg${number}`,
      candidate: true,
      replicationAddress: `203.0.113.1${number}`,
      serviceAddress: `198.51.100.1${number}`,
      sshPort: 22,
      hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample",
    });
    expect(propsOf(found, "pgha:index:ReplicationGroup orders")).toEqual({
      cluster: "orders",
      failover: { manager: "none" },
      virtualIps: {},
      postgresVersion: 17,
      members: {
        pg1: member(1),
        pg2: { ...member(2), walDirectory: "/wal/orders" },
        pg3: { ...member(3), candidate: false },
      },
      primary: "pg1",
      synchronous: { quorum: 1 },
      parameters: { max_connections: "200", jit: "off" },
      clientNetworks: ["198.51.100.0/24"],
      walSegmentSize: "16MB",
      slotSizeLimit: "10GB",
      socketUsers: ["deploy"],
      onDrift: "adopt",
      switchBackAfter: "10min",
      rejoin: "auto",
      onDestroy: "erase",
      eraseConfirmation: "orders",
      disposableSlots: [],
      limits: defaultLimits,
    });
  });

  it("gives each member directories and a unit of its own", async () => {
    const found = await resources({ hosts: hosts(3), clusters: { orders: declared } });
    const { unit, ...place } = propsOf(found, "pgha:index:Instance orders-pg2");
    expect(place).toEqual({
      cluster: "orders",
      member: "pg2",
      host: "pg2",
      dataDirectory: "/var/lib/postgresql/17/orders-pg2",
      walDirectory: "/wal/orders",
    });
    expect(unit).toContain("RequiresMountsFor=/var/lib/postgresql/17/orders-pg2 /wal/orders\n");
  });

  it("under Pacemaker its members have what the agent works with, and its hosts what moves its addresses", async () => {
    const underPacemaker = (environment: Environment): Environment => ({
      ...environment,
      clusters: environment.clusters.map((cluster) => ({
        ...cluster,
        failover: { manager: "pacemaker", agent: "paf", corosync: "main" },
        virtualIps: { primary: { address: "198.51.100.50", prefix: 24 } },
      })),
    });
    const found = await resources({ hosts: hosts(3), clusters: { orders } }, {}, underPacemaker);
    expect(propsOf(found, "pgha:index:Instance orders-pg2")).toMatchObject({
      manager: "pacemaker",
      programs: "/usr/lib/postgresql/17/bin",
    });
    expect(propsOf(found, "pgha:index:Packages pg2-packages").names).toEqual(
      expect.arrayContaining(["iproute2", "nftables"]),
    );
  });

  it("who is primary is nothing that an instance knows: another one changes the group alone", async () => {
    const before = await resources({ hosts: hosts(3), clusters: { orders } });
    const after = await resources({ hosts: hosts(3), clusters: { orders: { ...orders, primary: "pg2" } } });
    const changed = [...after].filter(
      ([name, { props }]) => JSON.stringify(props) !== JSON.stringify(before.get(name)?.props),
    );
    expect(changed.map(([name]) => name)).toEqual(["pgha:index:ReplicationGroup orders"]);
  });
});

describe("passwords", () => {
  it("that are declared travel as secrets, and those that are generated come back as secrets", async () => {
    const found = await resources(
      { hosts: hosts(3), clusters: { orders } },
      { superuserPassword: "xyzzy-super", replicationPassword: "xyzzy-replication" },
    );
    const group = found.get("pgha:index:ReplicationGroup orders");
    expect(group?.props).toMatchObject({
      superuserPassword: { secret: "xyzzy-super" },
      replicationPassword: { secret: "xyzzy-replication" },
    });
    expect(group?.secretOutputs).toEqual(["superuserPassword", "replicationPassword"]);
    const elsewhere = [...found.values()].filter((resource) => resource !== group);
    expect(JSON.stringify(elsewhere)).not.toContain("xyzzy");
  });

  it("that are not declared are not sent", async () => {
    const found = await resources({ hosts: hosts(3), clusters: { orders } });
    const props = propsOf(found, "pgha:index:ReplicationGroup orders");
    expect(Object.keys(props).filter((name) => /password/i.test(name))).toEqual([]);
  });
});

describe("Pacemaker", () => {
  const pacemaker = {
    main: {
      rings: ["replication", "service"],
      fencing: {
        devices: {
          power: {
            agent: "fence_virsh",
            hosts: { pg1: "vm-1", pg2: "vm-2", pg3: "vm-3" },
            parameters: { ip: "192.0.2.9", username: "fence" },
            secretParameters: { password: "board" },
          },
        },
      },
    },
  };
  const stackFile = {
    hosts: hosts(4),
    clusters: {
      orders: {
        ...orders,
        failover: { manager: "pacemaker" },
        virtualIps: { primary: "198.51.100.50/24" },
      },
    },
    pacemaker,
  };

  it("comes after the clusters that it fails over, and its packages with those of its hosts only", async () => {
    const found = await resources(stackFile);
    expect(tree(found).filter((line) => line.includes("PacemakerCluster"))).toEqual([
      "pgha:index:PacemakerCluster main <- the stack | " +
        "orders, orders-pg1, orders-pg2, orders-pg3, pg1-hosts, pg1-packages, pg1-prepare, pg2-hosts, pg2-packages, pg2-prepare, pg3-hosts, pg3-packages, pg3-prepare",
    ]);
    expect(propsOf(found, "pgha:index:Packages pg3-packages").names).toEqual([
      "corosync",
      "fence-agents-virsh",
      "iproute2",
      "nftables",
      "openssh-client",
      "pacemaker",
      "pacemaker-cli-utils",
      "postgresql-17",
      "python3-minimal",
      "resource-agents",
      "resource-agents-paf",
      "sudo",
    ]);
    expect(propsOf(found, "pgha:index:Packages pg4-packages").names).toEqual([
      "openssh-client",
      "python3-minimal",
      "sudo",
    ]);
  });

  it("has a node for each member's host with an address on every ring, and the configuration in plain words", async () => {
    const props = propsOf(await resources(stackFile), "pgha:index:PacemakerCluster main");
    expect(props.nodes).toEqual({
      pg1: { addresses: ["203.0.113.11", "198.51.100.11"] },
      pg2: { addresses: ["203.0.113.12", "198.51.100.12"] },
      pg3: { addresses: ["203.0.113.13", "198.51.100.13"] },
    });
    expect(Object.keys(props.resources as object)).toEqual(["pgha-orders", "pgha-orders-primary-ip"]);
    expect(props).toMatchObject({
      cluster: "main",
      detection: "normal",
      properties: { "stonith-enabled": "true" },
      clones: { "pgha-orders-clone": { resource: "pgha-orders" } },
      fencing: { "pgha-fence-power": { parameters: { password: "(pgha:fencingSecrets.board)" } } },
    });
  });

  it("is looked at beforehand: the rings' addresses, and who answers for the virtual IPs", async () => {
    const props = propsOf(await resources(stackFile), "pgha:index:Preflight preflight");
    expect(props.hosts).toMatchObject({
      pg1: {
        node: {
          corosync: "main",
          nodes: ["pg1", "pg2", "pg3"],
          addresses: ["203.0.113.11", "198.51.100.11"],
          virtualIps: { "pgha:clusters.orders.virtualIps.primary": "198.51.100.50/24" },
        },
      },
    });
    expect(Object.keys((props.hosts as Record<string, object>).pg4 ?? {})).toEqual(["address", "members"]);
  });
});
