import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import type * as plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import { expect, onTestFinished, test } from "vitest";

const script = fileURLToPath(new URL("../../provider/pulumi-resource-pgha", import.meta.url));

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
