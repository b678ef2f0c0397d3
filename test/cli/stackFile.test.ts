import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterEach, describe, expect, it } from "vitest";
import { openStack, type Ran, type TestStack } from "../support/stack.ts";

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ63ZgF7Ie8fuXlgDsNc/IzL6dTtwyYxOvHUj3nittlj";

let stack: TestStack | undefined;
let keys: string | undefined;
afterEach(async () => {
  await stack?.forget();
  if (keys !== undefined) await rm(keys, { recursive: true });
  stack = undefined;
  keys = undefined;
});

async function open(config: Readonly<Record<string, unknown>>): Promise<TestStack> {
  stack = await openStack({ name: "cli", config, limitSeconds: 110 });
  return stack;
}

const hosts = {
  pg1: { address: "198.51.100.11", hostKey },
  pg2: { address: "198.51.100.12", hostKey },
};

const orders = { postgresVersion: 17, members: { pg1: {}, pg2: {} }, primary: "pg1" };

/** The whole message under Diagnostics, below the table of resources: from its first line, while lines are indented. */
function message({ output }: Ran, beginning: string): string[] {
  const lines = output.split("\n");
  const first = lines.findLastIndex((line) => line.includes(beginning));
  const rest = lines.slice(first + 1);
  const end = rest.findIndex((line) => !line.startsWith("  "));
  return first === -1 ? [] : [lines[first] ?? "", ...rest.slice(0, end)].map((line) => line.trim());
}

/** What only a programmer wants to see. */
const stackTrace = /\n\s+at .*[(/].*:\d+:\d+/;

/** A private key that opens nothing. */
async function someKey(): Promise<string> {
  keys = await mkdtemp(join(tmpdir(), "pgha-keys-"));
  const file = join(keys, "id_ed25519");
  await writeFile(file, ssh2.utils.generateKeyPairSync("ed25519").private, { mode: 0o600 });
  return file;
}

/** A TCP port of this machine that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}

describe("a stack file with faults", () => {
  it("is told all of them at once, each with its field and the way out, and no stack trace", async () => {
    const { preview, up } = await open({
      "pgha:ssh": { user: "root", privatKeyFile: "~/.ssh/id_ed25519" },
      "pgha:hosts": { pg1: { address: "198.51.100.300", hostKey }, pg2: { address: "198.51.100.12" } },
      "pgha:clusters": { orders: { ...orders, postgresVersion: 14, primary: "pg9", colour: "red" } },
    });
    const previewed = await preview();
    expect(previewed.exitCode).not.toBe(0);
    expect(previewed.output).not.toMatch(stackTrace);
    expect(message(previewed, "to correct")).toEqual([
      "error: stacks/Pulumi.cli.yaml: 6 to correct; no host was touched.",
      "pgha:ssh.privatKeyFile: found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
      "pgha:hosts.pg1.address: found 198.51.100.300, expected an IP address such as 198.51.100.11. Correct the address.",
      'pgha:hosts.pg2.hostKey: found nothing, expected a public key such as "ssh-ed25519 AAAA...". Copy the line from /etc/ssh/ssh_host_ed25519_key.pub on the host.',
      "pgha:clusters.orders.postgresVersion: found 14, expected a supported major version (15, 16, 17, 18). Choose one of them.",
      "pgha:clusters.orders.colour: found a key that is not known here, expected one of the documented keys. Correct its spelling or remove it (docs/reference/stack-file.md lists the keys).",
      "pgha:clusters.orders.primary: found pg9, expected a member (pg1, pg2). Name a member.",
    ]);
    const applied = await up();
    expect(applied.exitCode).not.toBe(0);
    expect(applied.output).not.toMatch(stackTrace);
    expect(applied.output).toContain("error: stacks/Pulumi.cli.yaml: 6 to correct; no host was touched.");
    expect(applied.output).not.toContain("pgha:index:");
  });

  it("is told what only the whole of it shows, an empty password among it", async () => {
    const { preview, pulumi } = await open({
      "pgha:hosts": hosts,
      "pgha:clusters": {
        orders: {
          ...orders,
          members: { pg1: {}, pg2: {}, pg7: {} },
          primary: "pg9",
          parameters: { port: 5433, max_conections: 7 },
          onDestroy: "erase",
        },
      },
    });
    expect((await pulumi("config", "set", "--secret", "pgha:superuserPassword", "")).exitCode).toBe(0);
    const previewed = await preview();
    expect(previewed.exitCode).not.toBe(0);
    expect(previewed.output).not.toMatch(stackTrace);
    expect(message(previewed, "to correct").sort()).toEqual([
      "error: stacks/Pulumi.cli.yaml: 6 to correct; no host was touched.",
      "pgha:clusters.orders.eraseConfirmation: found nothing, expected orders, the cluster's name, because onDestroy: erase removes its data. Write eraseConfirmation: orders, or another onDestroy.",
      "pgha:clusters.orders.members.pg7: found the host pg7, which is not declared, expected one of the hosts (pg1, pg2). Declare it under pgha:hosts, or write { host: ... }.",
      "pgha:clusters.orders.parameters.max_conections: found a parameter that PostgreSQL 17 does not have, expected a parameter of PostgreSQL 17. Correct its spelling or remove it.",
      "pgha:clusters.orders.parameters.port: found a parameter that is fixed here, expected no such line: it is decided by members.NAME.port. Remove it.",
      "pgha:clusters.orders.primary: found pg9, expected a member (pg1, pg2, pg7). Name a member.",
      "pgha:superuserPassword: found an empty password, expected a password, or no such key. Set it: pulumi config set --secret pgha:superuserPassword. Without the key one is generated.",
    ]);
  });

  it("is refused a secret anywhere in a declaration, which would stand in the state in clear", async () => {
    const { preview, up, pulumi, exportState } = await open({
      "pgha:ssh": { user: "root" },
      "pgha:hosts": hosts,
      "pgha:networks": { office: "198.51.100.0/24" },
      "pgha:clusters": { orders: { ...orders, primary: "pg9" } },
      "pgha:superuserPassword": "xyzzy-plain",
    });
    for (const path of [
      "pgha:ssh.user",
      "pgha:hosts.pg1.user",
      "pgha:networks.office",
      "pgha:clusters.orders.parameters.primary_conninfo",
    ]) {
      expect((await pulumi("config", "set", "--secret", "--path", path, "xyzzy-secret")).exitCode).toBe(0);
    }
    const previewed = await preview();
    expect(previewed.exitCode).not.toBe(0);
    const refused = (key: string) =>
      `${key}: found a secret (secure:), expected plain values: what is declared here is shown in previews and stands in the state in clear. Write the value in clear, or remove it. Secrets have keys of their own: pgha:superuserPassword, pgha:replicationPassword, pgha:corosyncKey, pgha:fencingSecrets.`;
    expect(message(previewed, "to correct")).toEqual([
      "error: stacks/Pulumi.cli.yaml: 4 to correct; no host was touched.",
      refused("pgha:ssh"),
      refused("pgha:hosts"),
      refused("pgha:networks"),
      refused("pgha:clusters"),
    ]);
    const applied = await up();
    expect(applied.exitCode).not.toBe(0);
    expect(applied.output).not.toContain("pgha:index:");
    expect(previewed.output + applied.output + (await exportState())).not.toContain("xyzzy");
  });

  it("is answered about as quickly as one without: nobody waits for a stack trace to be formatted", async () => {
    const { preview, edit } = await open({});
    const without = await preview();
    expect(without.exitCode).toBe(0);
    await edit(["pgha:clusters"], { orders });
    const withFaults = await preview();
    expect(withFaults.exitCode).not.toBe(0);
    expect(withFaults.seconds).toBeLessThan(3 * without.seconds);
  });
});

describe("hosts that refuse the connection", () => {
  it("are all named by preview, at once, and nothing is planned for them", async () => {
    const sshPort = await closedPort();
    const { preview, up, exportState } = await open({
      "pgha:ssh": { privateKeyFile: await someKey() },
      "pgha:hosts": {
        pg1: { address: "127.0.0.1", hostKey, sshPort },
        pg2: { address: "127.0.0.2", hostKey, sshPort },
      },
      "pgha:clusters": { orders },
      "pgha:superuserPassword": "xyzzy-super",
    });
    const refused = (host: string, address: string) =>
      `pgha:hosts.${host}.address: ${host} (${address}:${sshPort}): found the connection refused, expected an SSH server. Check the address, the port, the network, and that sshd runs there.`;
    const previewed = await preview();
    expect(previewed.exitCode).not.toBe(0);
    expect(previewed.output).not.toMatch(stackTrace);
    expect(message(previewed, "hosts cannot be used")).toEqual([
      "error: Preview failed: 2 of 2 hosts cannot be used as declared; nothing was touched:",
      refused("pg1", "127.0.0.1"),
      refused("pg2", "127.0.0.2"),
    ]);
    const applied = await up();
    expect(applied.exitCode).not.toBe(0);
    expect(applied.output).toContain(refused("pg2", "127.0.0.2"));
    const { deployment } = JSON.parse(await exportState()) as { deployment: { resources: { type: string }[] } };
    const types = deployment.resources.map(({ type }) => type);
    expect(types.filter((type) => /Packages|File|Instance|ReplicationGroup|Command/.test(type))).toEqual([]);
    expect(previewed.output + applied.output).not.toContain("xyzzy");
  });
});
