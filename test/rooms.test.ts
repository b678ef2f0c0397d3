import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** The rooms, lowest first. A room imports from the rows above its own in this table, and from itself. */
const storeys: readonly (readonly string[])[] = [
  // Files that are laid on hosts: constants, and the little code that reads them once.
  ["templates", "agent"],
  ["model"],
  ["remote"],
  ["cluster"],
  ["provider"],
  ["components"],
  ["cli", "console"],
  ["stacks"],
];

/** Folders beside the rooms: they import what they need, but no room imports from them. */
const besideRooms = ["lab", "test", "bench", "tools", "policies"];

/** Modules through which a program touches anything but its own memory. */
const ioModules = new Set([
  ...["fs", "net", "tls", "dgram", "dns", "http", "https", "http2", "child_process", "cluster", "worker_threads", "os"],
  ...["readline", "process", "inspector", "ssh2", "pg", "@pulumi", "@grpc"],
]);

interface SourceFile {
  /** Path from the repository's root, with "/". */
  readonly path: string;
  readonly text: string;
}

/** One sentence for each import that the rooms' order forbids. */
function forbiddenImports(file: SourceFile): string[] {
  const room = roomOf(file.path);
  const storey = storeys.findIndex((rooms) => rooms.includes(room));
  if (storey === -1) return [];
  const isTest = /\.test\.ts$/.test(file.path);
  return importsOf(file).flatMap((imported) => {
    if (!imported.startsWith(".")) {
      if (room !== "model" || isTest || !ioModules.has(packageOf(imported))) return [];
      return [`${file.path}: found an import of ${imported}, expected no I/O in model/. Take the data as an argument.`];
    }
    const target = posix.join(posix.dirname(file.path), imported);
    const targetRoom = roomOf(target);
    if (targetRoom === room) return [];
    if (besideRooms.includes(targetRoom)) {
      if (isTest) return [];
      return [
        `${file.path}: found an import of ${target}, expected none from ${targetRoom}/. Move what is shared into a room.`,
      ];
    }
    const targetStorey = storeys.findIndex((rooms) => rooms.includes(targetRoom));
    if (targetStorey === -1 || targetStorey < storey) return [];
    const below = storeys.slice(0, storey).flat().join(", ") || "nothing";
    return [
      `${file.path}: found an import of ${target}, expected only what is below ${room}/ (${below}). Move what is shared down.`,
    ];
  });
}

/** Imports, exports from, import() and require(), types included. */
function importsOf(file: SourceFile): string[] {
  return ts.preProcessFile(file.text, true, true).importedFiles.map((imported) => imported.fileName);
}

function roomOf(path: string): string {
  return path.split("/")[0] ?? "";
}

/** "node:fs/promises" -> "fs", "@pulumi/pulumi/x" -> "@pulumi", "pg/lib/x" -> "pg". */
function packageOf(imported: string): string {
  return imported.replace(/^node:/, "").split("/")[0] ?? "";
}

function sourceFiles(room: string): SourceFile[] {
  return readdirSync(join(root, room), { recursive: true, encoding: "utf8" })
    .map((name) => posix.join(room, name.replaceAll("\\", "/")))
    .filter((path) => /\.(ts|mts|mjs|js)$/.test(path) && !path.includes("/node_modules/"))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function topFolders(): string[] {
  return readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== "node_modules")
    .map((entry) => entry.name);
}

describe("rooms", () => {
  it("import only from rooms below them", () => {
    const rooms = storeys.flat().filter((room) => topFolders().includes(room));
    const files = rooms.flatMap(sourceFiles);
    expect(files.length).toBeGreaterThan(0);
    expect(files.flatMap(forbiddenImports)).toEqual([]);
  });

  it("hold all TypeScript: a folder with sources is a room, or stands beside them", () => {
    const known = [...storeys.flat(), ...besideRooms];
    const others = topFolders().filter((folder) => !known.includes(folder));
    expect(others.flatMap(sourceFiles).map((file) => file.path)).toEqual([]);
  });
});

describe("an import is reported", () => {
  it("when it goes upwards", () => {
    const file = { path: "cluster/observe.ts", text: 'import { x } from "../components/host.ts";\n' };
    expect(forbiddenImports(file)).toEqual([
      "cluster/observe.ts: found an import of components/host.ts, expected only what is below cluster/ (templates, agent, model, remote). Move what is shared down.",
    ]);
  });

  it("when it goes upwards as a type, a re-export or at run time", () => {
    const text = [
      'import type { A } from "../remote/host.ts";',
      'export { b } from "../provider/wire.ts";',
      'const c = await import("../cluster/lock.ts");',
    ].join("\n");
    expect(forbiddenImports({ path: "model/quorum.ts", text })).toEqual([
      "model/quorum.ts: found an import of remote/host.ts, expected only what is below model/ (templates, agent). Move what is shared down.",
      "model/quorum.ts: found an import of provider/wire.ts, expected only what is below model/ (templates, agent). Move what is shared down.",
      "model/quorum.ts: found an import of cluster/lock.ts, expected only what is below model/ (templates, agent). Move what is shared down.",
    ]);
  });

  it("when it goes to a room on the same storey", () => {
    const file = { path: "cli/status.ts", text: 'import { page } from "../console/page.ts";\n' };
    expect(forbiddenImports(file)).toEqual([
      "cli/status.ts: found an import of console/page.ts, expected only what is below cli/ (templates, agent, model, remote, cluster, provider, components). Move what is shared down.",
    ]);
  });

  it("when a room takes something from the lab, the tests, the benchmarks or the tools, unless it is a test", () => {
    const text = 'import { labHosts } from "../lab/hosts.ts";\n';
    expect(forbiddenImports({ path: "cluster/observe.ts", text })).toEqual([
      "cluster/observe.ts: found an import of lab/hosts.ts, expected none from lab/. Move what is shared into a room.",
    ]);
    expect(forbiddenImports({ path: "cluster/observe.test.ts", text })).toEqual([]);
  });

  it("when model/ does I/O", () => {
    const text = ["node:fs/promises", "net", "ssh2", "pg", "@pulumi/pulumi"].map((m) => `import "${m}";`).join("\n");
    expect(forbiddenImports({ path: "model/lsn.ts", text })).toEqual([
      "model/lsn.ts: found an import of node:fs/promises, expected no I/O in model/. Take the data as an argument.",
      "model/lsn.ts: found an import of net, expected no I/O in model/. Take the data as an argument.",
      "model/lsn.ts: found an import of ssh2, expected no I/O in model/. Take the data as an argument.",
      "model/lsn.ts: found an import of pg, expected no I/O in model/. Take the data as an argument.",
      "model/lsn.ts: found an import of @pulumi/pulumi, expected no I/O in model/. Take the data as an argument.",
    ]);
  });

  it("but not when it goes downwards, stays in its room or uses what a model may use", () => {
    const text = ['import "../cluster/observe.ts";', 'import "./wire.ts";', 'import "node:fs";'].join("\n");
    expect(forbiddenImports({ path: "provider/file.ts", text })).toEqual([]);
    expect(forbiddenImports({ path: "model/schema.ts", text: 'import { z } from "zod";\n' })).toEqual([]);
  });
});
