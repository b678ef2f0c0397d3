import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { waitFor } from "./shell.ts";

const addresses = z.object({ service: z.ipv4(), cluster: z.ipv4(), replication: z.ipv4() });

const hostState = z.object({
  name: z.string(),
  /** 1 for pg1. */
  number: z.number().int().positive(),
  addresses,
  /** Public host key in authorized_keys form, known before the first boot. */
  hostKey: z.string().startsWith("ssh-ed25519 "),
  debian: z.union([z.literal(12), z.literal(13)]),
  /** Which packages the host's layers have in them: none, PostgreSQL's, or Pacemaker's too. */
  prepared: z.union([z.boolean(), z.literal("pacemaker")]),
  /** Size of the volume at /var/lib/postgresql; null where the host has none. */
  dataVolumeMegabytes: z.number().int().positive().nullable(),
  /** Process id, on the machine, of the host's init; null while the host is down. */
  initPid: z.number().int().positive().nullable(),
});

/** lab.json: what exists. What runs is asked from the kernel; `initPid` is for readers of the file. */
const labState = z.object({
  version: z.literal(1),
  lab: z.string(),
  /** Private key of root on every host. */
  keyFile: z.string(),
  knownHostsFile: z.string(),
  hosts: z.array(hostState),
});

export type HostState = z.infer<typeof hostState>;
export type LabState = z.infer<typeof labState>;

/** The repository's .lab folder, shared by all labs. */
export const labHome = join(dirname(dirname(fileURLToPath(import.meta.url))), ".lab");

/** A lab's files. The demo lab's lie directly in .lab, any other's in .lab/NAME. */
export interface LabFiles {
  readonly folder: string;
  readonly stateFile: string;
  readonly keyFile: string;
  readonly knownHostsFile: string;
  readonly hostsFolder: string;
}

export function labFiles(lab: string): LabFiles {
  const folder = lab === "demo" ? labHome : join(labHome, lab);
  return {
    folder,
    stateFile: join(folder, "lab.json"),
    keyFile: join(folder, "id_ed25519"),
    knownHostsFile: join(folder, "known_hosts"),
    hostsFolder: join(folder, "hosts"),
  };
}

/** Reads a lab's state; undefined when the lab does not exist. */
export function readState(lab: string): LabState | undefined {
  const file = labFiles(lab).stateFile;
  if (!existsSync(file)) return undefined;
  try {
    return labState.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new UserError(
      `${file}: found a file that this version of the lab cannot read, expected its own. Run: lab/lab down --lab ${lab}`,
    );
  }
}

/** Replaces a lab's state in one step, so that a reader never sees half of it. */
export function writeState(state: LabState): void {
  const file = labFiles(state.lab).stateFile;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** Names of the labs that have a state file. */
export function existingLabs(): string[] {
  if (!existsSync(labHome)) return [];
  const folders = readdirSync(labHome, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return ["demo", ...folders.map((entry) => entry.name)].filter((lab) => existsSync(labFiles(lab).stateFile));
}

/**
 * Does the work while no other process changes the same thing. The lock is an abstract Unix socket: the kernel lets it
 * go with the process, so nothing stale can remain.
 */
export async function withLock<T>(what: string, work: () => Promise<T>, limitSeconds = 900): Promise<T> {
  const server = await waitFor(`another lab command that holds ${what}`, limitSeconds, () => listen(`\0pgha-${what}`));
  try {
    return await work();
  } finally {
    await new Promise((done) => server.close(done));
  }
}

async function listen(address: string): Promise<ReturnType<typeof createServer> | undefined> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      server.unref();
      resolve(server);
    });
  });
}
