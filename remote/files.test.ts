import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type SshServer, startSshServer } from "../test/support/sshServer.ts";
import { CommandFailed } from "./errors.ts";
import { readFiles, removeFile, writeFile } from "./files.ts";
import type { RemoteHost, RemoteHosts } from "./host.ts";
import { openRemoteHosts } from "./pool.ts";

const owner = userInfo().username;
const group = execFileSync("id", ["-gn"]).toString().trim();

let ssh: SshServer;
let hosts: RemoteHosts;
let host: RemoteHost;
let directory: string;

beforeEach(async () => {
  ssh = await startSshServer();
  hosts = openRemoteHosts([ssh.target]);
  host = hosts.host("pg1");
  directory = join(ssh.directory, "it's a directory");
  mkdirSync(directory);
});
afterEach(async () => {
  hosts.close();
  await ssh.close();
});

function file(name: string, content: string, mode = "0640") {
  return { path: join(directory, name), content, owner, group, mode, limitSeconds: 5 };
}

describe("a file", () => {
  it("is written with its mode, and nothing else is left beside it", async () => {
    expect(await writeFile(host, file("a b.conf", "größe = '1'\n$HOME `id`"))).toBe(true);
    expect(readFileSync(join(directory, "a b.conf"), "utf8")).toBe("größe = '1'\n$HOME `id`");
    expect((statSync(join(directory, "a b.conf")).mode & 0o7777).toString(8)).toBe("640");
    expect(readdirSync(directory)).toEqual(["a b.conf"]);
  });

  it("that is as declared is not touched", async () => {
    await writeFile(host, file("a.conf", "x\n"));
    const before = statSync(join(directory, "a.conf"));
    expect(await writeFile(host, file("a.conf", "x\n"))).toBe(false);
    expect(statSync(join(directory, "a.conf")).ino).toBe(before.ino);
    expect(readdirSync(directory)).toEqual(["a.conf"]);
  });

  it("is written again when only its mode differs, or when a link stands in its place", async () => {
    await writeFile(host, file("a.conf", "x\n"));
    chmodSync(join(directory, "a.conf"), 0o666);
    expect(await writeFile(host, file("a.conf", "x\n"))).toBe(true);
    expect((statSync(join(directory, "a.conf")).mode & 0o7777).toString(8)).toBe("640");
    symlinkSync(join(directory, "a.conf"), join(directory, "link.conf"));
    expect(await writeFile(host, file("link.conf", "x\n"))).toBe(true);
    expect(readFileSync(join(directory, "a.conf"), "utf8")).toBe("x\n");
  });

  it("keeps its old content when the new one arrives only in part", async () => {
    await writeFile(host, file("a.conf", "old\n"));
    const cut: RemoteHost = {
      ...host,
      must: (command) => host.must({ ...command, stdin: String(command.stdin).slice(0, 3) }),
    };
    await expect(writeFile(cut, file("a.conf", "new content\n"))).rejects.toThrow(
      `pg1: could not write ${directory}/a.conf: sh ended with exit code 1: ${directory}/a.conf: only 3 of 12 bytes arrived`,
    );
    expect(readFileSync(join(directory, "a.conf"), "utf8")).toBe("old\n");
    expect(readdirSync(directory)).toEqual(["a.conf"]);
  });

  it("in a directory that does not exist, or of an owner that does not, is an error that leaves nothing", async () => {
    await expect(writeFile(host, file("none/a.conf", "x\n"))).rejects.toThrow(CommandFailed);
    await expect(writeFile(host, { ...file("a.conf", "x\n"), owner: "nobody-at-all" })).rejects.toThrow("invalid user");
    expect(readdirSync(directory)).toEqual([]);
  });

  it("has its content in no command line", async () => {
    await writeFile(host, file("pass", "geheim\n", "0600"));
    expect(ssh.commands.join("\n")).not.toContain("geheim");
  });
});

describe("files", () => {
  it("are read together, in the order of their paths", async () => {
    await writeFile(host, file("a.conf", "ä\n", "0600"));
    writeFileSync(join(directory, "empty"), "", { mode: 0o644 });
    const paths = ["none", "a.conf", "empty"].map((name) => join(directory, name));
    expect(await readFiles(host, paths)).toEqual([
      undefined,
      {
        content: "ä\n",
        sha256: "ac6f010e65c9ea739dbdaa21427edd5ef60c6d461ef4d619c003e3ab62453a56",
        owner,
        group,
        mode: "0600",
      },
      {
        content: "",
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        owner,
        group,
        mode: "0644",
      },
    ]);
    expect(ssh.commands).toHaveLength(2);
  });

  it("that are directories are an error", async () => {
    await expect(readFiles(host, [directory])).rejects.toThrow(`${directory} is not a file`);
  });

  it("are removed, and removing what is not there is no error", async () => {
    await writeFile(host, file("a.conf", "x\n"));
    expect(await removeFile(host, join(directory, "a.conf"))).toBe(true);
    expect(await removeFile(host, join(directory, "a.conf"))).toBe(false);
    expect(readdirSync(directory)).toEqual([]);
  });
});
