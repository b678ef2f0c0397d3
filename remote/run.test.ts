import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type SshServer, type SshServerOptions, startSshServer } from "../test/support/sshServer.ts";
import { Cancelled, CommandFailed, OutputTooLong, RemoteTimeout, SudoRefused, Unreachable } from "./errors.ts";
import type { RemoteHost } from "./host.ts";
import { openRemoteHosts } from "./pool.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(options?: SshServerOptions, user = "root"): Promise<{ ssh: SshServer; host: RemoteHost }> {
  const ssh = await startSshServer(options);
  cleanups.push(() => ssh.close());
  const hosts = openRemoteHosts([{ ...ssh.target, user }]);
  cleanups.push(() => hosts.close());
  return { ssh, host: hosts.host("pg1") };
}

function shell(script: string, more: { limitSeconds?: number; signal?: AbortSignal; stdin?: string } = {}) {
  return { argv: ["sh", "-c", script], limitSeconds: 10, purpose: "try it", ...more };
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error("it did not fail"),
    (error: Error) => error,
  );
}

describe("a command", () => {
  it("gets its arguments as they were given, and nothing to read", async () => {
    const { host } = await setUp();
    const words = ["", "a b", "$HOME", "it's", "*", "-n"];
    expect(await host.run({ argv: ["printf", "[%s]", ...words], limitSeconds: 5, purpose: "print" })).toEqual({
      exitCode: 0,
      stdout: "[][a b][$HOME][it's][*][-n]",
      stderr: "",
    });
    expect(await host.must(shell("wc -c"))).toBe("0\n");
  });

  it("runs in / with a known language and path", async () => {
    const { host } = await setUp();
    expect(await host.must(shell('pwd; echo "$LC_ALL"; echo "$PATH"'))).toBe(
      "/\nC.UTF-8\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    );
  });

  it("reads what it was given, however much, and it never stands in the command's text", async () => {
    const { ssh, host } = await setUp();
    expect(await host.must(shell("cat", { stdin: "geheim: ä€\n" }))).toBe("geheim: ä€\n");
    expect(await host.must(shell("wc -c", { stdin: "x".repeat(5_000_000) }))).toBe("5000000\n");
    expect(ssh.commands.join("\n")).not.toContain("geheim");
  });

  it("returns its exit code and both outputs, and the lines of standard error while it runs", async () => {
    const { host } = await setUp();
    const lines: string[] = [];
    const result = await host.run({
      ...shell("echo out; echo one >&2; echo two >&2; printf rest >&2; exit 7"),
      onStderrLine: (line) => lines.push(line),
    });
    expect(result).toEqual({ exitCode: 7, stdout: "out\n", stderr: "one\ntwo\nrest" });
    expect(lines).toEqual(["one", "two"]);
  });

  it("that must succeed and does not is an error with the end of its standard error", async () => {
    const { host } = await setUp();
    const error = await failureOf(host.must(shell("echo no space left >&2; exit 3")));
    expect(error).toBeInstanceOf(CommandFailed);
    expect(error).toMatchObject({ exitCode: 3, stderr: "no space left\n", host: "pg1" });
    expect(error.message).toBe("pg1: could not try it: sh ended with exit code 3: no space left");
  });

  it("that a signal ended has the exit code a shell gives it", async () => {
    const { host } = await setUp();
    expect((await host.run(shell("kill -KILL $$"))).exitCode).toBe(137);
  });

  it("is over by the time its start is confirmed, and its exit code is not lost", async () => {
    const { host } = await setUp({ exitsAtOnce: 5 });
    expect((await host.run(shell("exit 5"))).exitCode).toBe(5);
  });

  it("that writes more than 16 MiB is killed", async () => {
    const { host } = await setUp();
    expect(await failureOf(host.run({ argv: ["cat", "/dev/zero"], limitSeconds: 20, purpose: "read" }))).toEqual(
      new OutputTooLong("pg1", "pg1: could not read: cat wrote more than 16 MiB; it was killed."),
    );
  });
});

describe("a limit", () => {
  it("kills the command and all it started", async () => {
    const { ssh, host } = await setUp();
    const file = join(ssh.directory, "late");
    const error = await failureOf(host.run(shell(`(sleep 1.5; touch ${file}) & sleep 20`, { limitSeconds: 0.5 })));
    expect(error).toBeInstanceOf(RemoteTimeout);
    expect(error.message).toBe(
      "pg1: could not try it: found sh still running after 0.5 s, expected its end; it was killed.",
    );
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(existsSync(file)).toBe(false);
  });

  it("kills one that ignores SIGTERM, two seconds later", async () => {
    const { host } = await setUp();
    const began = performance.now();
    const error = await failureOf(host.run(shell("trap '' TERM; while :; do sleep 0.1; done", { limitSeconds: 0.3 })));
    expect(error).toBeInstanceOf(RemoteTimeout);
    expect(performance.now() - began).toBeGreaterThan(2200);
    expect(performance.now() - began).toBeLessThan(4500);
  });

  it("covers waiting for a free session, and whoever gave up is no longer in line", async () => {
    const { ssh, host } = await setUp();
    const abort = new AbortController();
    const busy = Array.from({ length: 8 }, () => failureOf(host.run(shell("sleep 20", { signal: abort.signal }))));
    await expect.poll(() => ssh.commands.length).toBe(8);
    const error = await failureOf(host.run(shell("true", { limitSeconds: 0.3 })));
    expect(error).toEqual(
      new RemoteTimeout(
        "pg1",
        "pg1: could not try it: found no free SSH session (8 in use) within 0.3 s, expected one. See what hangs on the host.",
      ),
    );
    expect(ssh.commands).toHaveLength(8);
    abort.abort();
    await Promise.all(busy);
    const said = await Promise.all(Array.from({ length: 8 }, () => host.must(shell("sleep 0.2; echo done"))));
    expect(said).toEqual(Array(8).fill("done\n"));
    expect(ssh.commands.filter((text) => text.includes("echo done"))).toHaveLength(8);
    expect(ssh.commands.filter((text) => text.includes("true"))).toHaveLength(0);
  });

  it("leaves a command that had to wait only the rest of it", async () => {
    const { ssh, host } = await setUp({ maxSessions: 1 });
    const first = host.run(shell("sleep 1.5"));
    await expect.poll(() => ssh.commands.length).toBe(1);
    const began = performance.now();
    const error = await failureOf(host.run(shell("sleep 20", { limitSeconds: 2.5 })));
    expect(error).toBeInstanceOf(RemoteTimeout);
    expect(error.message).toMatch(
      /^pg1: could not try it: found sh still running after 2\.5 s \(1\.\d s of them before it began\), expected its end; it was killed\.$/,
    );
    expect(performance.now() - began).toBeLessThan(3500);
    expect((await first).exitCode).toBe(0);
  });

  it("covers the start by sshd; a command that begins after that is killed, and its session is free again", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let first = true;
    const { ssh, host } = await setUp({
      beforeStart: async () => {
        const waits = first;
        first = false;
        if (waits) await gate;
      },
    });
    const [begun, killed] = [join(ssh.directory, "begun"), join(ssh.directory, "killed")];
    const script = `trap 'touch ${killed}; exit' TERM; touch ${begun}; sleep 20 & wait`;
    const error = await failureOf(host.run(shell(script, { limitSeconds: 4 })));
    expect(error).toEqual(
      new RemoteTimeout(
        "pg1",
        "pg1: could not try it: found no answer of sshd within 4 s, expected that it starts the command. Whether it did is not known.",
      ),
    );
    expect(ssh.sessions()).toBe(1);
    open();
    // By the host's own limit it would live for 4 s. On a busy machine it is killed before its first line.
    await expect.poll(() => ssh.sessions(), { timeout: 3500 }).toBe(0);
    await expect.poll(() => existsSync(killed)).toBe(existsSync(begun));
    await Promise.all(Array.from({ length: 8 }, () => host.must(shell("sleep 0.5"))));
    // The killed one may still be closing while the eight begin.
    expect([8, 9]).toContain(ssh.mostSessions());
  }, 20_000);

  it("is not what ended a command that says 124 itself", async () => {
    const { host } = await setUp();
    expect((await host.run(shell("exit 124"))).exitCode).toBe(124);
  });
});

describe("cancelling", () => {
  it("kills the command on the host before it is reported", async () => {
    const { ssh, host } = await setUp();
    const file = join(ssh.directory, "pid");
    const abort = new AbortController();
    const error = failureOf(host.run(shell(`echo $$ > ${file}; exec sleep 20`, { signal: abort.signal })));
    await expect.poll(() => existsSync(file)).toBe(true);
    abort.abort();
    expect(await error).toEqual(new Cancelled("pg1", "pg1: could not try it: cancelled; it was killed."));
    expect((await host.run(shell(`kill -0 $(cat ${file})`))).exitCode).toBe(1);
  });

  it("kills a command that is just beginning", async () => {
    const { ssh, host } = await setUp();
    const abort = new AbortController();
    const error = failureOf(host.run(shell("sleep 20", { signal: abort.signal })));
    await expect.poll(() => ssh.commands.length, { interval: 1 }).toBe(1);
    const began = performance.now();
    abort.abort();
    expect(await error).toBeInstanceOf(Cancelled);
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it("ends the waiting for a free session at once", async () => {
    const { ssh, host } = await setUp();
    const all = new AbortController();
    const busy = Array.from({ length: 8 }, () => failureOf(host.run(shell("sleep 20", { signal: all.signal }))));
    await expect.poll(() => ssh.commands.length).toBe(8);
    const abort = new AbortController();
    const error = failureOf(host.run(shell("true", { signal: abort.signal })));
    abort.abort();
    expect(await error).toEqual(new Cancelled("pg1", "pg1: could not try it: cancelled before it began."));
    all.abort();
    await Promise.all(busy);
    expect(ssh.commands.filter((text) => text.includes("true"))).toEqual([]);
  });

  it("keeps a command that has not begun from beginning", async () => {
    const { ssh, host } = await setUp();
    const error = await failureOf(host.run(shell("true", { signal: AbortSignal.abort() })));
    expect(error).toEqual(new Cancelled("pg1", "pg1: could not try it: cancelled before it began."));
    expect(ssh.commands).toEqual([]);
  });
});

describe("many commands at once", () => {
  it("never use more than 8 sessions, and all end", async () => {
    const { ssh, host } = await setUp();
    const said = await Promise.all(Array.from({ length: 30 }, (_, n) => host.must(shell(`sleep 0.05; echo ${n}`))));
    expect(said).toEqual(Array.from({ length: 30 }, (_, n) => `${n}\n`));
    expect(ssh.mostSessions()).toBe(8);
  });

  it("find out when a host allows fewer sessions, and still all end", async () => {
    const { ssh, host } = await setUp({ maxSessions: 3 });
    const said = await Promise.all(Array.from({ length: 20 }, (_, n) => host.must(shell(`sleep 0.05; echo ${n}`))));
    expect(said).toEqual(Array.from({ length: 20 }, (_, n) => `${n}\n`));
    expect(ssh.mostSessions()).toBe(3);
    expect(ssh.commands).toHaveLength(20);
    expect(ssh.refusedSessions()).toBeGreaterThan(0);
    expect(ssh.refusedSessions()).toBeLessThan(15);
  });

  it("have room beside four long-lived processes", async () => {
    const { host } = await setUp();
    const processes = await Promise.all(
      Array.from({ length: 4 }, () => host.start(shell("cat", { limitSeconds: 60 }))),
    );
    const said = await Promise.all(Array.from({ length: 10 }, () => host.must(shell("echo done"))));
    expect(said).toEqual(Array(10).fill("done\n"));
    for (const process of processes) process.end();
    expect((await Promise.all(processes.map((process) => process.exit))).map(({ exitCode }) => exitCode)).toEqual([
      0, 0, 0, 0,
    ]);
  });
});

describe("a host that has no session at all for us", () => {
  it("says so", async () => {
    const { host } = await setUp({ maxSessions: 0 });
    const error = await failureOf(host.run(shell("true")));
    expect(error).toBeInstanceOf(Unreachable);
    expect(error.message).toMatch(
      /^pg1: could not try it: sshd accepted no command \(.*\); check MaxSessions and ForceCommand\.$/,
    );
  });
});

describe("a process", () => {
  it("is talked to line by line", async () => {
    const { host } = await setUp();
    const process = await host.start(shell('echo ready; while read -r line; do echo "got $line"; done; printf end'));
    expect(await process.nextLine(5)).toBe("ready");
    process.write("ä\n");
    expect(await process.nextLine(5)).toBe("got ä");
    process.end();
    expect(await process.nextLine(5)).toBe("end");
    expect(await process.nextLine(5)).toBeUndefined();
    expect(await process.exit).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  });

  it("goes on when no line comes within the limit", async () => {
    const { host } = await setUp();
    const process = await host.start(shell("read -r line; echo late"));
    const error = await failureOf(process.nextLine(0.1));
    expect(error).toBeInstanceOf(RemoteTimeout);
    expect(error.message).toBe("pg1: could not try it: found no line from sh within 0.1 s, expected one.");
    process.write("\n");
    expect(await process.nextLine(5)).toBe("late");
  });

  it("can be killed", async () => {
    const { host } = await setUp();
    const process = await host.start(shell("sleep 20"));
    process.kill();
    expect((await process.exit).exitCode).toBe(143);
  });

  it("that is cut off tells its reader so", async () => {
    const { ssh, host } = await setUp();
    const process = await host.start(shell("sleep 20"));
    const line = failureOf(process.nextLine(10));
    ssh.cut();
    expect(await line).toBeInstanceOf(Unreachable);
    expect(await failureOf(process.exit)).toBeInstanceOf(Unreachable);
  });
});

describe("an SSH user that is not root", () => {
  async function withSudo(script: string) {
    const programs = mkdtempSync(join(tmpdir(), "pgha-bin-"));
    cleanups.push(() => rmSync(programs, { recursive: true }));
    writeFileSync(join(programs, "sudo"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(programs, "sudo"), 0o755);
    return setUp({ programs }, "admin");
  }

  it("becomes root by sudo", async () => {
    const { host } = await withSudo('[ "$1 $2" = "-n --" ] && shift 2 && exec "$@"');
    expect(await host.must(shell("echo root"))).toBe("root\n");
  });

  it("is told what to allow when sudo refuses, and can tell that from the command's own failure", async () => {
    const { host } = await withSudo("echo 'sudo: a password is required' >&2; exit 1");
    const expected = new SudoRefused(
      "pg1",
      "pg1.sudo for admin: found sudo: a password is required, expected root without a password. " +
        "Allow it there: echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pgha",
    );
    expect(await failureOf(host.run(shell("true")))).toEqual(expected);
    expect(await failureOf(host.start(shell("true")))).toEqual(expected);
    const allowed = await withSudo('shift 2; exec "$@"');
    expect((await allowed.host.run(shell("echo 'sudo: a password is required' >&2; exit 1"))).exitCode).toBe(1);
  });
});
