import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import ssh2 from "ssh2";
import { afterEach, describe, expect, it } from "vitest";
import { makeKeyPair, startSshServer } from "../test/support/sshServer.ts";
import { serveAgent } from "./localAgent.ts";
import { openRemoteHosts } from "./pool.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "pgha-agent-"));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function serve(privateKeyFile: string, socketPath: string) {
  const agent = await serveAgent({ privateKeyFile, socketPath });
  cleanups.push(() => agent.close());
  return agent;
}

/** The answer to a raw request, once it has at least so many bytes. */
function ask(socketPath: string, request: number[], bytes = 5): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath, () => socket.write(Buffer.from(request)));
    socket.on("error", reject);
    const answer: number[] = [];
    socket.on("data", (chunk) => {
      answer.push(...chunk);
      if (answer.length < bytes) return;
      socket.destroy();
      resolve(answer);
    });
  });
}

const tsx = new URL("../node_modules/.bin/tsx", import.meta.url).pathname;

/** A program that serves the key and then does more. */
function scriptOf(directory: string, privateKeyFile: string, socketPath: string, more: string): string {
  const script = join(directory, "serve.mts");
  const module = JSON.stringify(new URL("./localAgent.ts", import.meta.url).href);
  const options = JSON.stringify({ privateKeyFile, socketPath });
  writeFileSync(script, `const { serveAgent } = await import(${module}); await serveAgent(${options}); ${more}`);
  return script;
}

/** Another process that serves the key until it is killed. */
function serveInProcess(directory: string, privateKeyFile: string, socketPath: string): ChildProcess {
  const script = scriptOf(directory, privateKeyFile, socketPath, "setInterval(() => {}, 1000);");
  const loader = new URL("../node_modules/tsx/dist/loader.mjs", import.meta.url).href;
  const child = spawn(process.execPath, ["--import", loader, script], { stdio: "inherit" });
  cleanups.push(() => child.kill("SIGKILL"));
  return child;
}

describe("the agent", () => {
  it("logs in with the key it holds, and shows only its public half", async () => {
    const ssh = await startSshServer();
    cleanups.push(() => ssh.close());
    const { privateKeyFile, ...target } = ssh.target;
    const agent = await serve(privateKeyFile ?? "", join(ssh.directory, "agent", "socket"));
    const hosts = openRemoteHosts([{ ...target, agentSocket: agent.socketPath }]);
    cleanups.push(() => hosts.close());
    expect(await hosts.host("pg1").must({ argv: ["echo", "in"], limitSeconds: 5, purpose: "log in" })).toBe("in\n");
  });

  it.each(["ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521"] as const)(
    "signs with a key of type %s",
    async (type) => {
      const directory = scratch();
      const options = type === "ssh-rsa" ? { bits: 2048 } : { bits: type === "ecdsa-sha2-nistp256" ? 256 : 521 };
      const kind = type === "ssh-rsa" ? "rsa" : "ecdsa";
      const pair = ssh2.utils.generateKeyPairSync(kind as "rsa", options as { bits: number });
      writeFileSync(join(directory, "key"), pair.private, { mode: 0o600 });
      const agent = await serve(join(directory, "key"), join(directory, "socket"));
      const ssh = await startSshServer({ userKey: pair.public });
      cleanups.push(() => ssh.close());
      const { privateKeyFile: _file, ...target } = ssh.target;
      const hosts = openRemoteHosts([{ ...target, agentSocket: agent.socketPath }]);
      cleanups.push(() => hosts.close());
      expect(await hosts.host("pg1").must({ argv: ["echo", "in"], limitSeconds: 5, purpose: "log in" })).toBe("in\n");
    },
  );

  it("can be used by its owner only", async () => {
    const directory = scratch();
    const agent = await serve(makeKeyPair(directory, "key").privateKeyFile, join(directory, "run", "socket"));
    expect((statSync(agent.socketPath).mode & 0o777).toString(8)).toBe("600");
    expect((statSync(join(directory, "run")).mode & 0o777).toString(8)).toBe("700");
    expect(readdirSync(join(directory, "run"))).toEqual(["socket"]);
  });

  it("refuses what it does not know, and goes on answering", async () => {
    const directory = scratch();
    const agent = await serve(makeKeyPair(directory, "key").privateKeyFile, join(directory, "socket"));
    // A session-bind extension, as OpenSSH sends first; then the list of identities, in the same packet.
    const extension = [0, 0, 0, 6, 27, 0, 0, 0, 1, 120];
    const answer = await ask(agent.socketPath, [...extension, 0, 0, 0, 1, 11], 10);
    expect(answer.slice(0, 5)).toEqual([0, 0, 0, 1, 5]);
    expect(answer[9]).toBe(12);
  });

  it("signs for no other key", async () => {
    const directory = scratch();
    const agent = await serve(makeKeyPair(directory, "key").privateKeyFile, join(directory, "socket"));
    expect(await ask(agent.socketPath, [0, 0, 0, 15, 13, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0])).toEqual([
      0, 0, 0, 1, 5,
    ]);
  });

  it("takes the place of a socket that nobody answers any more", async () => {
    const directory = scratch();
    const path = join(directory, "socket");
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(join(directory, "other"), resolve));
    renameSync(join(directory, "other"), path);
    await new Promise((resolve) => stale.close(resolve));
    await serve(makeKeyPair(directory, "key").privateKeyFile, path);
    expect((await ask(path, [0, 0, 0, 1, 11]))[4]).toBe(12);
  });

  it("is shared when a live one holds the same key, and closing the second leaves the first", async () => {
    const directory = scratch();
    const { privateKeyFile } = makeKeyPair(directory, "key");
    const first = await serve(privateKeyFile, join(directory, "socket"));
    const second = await serveAgent({ privateKeyFile, socketPath: first.socketPath });
    second.close();
    expect((await ask(first.socketPath, [0, 0, 0, 1, 11]))[4]).toBe(12);
  });

  it("is served by the second as soon as the first has ended", async () => {
    const directory = scratch();
    const { privateKeyFile } = makeKeyPair(directory, "key");
    const path = join(directory, "socket");
    const first = serveInProcess(directory, privateKeyFile, path);
    await expect.poll(() => existsSync(path), { timeout: 20_000 }).toBe(true);
    const second = await serve(privateKeyFile, path);
    first.kill("SIGKILL");
    await expect
      .poll(() => ask(path, [0, 0, 0, 1, 11]).then((answer) => answer[4], String), { timeout: 5000 })
      .toBe(12);
    second.close();
    expect(existsSync(path)).toBe(false);
  }, 30_000);

  it("does not take the place of a live one with another key", async () => {
    const directory = scratch();
    const first = await serve(makeKeyPair(directory, "key").privateKeyFile, join(directory, "socket"));
    const other = makeKeyPair(directory, "other").privateKeyFile;
    await expect(serveAgent({ privateKeyFile: other, socketPath: first.socketPath })).rejects.toThrow(
      `${first.socketPath}: found an agent with another key, expected none, or one with our key. Stop the program that serves it.`,
    );
  });

  it("does not serve an encrypted key, and says what would do", async () => {
    const directory = scratch();
    const { privateKeyFile } = makeKeyPair(directory, "key", "secret");
    await expect(serveAgent({ privateKeyFile, socketPath: join(directory, "socket") })).rejects.toThrow(
      /expected a private key without passphrase\. Correct privateKeyFile, or use an agent of your own \(SSH_AUTH_SOCK\)\.$/,
    );
  });

  it("does not keep its process alive", async () => {
    const directory = scratch();
    const { privateKeyFile } = makeKeyPair(directory, "key");
    const script = scriptOf(directory, privateKeyFile, join(directory, "socket"), 'console.log("serving");');
    expect((await promisify(execFile)(tsx, [script], { timeout: 20_000 })).stdout).toBe("serving\n");
  }, 30_000);
});
