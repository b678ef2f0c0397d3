import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { parseConnections } from "../model/connections.ts";
import { openRemoteHosts } from "../remote/pool.ts";
import { type SshServer, type SshServerOptions, startSshServer } from "../test/support/sshServer.ts";
import { preflight } from "./preflight.ts";

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
