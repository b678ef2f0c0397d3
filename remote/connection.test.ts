import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { SshTarget } from "../model/sshTarget.ts";
import { makeKeyPair, type SshServer, type SshServerOptions, startSshServer } from "../test/support/sshServer.ts";
import { HostKeyRefused, LoginRefused, RemoteTimeout, Unreachable } from "./errors.ts";
import type { RemoteHosts } from "./host.ts";
import { openRemoteHosts } from "./pool.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function server(options?: SshServerOptions): Promise<SshServer> {
  const started = await startSshServer(options);
  cleanups.push(() => started.close());
  return started;
}

function hostsOf(...targets: SshTarget[]): RemoteHosts {
  const hosts = openRemoteHosts(targets, { connectLimitSeconds: 1 });
  cleanups.push(() => hosts.close());
  return hosts;
}

const command = { argv: ["echo", "hello"], limitSeconds: 5, purpose: "say hello" };

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error("it did not fail"),
    (error: Error) => error,
  );
}

describe("a host's connection", () => {
  it("is opened once, for however many come first together", async () => {
    const ssh = await server();
    const host = hostsOf(ssh.target).host("pg1");
    const said = await Promise.all(Array.from({ length: 5 }, () => host.must(command)));
    expect(said).toEqual(Array(5).fill("hello\n"));
    expect(ssh.logins()).toBe(1);
  });

  it("is not opened before somebody needs it", async () => {
    const ssh = await server();
    hostsOf(ssh.target).host("pg1");
    expect(ssh.logins()).toBe(0);
  });

  it("is opened anew by the command after the one it broke under, which is not run again", async () => {
    const ssh = await server();
    const host = hostsOf(ssh.target).host("pg1");
    await host.run(command);
    const broken = failureOf(host.run({ argv: ["sleep", "20"], limitSeconds: 30, purpose: "wait" }));
    await expect.poll(() => ssh.commands.length).toBe(2);
    ssh.cut();
    expect(await broken).toBeInstanceOf(Unreachable);
    expect((await broken).message).toMatch(
      /^pg1: could not wait: whether it ran is not known: pg1 \(127\.0\.0\.1:\d+\): found the connection broken/,
    );
    expect(await host.must(command)).toBe("hello\n");
    expect(ssh.logins()).toBe(2);
    expect(ssh.commands.filter((text) => text.includes("sleep"))).toHaveLength(1);
  });

  it("leads through a jump host, whose key is checked too", async () => {
    const jump = await server();
    const ssh = await server();
    const { jump: _none, ...hop } = { ...jump.target, name: "bastion" };
    const host = hostsOf({ ...ssh.target, jump: hop }).host("pg1");
    expect(await host.must(command)).toBe("hello\n");
    expect([jump.logins(), ssh.logins()]).toEqual([1, 1]);
    expect(jump.commands).toEqual([]);

    const wrong = hostsOf({ ...ssh.target, jump: { ...hop, hostKey: ssh.hostKey.publicKey } }).host("pg1");
    const error = await failureOf(wrong.run(command));
    expect(error).toBeInstanceOf(HostKeyRefused);
    expect(error.message).toMatch(/^bastion\.hostKey: /);
  });

  it("is closed for good with the hosts", async () => {
    const ssh = await server();
    const hosts = hostsOf(ssh.target);
    await hosts.host("pg1").run(command);
    hosts.close();
    expect(await failureOf(hosts.host("pg1").run(command))).toBeInstanceOf(Unreachable);
  });
});

describe("a command's limit", () => {
  it("covers the opening of the connection", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => silent.close());
    const ssh = await server();
    const host = hostsOf({ ...ssh.target, port: (silent.address() as AddressInfo).port }).host("pg1");
    expect(await failureOf(host.run({ ...command, limitSeconds: 0.3 }))).toEqual(
      new RemoteTimeout(
        "pg1",
        "pg1: could not say hello: found no SSH connection within 0.3 s, expected one. Check the host and the network.",
      ),
    );
    const path = "/run/postgresql/.s.PGSQL.5432";
    expect(await failureOf(host.socket(path, 0.3))).toEqual(
      new RemoteTimeout(
        "pg1",
        `pg1.${path}: found no SSH connection within 0.3 s, expected one. Check the host and the network.`,
      ),
    );
  });
});

describe("a host is refused", () => {
  it("when it offers another key, before anything is sent to it", async () => {
    const ssh = await server();
    const other = makeKeyPair(ssh.directory, "other");
    const error = await failureOf(
      hostsOf({ ...ssh.target, hostKey: other.publicKey })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(HostKeyRefused);
    expect(error.message).toContain(`(${ssh.hostKey.publicKey})`);
    expect(ssh.logins()).toBe(0);
  });

  it("when the declared key cannot be read", async () => {
    const ssh = await server();
    const error = await failureOf(
      hostsOf({ ...ssh.target, hostKey: "AAAA" })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(HostKeyRefused);
    expect(error.message).toMatch(/^pg1\.hostKey: found a key of the type "AAAA"/);
  });

  it("when the login is, naming the key and the line that would allow it", async () => {
    const ssh = await server({ acceptsLogin: false });
    const error = await failureOf(hostsOf(ssh.target).host("pg1").run(command));
    expect(error).toBeInstanceOf(LoginRefused);
    expect(error.message).toContain(`Add this line to authorized_keys of root there: ${ssh.userKey.publicKey}`);
  });

  it("when our key is encrypted and no agent could help", async () => {
    const ssh = await server();
    const { privateKeyFile } = makeKeyPair(ssh.directory, "locked", "secret");
    const agent = process.env.SSH_AUTH_SOCK;
    delete process.env.SSH_AUTH_SOCK;
    cleanups.push(() => {
      if (agent !== undefined) process.env.SSH_AUTH_SOCK = agent;
    });
    const error = await failureOf(
      hostsOf({ ...ssh.target, privateKeyFile })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(LoginRefused);
    expect(error.message).toBe(
      `pg1.ssh: found an encrypted key in ${privateKeyFile}, expected a key without passphrase, or an agent that holds it. ` +
        `Start an agent and add the key: eval "$(ssh-agent)" && ssh-add ${privateKeyFile}`,
    );
  });

  it("when our key is not where it should be", async () => {
    const ssh = await server();
    const privateKeyFile = join(ssh.directory, "none");
    const error = await failureOf(
      hostsOf({ ...ssh.target, privateKeyFile })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(LoginRefused);
    expect(error.message).toBe(
      `pg1.ssh: found ${privateKeyFile}: ENOENT, expected a private key. Correct privateKeyFile.`,
    );
  });

  it("when the agent does not answer", async () => {
    const ssh = await server();
    const { privateKeyFile: _file, ...target } = ssh.target;
    const error = await failureOf(
      hostsOf({ ...target, agentSocket: join(ssh.directory, "none") })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(LoginRefused);
    expect(error.message).toContain(`with the keys of the agent at ${ssh.directory}/none (Failed to connect to agent)`);
  });
});

describe("a host is unreachable", () => {
  it("when nothing listens there", async () => {
    const ssh = await server();
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const error = await failureOf(
      hostsOf({ ...ssh.target, port })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toBe(
      `pg1 (127.0.0.1:${port}): found the connection refused, expected an SSH server. ` +
        "Check the address, the port, the network, and that sshd runs there.",
    );
  });

  it("when it accepts the connection but says nothing within the limit", async () => {
    const ssh = await server();
    const silent = createServer((socket) => cleanups.push(() => socket.destroy()));
    cleanups.push(() => silent.close());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const error = await failureOf(
      hostsOf({ ...ssh.target, port })
        .host("pg1")
        .run(command),
    );
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toBe(
      `pg1 (127.0.0.1:${port}): found an open port, but no SSH handshake within 1 s, expected an SSH server. ` +
        "Check that sshd listens on that port and that the host is not stalled.",
    );
  });

  it("and can be reached again once it is back", async () => {
    const ssh = await server();
    const port = createServer();
    const hosts = hostsOf({ ...ssh.target, name: "pg2", port: 1 }, ssh.target);
    expect(await failureOf(hosts.host("pg2").run(command))).toBeInstanceOf(Unreachable);
    expect(await hosts.host("pg1").must(command)).toBe("hello\n");
    port.close();
  });
});

it("a host that is not declared is named together with those that are", async () => {
  const ssh = await server();
  expect(() => hostsOf(ssh.target).host("pg9")).toThrow(
    "pgha:hosts: found no host pg9, expected one of the declared hosts (pg1). Add it there.",
  );
});
