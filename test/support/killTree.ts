import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Ends a running pulumi as a power failure would: the CLI, its language host and its providers, at once. */
export function killTree({ child: { pid } }: { readonly child: ChildProcess }): void {
  if (pid === undefined) return;
  for (const one of [pid, ...descendants(pid)]) {
    try {
      process.kill(one, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

function descendants(root: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const found: number[] = [];
  const open = [root];
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    for (const [pid, of] of parents) {
      if (of !== parent) continue;
      found.push(pid);
      open.push(pid);
    }
  }
  return found;
}
