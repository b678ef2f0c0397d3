import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { parseConnections } from "../model/connections.ts";
import type { RemoteHosts } from "../remote/host.ts";
import { openRemoteHosts } from "../remote/pool.ts";
import { group } from "../test/support/shapes.ts";
import { type SshServer, type SshServerOptions, startSshServer } from "../test/support/sshServer.ts";
import { asProperties } from "./inputs.ts";
import { preflight } from "./preflight.ts";
import { replicationGroup } from "./replicationGroup.ts";
import type { Context, Properties } from "./resource.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(options?: SshServerOptions): Promise<SshServer> {
  const started = await startSshServer(options);
  cleanups.push(() => started.close());
  return started;
}

/** Where sudo refuses everything. */
function refusingSudo(): string {
  const programs = mkdtempSync(join(tmpdir(), "pgha-bin-"));
  cleanups.push(() => rmSync(programs, { recursive: true }));
  writeFileSync(join(programs, "sudo"), "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
  chmodSync(join(programs, "sudo"), 0o755);
  return programs;
}

/** What preflight says of the hosts of this stack file; empty when all is well. */
async function refusal(ssh: object, hosts: Readonly<Record<string, object>>): Promise<string[]> {
  const { targets, faults } = parseConnections({ ssh: JSON.stringify(ssh), hosts: JSON.stringify(hosts) });
  expect(faults).toEqual([]);
  const opened = openRemoteHosts(targets);
  cleanups.push(() => opened.close());
  const inputs = { hosts: Object.fromEntries(Object.keys(hosts).map((name) => [name, { address: "", members: [] }])) };
  const { signal } = new AbortController();
  const context = { hosts: opened, cancelled: signal, progress() {}, info() {}, warn() {} };
  const message = await preflight.create(context, { inputs, preview: true, name: "preflight" }).then(
    () => "",
    (error: Error) => error.message,
  );
  return message.split("\n").slice(1);
}

function hostOf({ target }: SshServer) {
  return { address: target.address, sshPort: target.port, hostKey: target.hostKey };
}

describe("an error of a connection names the field of the stack file that decides it", () => {
  const noSudo = (user: string) =>
    `found sudo: a password is required, expected root without a password. Allow it there: echo '${user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgha`;

  it("the user of a host that has its own, and of one that has the common one", async () => {
    const programs = refusingSudo();
    const one = await server({ programs });
    const two = await server({ programs, userKey: one.userKey.publicKey });
    const ssh = { user: "deploy", privateKeyFile: one.target.privateKeyFile };
    expect(await refusal(ssh, { pg1: hostOf(one), pg2: { ...hostOf(two), user: "admin" } })).toEqual([
      `  pgha:ssh.user: pg1.sudo for deploy: ${noSudo("deploy")}`,
      `  pgha:hosts.pg2.user: pg2.sudo for admin: ${noSudo("admin")}`,
    ]);
  });

  it("the jump host, once for all hosts behind it", async () => {
    const jump = await server();
    const one = await server();
    const other = await server();
    const ssh = {
      privateKeyFile: jump.target.privateKeyFile,
      jump: { address: jump.target.address, port: jump.target.port, hostKey: one.target.hostKey },
    };
    const lines = await refusal(ssh, { pg1: hostOf(one), pg2: hostOf(other) });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^ {2}pgha:ssh\.jump\.hostKey: found the offered ssh-ed25519 key SHA256:/);
  });

  it("the key and the host key", async () => {
    const one = await server({ acceptsLogin: false });
    const two = await server();
    const ssh = { privateKeyFile: one.target.privateKeyFile };
    const lines = await refusal(ssh, { pg1: hostOf(one), pg2: { ...hostOf(two), hostKey: one.target.hostKey } });
    expect(lines.map((line) => line.split(" found ")[0])).toEqual([
      "  pgha:ssh.privateKeyFile: pg1.ssh:",
      "  pgha:hosts.pg2.hostKey:",
    ]);
  });
});

describe("names in the place of others", () => {
  const asked: string[] = [];
  const hosts: RemoteHosts = {
    names: async () => ["pg1"],
    host(name) {
      asked.push(name);
      throw new Error(`${name} was asked`);
    },
    close() {},
  };
  const context: Context = { hosts, cancelled: new AbortController().signal, progress() {}, info() {}, warn() {} };

  function inputs(cluster: string, member: string): Properties {
    const one = {
      ...{ cluster, member, postgresVersion: 17, port: 5432, replicationAddress: "203.0.113.11" },
      dataDirectory: `/var/lib/postgresql/17/${cluster}-${member}`,
    };
    return { hosts: { pg1: { address: "198.51.100.11", members: [one] } } };
  }

  const update = (news: Properties, olds: Properties) =>
    preflight.update(context, { id: "preflight", outputs: olds, oldInputs: olds, inputs: news, preview: true });

  it("a renamed member and a renamed cluster are refused, and no host is asked", async () => {
    await expect(update(inputs("orders", "first"), inputs("orders", "pg1"))).rejects.toThrow(
      "Nothing was touched:\n  pgha:clusters.orders.members.first: found first in the place of pg1 (host pg1, port 5432), and pg1 gone, expected pg1: ",
    );
    await expect(update(inputs("sales", "pg1"), inputs("orders", "pg1"))).rejects.toThrow(
      "Nothing was touched:\n  pgha:clusters.sales: found sales in the place of orders: pg1 (host pg1, port 5432), and orders without it, expected orders: ",
    );
    expect(asked).toEqual([]);
  });

  it.each(["stop", "erase"])("a run that was refused does not go on to %s what looks removed", async (onDestroy) => {
    await expect(update(inputs("sales", "pg1"), inputs("orders", "pg1"))).rejects.toThrow();
    const { inputs: declared } = replicationGroup.check(orders(onDestroy), undefined);
    await expect(
      replicationGroup.delete(context, { id: "orders", inputs: declared, outputs: declared }),
    ).rejects.toThrow(`orders: ${onDestroy}: not done, because this run was refused. Nothing was touched.`);
  });
});

function orders(onDestroy: string): Properties {
  const { members, ...rest } = group();
  const byName = Object.fromEntries(members.map(({ name, ...member }) => [name, member]));
  return asProperties({ ...rest, members: byName, onDestroy, eraseConfirmation: "orders" });
}
