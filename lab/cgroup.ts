import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemdRunsMachine } from "./machine.ts";
import { waitFor } from "./shell.ts";

const hierarchies = "/sys/fs/cgroup";

/** Root of the unified hierarchy: beside the old ones on a hybrid machine, else the whole tree. */
function unifiedRoot(): string {
  const beside = join(hierarchies, "unified");
  return existsSync(join(beside, "cgroup.procs")) ? beside : hierarchies;
}

/** systemd's own old hierarchy, where the machine has it. */
function namedRoot(): string | undefined {
  const named = join(hierarchies, "systemd");
  return existsSync(join(named, "cgroup.procs")) ? named : undefined;
}

/** Folder of a lab's cgroups relative to a hierarchy's root. Below systemd it is a slice. */
function labFolder(slice: string): string {
  return systemdRunsMachine() ? `pgha.slice/${slice}.slice` : slice;
}

/** One boot of one host. A folder that was killed once kills new services at their start, so every boot has a new one. */
export interface BootCgroup {
  /** A host's name, or "board" for the management board. */
  readonly host: string;
  /** Path in the unified hierarchy. */
  readonly path: string;
}

/** Every boot of a lab that still has a cgroup, running or not. */
export function bootCgroups(slice: string): BootCgroup[] {
  const folder = join(unifiedRoot(), labFolder(slice));
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return names.flatMap((entry) => {
    const match = /^pgha-[a-z0-9]+-([a-z0-9]+)\.b[a-z0-9]+(?:\.scope)?$/.exec(entry.name);
    return match?.[1] === undefined ? [] : [{ host: match[1], path: join(folder, entry.name) }];
  });
}

/** Processes of a cgroup and everything below it. */
export function processesIn(path: string): number[] {
  try {
    const own = readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    const folders = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...folders.flatMap((entry) => processesIn(join(path, entry.name)))];
  } catch {
    return [];
  }
}

/** The host's init: process 1 of a process namespace of its own. */
export function initProcess(path: string): number | undefined {
  return processesIn(path).find((pid) => {
    try {
      const line = /^NSpid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
      const ids = line.split(/\s+/);
      return ids.length > 1 && ids.at(-1) === "1";
    } catch {
      return false;
    }
  });
}

/** True while the boot has processes that the kernel has not finished with. */
export function isPopulated(path: string): boolean {
  try {
    return /^populated 1$/m.test(readFileSync(join(path, "cgroup.events"), "utf8"));
  } catch {
    return false;
  }
}

/** How a boot enters its cgroup before it becomes systemd-nspawn. */
export interface CgroupEntry {
  readonly path: string;
  /** Put before the command. */
  readonly prefix: readonly string[];
}

/** A new cgroup for one boot: made here, or asked from systemd where it runs the machine. */
export function newBootCgroup(slice: string, host: string): CgroupEntry {
  const name = `${slice}-${host}.b${Date.now().toString(36)}`;
  if (systemdRunsMachine()) {
    const path = join(unifiedRoot(), labFolder(slice), `${name}.scope`);
    const scope = ["--scope", "--quiet", "--collect", `--unit=${name}.scope`, `--slice=${slice}.slice`];
    return { path, prefix: ["systemd-run", ...scope, "--property=Delegate=yes", "--"] };
  }
  const relative = join(labFolder(slice), name);
  const roots = [unifiedRoot(), namedRoot()].filter((root) => root !== undefined);
  for (const root of roots) mkdirSync(join(root, relative), { recursive: true });
  const enter = `for folder in ${roots.map((root) => `'${join(root, relative)}'`).join(" ")}; do echo $$ > "$folder/cgroup.procs" || exit 1; done; exec "$@"`;
  return { path: join(unifiedRoot(), relative), prefix: ["sh", "-c", enter, "sh"] };
}

/** Ends every process of a boot at once, without giving any the time to say so. */
export function killCgroup(path: string): void {
  try {
    writeFileSync(join(path, "cgroup.kill"), "1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Stops (or lets go on) every process of a boot where it stands, as a stalled machine does. */
export async function freezeCgroup(path: string, frozen: boolean): Promise<void> {
  writeFileSync(join(path, "cgroup.freeze"), frozen ? "1" : "0");
  await waitFor(
    `cgroup ${path} to be ${frozen ? "frozen" : "thawed"}`,
    10,
    () => isFrozen(path) === frozen || undefined,
    5,
  );
}

export function isFrozen(path: string): boolean {
  try {
    return /^frozen 1$/m.test(readFileSync(join(path, "cgroup.events"), "utf8"));
  } catch {
    return false;
  }
}

/** Waits until the kernel has finished with a killed boot, then removes its folders in every hierarchy. */
export async function removeCgroup(path: string): Promise<void> {
  await waitFor(`the processes in ${path} to end`, 30, () => !isPopulated(path) || undefined, 5);
  const relative = path.slice(unifiedRoot().length);
  const roots = [unifiedRoot(), namedRoot()].filter((root) => root !== undefined);
  for (const root of roots) await removeFolders(join(root, relative));
}

/** Removes the lab's own folder once no boot is left in it. */
export async function removeLabCgroup(slice: string): Promise<void> {
  if (systemdRunsMachine()) return;
  for (const root of [unifiedRoot(), namedRoot()]) {
    if (root !== undefined) await removeFolders(join(root, labFolder(slice)));
  }
}

async function removeFolders(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeFolders(join(path, entry.name));
  }
  await waitFor(`cgroup ${path} to become free`, 10, () => {
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      return undefined;
    }
  });
}
