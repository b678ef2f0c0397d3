import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import type * as plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import { expect, onTestFinished, test, vi } from "vitest";
import { agentSocketPath } from "../../remote/localAgent.ts";
import { openRemoteHosts } from "../../remote/pool.ts";
import { startSshServer } from "../support/sshServer.ts";

const script = fileURLToPath(new URL("../../provider/pulumi-resource-pgha", import.meta.url));

// Each test starts processes of its own, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

interface Started {
  readonly child: ChildProcess;
  readonly firstLine: string;
  readonly exited: Promise<number | null>;
}

function start(stdin: "pipe" | "ignore", program = script): Promise<Started> {
  const child = spawn(program, ["127.0.0.1:1"], { cwd: tmpdir(), stdio: [stdin, "pipe", "inherit"] });
  const exited = new Promise<number | null>((resolve) => child.on("exit", resolve));
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.stdout?.once("data", (chunk: Buffer) => {
      resolve({ child, firstLine: chunk.toString(), exited });
    });
  });
}

function askVersion(port: number): Promise<string> {
  const client = new providerGrpc.ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
  onTestFinished(() => client.close());
  return new Promise((resolve, reject) => {
    client.getPluginInfo(new emptyMessages.Empty(), (error: Error | null, info: plugin.PluginInfo) => {
      if (error === null) resolve(info.getVersion());
      else reject(error);
    });
  });
}

test("the script runs from any directory, also through a link, and its first line is the port", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pgha-script-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  symlinkSync(script, join(directory, "pulumi-resource-pgha"));
  for (const program of [script, join(directory, "pulumi-resource-pgha")]) {
    const { firstLine } = await start("pipe", program);
    expect(firstLine).toMatch(/^\d+\n$/);
    expect(await askVersion(Number(firstLine))).toBe("0.1.0");
  }
});

test("it is the SSH agent of its stack from the settings on until it ends, also when no program runs", async () => {
  const ssh = await startSshServer();
  onTestFinished(() => ssh.close());
  const { privateKeyFile = "", ...target } = ssh.target;
  const stack = { project: "pgha", stack: `process-${process.pid}` };
  const { child, firstLine, exited } = await start("pipe");
  const client = new providerGrpc.ResourceProviderClient(
    `127.0.0.1:${Number(firstLine)}`,
    credentials.createInsecure(),
  );
  onTestFinished(() => client.close());
  const request = new providerMessages.ConfigureRequest().setUrn(
    `urn:pulumi:${stack.stack}::pgha::pulumi:providers:pgha::default`,
  );
  const hosts = { pg1: { address: target.address, sshPort: target.port, hostKey: target.hostKey } };
  const settings = { ssh: JSON.stringify({ privateKeyFile }), hosts: JSON.stringify(hosts) };
  request.setArgs(Struct.fromJavaScript(settings));
  await new Promise<void>((resolve, reject) =>
    client.configure(request, (error: Error | null) => (error === null ? resolve() : reject(error))),
  );
  const socketPath = agentSocketPath(stack, privateKeyFile);
  expect(existsSync(socketPath)).toBe(true);
  const reached = openRemoteHosts([{ ...target, agentSocket: socketPath }]);
  onTestFinished(() => reached.close());
  expect(await reached.host("pg1").must({ argv: ["echo", "in"], limitSeconds: 5, purpose: "log in" })).toBe("in\n");
  child.kill("SIGINT");
  expect(await exited).toBe(0);
  expect(existsSync(socketPath)).toBe(false);
});

test("an idle provider ends at once when it is interrupted", async () => {
  const { child, exited } = await start("pipe");
  child.kill("SIGINT");
  expect(await exited).toBe(0);
});

test("a provider whose engine is gone ends, for that is all it ever sees of it", async () => {
  const { child, exited } = await start("pipe");
  child.stdin?.end();
  expect(await exited).toBe(0);
});

test("a provider that was started by hand, without a standard input, stays", async () => {
  const { firstLine } = await start("ignore");
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await askVersion(Number(firstLine))).toBe("0.1.0");
});
