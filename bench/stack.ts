import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Lab } from "../lab/lab.ts";
import { noFencingConsequence } from "../model/pacemaker/fencing.ts";
import { type DeclaredCluster, openDeclaredCluster } from "../test/support/declaredCluster.ts";
import { boardDevices, boardSecret } from "../test/support/fencingBoard.ts";

const root = join(import.meta.dirname, "..");
const folder = join(root, ".tools", "bench");
const stackFile = join(folder, "Pulumi.bench.yaml");
const stack = "bench";

export const benchCluster = "bench";

export interface ClusterWish {
  readonly walSegmentSize: "1MB" | "16MB";
  readonly primary?: string;
  /** Under Pacemaker, with this virtual IP. Default: no failover manager. */
  readonly virtualIp?: string;
  /** By the lab's management board. Default: not, for fencing plays no part in what is planned. */
  readonly fenced?: boolean;
  /** Server parameters beside ours. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Every SSH session leads over this host. Default: straight. */
  readonly jump?: {
    readonly address: string;
    readonly port: number;
    readonly user: string;
    readonly hostKey: string;
  };
}

/** The stack file of three hosts with one cluster, quorum 1: what the goals are for. */
export function benchStackFile(lab: Lab, wish: ClusterWish): string {
  const hosts = lab.hosts.slice(0, 3);
  return stringify({
    config: {
      "pgha:ssh": {
        user: "root",
        privateKeyFile: lab.keyFile,
        ...(wish.jump === undefined ? {} : { jump: wish.jump }),
      },
      "pgha:hosts": Object.fromEntries(
        hosts.map((host) => [host.name, { address: { ...host.addresses }, hostKey: host.hostKey }]),
      ),
      // The client runs on this machine, which has the first address of the lab's service network.
      "pgha:networks": { clients: "198.51.100.0/24" },
      ...(wish.virtualIp === undefined
        ? {}
        : { "pgha:pacemaker": { main: { detection: "fast", fencing: fencing(lab, wish.fenced) } } }),
      ...(wish.fenced === true
        ? { "pgha:fencingSecrets": { [boardSecret]: readFileSync(lab.board.passwordFile, "utf8") } }
        : {}),
      "pgha:clusters": {
        [benchCluster]: {
          postgresVersion: 17,
          members: Object.fromEntries(hosts.map((host) => [host.name, {}])),
          primary: wish.primary ?? hosts[0]?.name,
          synchronous: { quorum: 1 },
          walSegmentSize: wish.walSegmentSize,
          clientNetworks: ["clients"],
          ...(wish.virtualIp === undefined
            ? {}
            : { failover: { manager: "pacemaker" }, virtualIps: { primary: wish.virtualIp } }),
          ...(wish.parameters === undefined ? {} : { parameters: wish.parameters }),
        },
      },
    },
  });
}

function fencing(lab: Lab, fenced = false): object {
  return fenced ? { devices: boardDevices(lab.board, lab.hosts.slice(0, 3)) } : { none: noFencingConsequence };
}

/** The benchmark's own stack, in a state of its own: nothing of it is ever seen by another stack. */
export async function newStack(lab: Lab, wish: ClusterWish): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "state"), { recursive: true });
  await pulumi(["stack", "init", stack, "--no-select", "--non-interactive"], 60);
  declare(lab, wish);
}

/** Writes the stack file; the next `up` carries it out. */
export function declare(lab: Lab, wish: ClusterWish): void {
  writeFileSync(stackFile, benchStackFile(lab, wish));
}

/** `pulumi up` as a person in a hurry types it; returns its seconds. */
export function up(limitSeconds = 300): Promise<number> {
  return pulumi(["up", "--stack", stack, "--config-file", stackFile, "--yes", "--skip-preview"], limitSeconds);
}

export function preview(): Promise<number> {
  return pulumi(["preview", "--stack", stack, "--config-file", stackFile], 120);
}

export function removeStack(): void {
  rmSync(folder, { recursive: true, force: true });
}

/**
 * The hosts as they were made, a new stack, and one `up`. Hosts must have been used by nobody else. `afterwards`: what is
 * different for whoever works on the cluster from then on.
 */
export async function freshCluster(
  lab: Lab,
  wish: ClusterWish,
  afterwards: Partial<ClusterWish> = {},
): Promise<DeclaredCluster> {
  await Promise.all(lab.hosts.slice(0, 3).map((host) => lab.reset(host.name)));
  await newStack(lab, wish);
  await up();
  return openDeclaredCluster(benchStackFile(lab, { ...wish, ...afterwards }), benchCluster);
}

let endRunning: (() => void) | undefined;

/** Ends the program that is being timed, with all it started; for a benchmark that is interrupted. */
export function endTimedProgram(): void {
  endRunning?.();
}

/** Seconds that a program took. One that fails or hangs throws with the end of what it said. */
export function timed(
  program: string,
  args: readonly string[],
  limitSeconds: number,
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    // A group of its own, so that what hangs is ended with all it started.
    const child = spawn(program, args, {
      cwd: root,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said = (said + text).slice(-4000);
      });
    }
    const end = (signal: NodeJS.Signals) => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal);
    };
    endRunning = () => end("SIGTERM");
    const limit = setTimeout(() => end("SIGKILL"), limitSeconds * 1000);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      endRunning = undefined;
      if (code === 0) resolve((performance.now() - began) / 1000);
      else
        reject(
          new Error(`${program} ${args[0] ?? ""}: exit code ${code ?? signal} (limit ${limitSeconds} s):\n${said}`),
        );
    });
  });
}

function pulumi(args: readonly string[], limitSeconds: number): Promise<number> {
  return timed("pulumi", args, limitSeconds, {
    ...process.env,
    PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
    PULUMI_CONFIG_PASSPHRASE: "bench",
  });
}
