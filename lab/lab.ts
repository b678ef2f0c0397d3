import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { UserError } from "../model/fault.ts";
import { boardFiles, boardPort, boardUser, startBoard, stopBoard } from "./board.ts";
import { bootCgroups, freezeCgroup, removeLabCgroup } from "./cgroup.ts";
import {
  healHosts,
  type LossDirection,
  limitRate,
  loseFrames,
  type PartitionOptions,
  partitionHost,
} from "./faults.ts";
import { eraseHost, killHost, makeHostKey, makeKey, recordPids, runningBoot, startHost } from "./host.ts";
import { type DebianVersion, imageLayers, type Prepared, removeTree } from "./image.ts";
import { requireLabMachine } from "./machine.ts";
import { type HostNames, hostNames, type LabNames, labNames, type NetworkName } from "./names.ts";
import { createNetworks, leftPorts, removeNetworks } from "./network.ts";
import { type OwnerWatch, watchOwners } from "./owners.ts";
import { type Output, type Report, run } from "./shell.ts";
import { openSlowLink, type SlowLink } from "./slowLink.ts";
import { existingLabs, type HostState, type LabState, labFiles, readState, withLock, writeState } from "./state.ts";

export interface LabWish {
  /** "demo" (the default everywhere else), "test", "bench", or one other name at a time. */
  readonly name: string;
  /** pg1 to pgN. Hosts of the lab beyond N are left as they are. */
  readonly hosts: number;
  /** Debian release of hosts that are made now. Default 13. */
  readonly debian?: DebianVersion;
  /**
   * Hosts made now have PostgreSQL's packages already (17 on Debian 13, 15 on Debian 12), without a cluster; "pacemaker":
   * Pacemaker's too. Default false.
   */
  readonly prepared?: Prepared;
  /**
   * Hosts made now keep /var/lib/postgresql on an ext4 volume of this size, so that a full disk fills nothing else.
   * Default: none, it lies on the host's own disk, which is this machine's.
   */
  readonly dataVolumeMegabytes?: number;
  /** Throw away what the hosts hold and boot them new, as `reset` does. Default false: what exists goes on. */
  readonly fresh?: boolean;
  /** Receives progress, one line at a time. Default: nowhere. */
  readonly report?: Report;
}

/** One host as tests and stack files need it. */
export interface LabHost {
  readonly name: string;
  /** Service address: SSH, clients. */
  readonly address: string;
  readonly addresses: Readonly<Record<NetworkName, string>>;
  /** "ssh-ed25519 AAAA…" */
  readonly hostKey: string;
}

/** A lab that runs. Hosts are named by their name; a name that the lab does not have throws. */
export interface Lab {
  readonly name: string;
  readonly hosts: readonly LabHost[];
  /** Private key of root on every host. */
  readonly keyFile: string;
  readonly knownHostsFile: string;
  /** An address of the service network (/26) that no host has: for a virtual IP. */
  readonly virtualIp: string;
  /** The management board that fences hosts (Redfish over HTTPS, certificate of its own). */
  readonly board: {
    readonly address: string;
    readonly port: number;
    readonly user: string;
    readonly passwordFile: string;
  };
  host(name: string): LabHost;
  /** The power fails: cables first, then every process. Returns when nothing of the host is left but its disk. */
  kill(host: string): Promise<void>;
  /** Power comes back: boots on the disk it had; returns when sshd answers. A partition made before still holds. */
  start(host: string): Promise<void>;
  /** Cuts a host off, from everybody on every network unless the options say less. */
  partition(host: string, options?: { networks?: readonly NetworkName[]; from?: readonly string[] }): Promise<void>;
  /** Ends partitions, losses and rate limits: of one host, or of all. */
  heal(host?: string): Promise<void>;
  /** Loses this share of all frames that the host sends, that are sent to it ("to"), or both. Default "from". */
  lose(host: string, percent: number, direction?: LossDirection): Promise<void>;
  /** Holds everything sent to the host to this rate. */
  limitRate(host: string, megabitsPerSecond: number): Promise<void>;
  /** Stalls every process of the host where it stands; its kernel goes on acknowledging TCP. */
  freeze(host: string): Promise<void>;
  thaw(host: string): Promise<void>;
  /** A bare host again: everything written since its first boot is gone; addresses and keys stay. */
  reset(host: string): Promise<void>;
  /** Runs a command as root inside the host's namespaces without the network, also while it is cut off or frozen. */
  insideHost(host: string, argv: readonly string[], limitSeconds: number, stdin?: string): Promise<Output>;
  /** Asks many times a second, on the network of the lab that it is in, who answers for an address (of a virtual IP, say). */
  watchOwners(address: string): Promise<OwnerWatch>;
  /** A local port that leads to the host's sshd over a longer way: `milliseconds` are added to every round trip. */
  slowLink(host: string, milliseconds: number): Promise<SlowLink>;
  /** Removes everything but the images. */
  down(): Promise<void>;
}

const silent: Report = () => undefined;

/** Brings a lab up as wished (see `bringUp`) and returns the handle that tests work with. */
export async function openLab(wish: LabWish): Promise<Lab> {
  await bringUp(wish);
  return attachLab(wish.name, wish.report);
}

/**
 * Makes what is missing, starts what is down, thaws and heals the rest: may be repeated at any moment, and after an
 * interruption or a reboot of the machine.
 */
export async function bringUp(wish: LabWish): Promise<void> {
  requireLabMachine();
  const names = labNames(wish.name);
  const report = wish.report ?? silent;
  const debian = wish.debian ?? 13;
  const prepared = wish.prepared ?? false;
  hostNames(wish.name, wish.hosts);
  refuseSameAddresses(wish.name);
  await withLock(`lab ${wish.name}`, async () => {
    const files = labFiles(wish.name);
    mkdirSync(files.hostsFolder, { recursive: true });
    await makeKey(files.keyFile, `root of lab ${wish.name}`);
    const state = await stateAsWished(wish, debian, prepared);
    await imageLayers(debian, prepared, report);
    writeState(state);
    writeFileSync(files.knownHostsFile, knownHosts(state));
    await createNetworks(names, files.folder);
    await startBoard(names);
    const wanted = state.hosts.filter((host) => host.number <= wish.hosts);
    await Promise.all(wanted.map((host) => thawIfRunning(names, host.name)));
    await startHosts(names, state, wanted, report);
  });
}

/** The wished hosts beside those that exist already. An existing host keeps its image unless it is made fresh. */
async function stateAsWished(wish: LabWish, debian: DebianVersion, prepared: Prepared): Promise<LabState> {
  const files = labFiles(wish.name);
  const before = readState(wish.name)?.hosts ?? [];
  const hosts: HostState[] = before.filter((host) => host.number > wish.hosts);
  for (let number = 1; number <= wish.hosts; number++) {
    const found = before.find((host) => host.number === number);
    if (found !== undefined && !wish.fresh) {
      refuseOtherImage(wish, found);
      hosts.push(found);
      continue;
    }
    const names = hostNames(wish.name, number);
    await killHost(labNames(wish.name), names);
    await eraseHost(wish.name, names.name);
    const hostKey = await makeHostKey(wish.name, names.name);
    const dataVolumeMegabytes = wish.dataVolumeMegabytes ?? null;
    const { name, addresses } = names;
    const image = { debian, prepared, dataVolumeMegabytes };
    hosts.push({ name, number, addresses: { ...addresses }, hostKey, ...image, initPid: null });
  }
  hosts.sort((one, other) => one.number - other.number);
  return { version: 1, lab: wish.name, keyFile: files.keyFile, knownHostsFile: files.knownHostsFile, hosts };
}

function refuseOtherImage(wish: LabWish, host: HostState): void {
  const debian = wish.debian ?? host.debian;
  const prepared = wish.prepared ?? host.prepared;
  if (debian === host.debian && prepared === host.prepared) return;
  throw new UserError(
    `lab ${wish.name}: found ${host.name} on ${describeImage(host)}, expected ${describeImage({ debian, prepared })}. Run lab/lab down --lab ${wish.name} first: the host's disk cannot change its image.`,
  );
}

/** "Debian 13", "Debian 13 prepared", "Debian 13 prepared (pacemaker)" */
export function describeImage({ debian, prepared }: Pick<HostState, "debian" | "prepared">): string {
  if (prepared === false) return `Debian ${debian}`;
  return `Debian ${debian} prepared${prepared === true ? "" : ` (${prepared})`}`;
}

/** Labs of other names than the three known ones share one /26. */
function refuseSameAddresses(lab: string): void {
  const base = hostNames(lab, 1).addresses.service;
  const other = existingLabs().find((name) => name !== lab && hostNames(name, 1).addresses.service === base);
  if (other === undefined) return;
  throw new UserError(
    `--lab ${lab}: found lab ${other} with the same addresses, expected one lab beside demo, test and bench. Run: lab/lab down --lab ${other}`,
  );
}

function knownHosts(state: LabState): string {
  return state.hosts.map((host) => `${host.addresses.service},${host.name} ${host.hostKey}\n`).join("");
}

/** Starts hosts beside each other; what started is recorded even where another host failed. */
async function startHosts(
  names: LabNames,
  state: LabState,
  hosts: readonly HostState[],
  report: Report,
): Promise<void> {
  const results = await Promise.allSettled(
    hosts.map(async (host) => {
      host.initPid = await startHost(names, host, report);
    }),
  );
  for (const host of state.hosts) host.initPid = runningBoot(names, host.name)?.initPid ?? null;
  writeState(state);
  const failed = results.flatMap((result) => (result.status === "rejected" ? [result.reason as Error] : []));
  if (failed.length === 1) throw failed[0];
  if (failed.length > 1) throw new Error(failed.map((error) => error.message).join("\n"));
}

async function eraseRunningHost(names: LabNames, host: HostState): Promise<void> {
  await killHost(names, hostNames(names.lab, host.number));
  await eraseHost(names.lab, host.name);
}

async function thawIfRunning(names: LabNames, host: string): Promise<void> {
  const boot = runningBoot(names, host);
  if (boot !== undefined) await freezeCgroup(boot.path, false);
}

/** Removes everything that the lab made on this machine, except cached images; also what an interrupted command left. */
export async function takeDown(lab: string, report: Report = silent): Promise<void> {
  requireLabMachine();
  const names = labNames(lab);
  await withLock(`lab ${lab}`, async () => {
    const numbers = new Set((readStateIfReadable(lab)?.hosts ?? []).map((host) => host.number));
    for (const boot of bootCgroups(names.slice)) {
      if (boot.host.startsWith("pg")) numbers.add(Number(boot.host.slice(2)));
    }
    for (const port of await leftPorts(names)) numbers.add(Number(/-pg(\d+)[scr]$/.exec(port)?.[1]));
    await stopBoard(names);
    await Promise.all([...numbers].map((number) => killHost(names, hostNames(lab, number))));
    await removeLabCgroup(names.slice);
    await removeNetworks(names);
    // The state goes first: hosts without state are made anew, so an interrupted removal leaves nothing half valid.
    const files = labFiles(lab);
    const keys = [files.keyFile, `${files.keyFile}.pub`];
    for (const file of [files.stateFile, files.knownHostsFile, ...keys, ...Object.values(boardFiles(lab))]) {
      rmSync(file, { force: true });
    }
    await removeTree(files.hostsFolder);
    if (lab !== "demo") await removeTree(files.folder);
    report(`lab ${lab} is down`);
  });
}

function readStateIfReadable(lab: string): LabState | undefined {
  try {
    return readState(lab);
  } catch {
    return undefined;
  }
}

/** The handle of a lab that exists. */
export function attachLab(lab: string, report: Report = silent): Lab {
  requireLabMachine();
  const names = labNames(lab);
  const state = existingState(lab);
  const hostOf = (name: string): HostState => {
    const found = state.hosts.find((host) => host.name === name);
    if (found !== undefined) return found;
    const known = state.hosts.map((host) => host.name).join(", ");
    throw new UserError(`lab ${lab}: found no host ${name}, expected one of ${known}. Name one of them.`);
  };
  const namesOf = (name: string): HostNames => hostNames(lab, hostOf(name).number);
  const bootOf = (name: string): { path: string; initPid: number } => {
    const boot = runningBoot(names, hostOf(name).name);
    if (boot !== undefined) return boot;
    throw new UserError(`lab ${lab}: found ${name} down, expected it running. Run: lab/lab start ${name} --lab ${lab}`);
  };
  const hosts = state.hosts.map((host) => publicHost(host));
  return {
    name: lab,
    hosts,
    keyFile: state.keyFile,
    knownHostsFile: state.knownHostsFile,
    virtualIp: names.virtualIp,
    board: { address: names.gateway, port: boardPort, user: boardUser, passwordFile: boardFiles(lab).password },
    host: (name) => publicHost(hostOf(name)),
    kill: async (host) => {
      await killHost(names, namesOf(host));
      await recordPids(names);
    },
    start: async (host) => {
      await startHost(names, hostOf(host), report);
      await recordPids(names);
    },
    partition: async (host, options = {}) => {
      const { networks, from } = options;
      const wanted: PartitionOptions = {
        ...(networks === undefined ? {} : { networks }),
        ...(from === undefined ? {} : { from: from.map(namesOf) }),
      };
      await partitionHost(names, namesOf(host), wanted);
    },
    heal: async (host) => {
      await healHosts(names, host === undefined ? state.hosts.map((one) => namesOf(one.name)) : [namesOf(host)]);
    },
    lose: async (host, percent, direction = "from") => await loseFrames(names, namesOf(host), percent, direction),
    limitRate: async (host, megabitsPerSecond) => await limitRate(namesOf(host), megabitsPerSecond),
    freeze: async (host) => await freezeCgroup(bootOf(host).path, true),
    thaw: async (host) => await freezeCgroup(bootOf(host).path, false),
    reset: async (host) => {
      await eraseRunningHost(names, hostOf(host));
      await startHost(names, hostOf(host), report);
      await recordPids(names);
    },
    insideHost: async (host, argv, limitSeconds, stdin) =>
      await runInside(bootOf(host).initPid, argv, limitSeconds, stdin),
    watchOwners: async (address) => {
      const range = (text: string) => text.slice(0, text.lastIndexOf("."));
      const network = names.networks.find(({ subnet }) => range(subnet) === range(address));
      if (network === undefined) throw new Error(`${address} is in none of the lab's networks`);
      const running = state.hosts.filter((host) => runningBoot(names, host.name) !== undefined);
      const hardware = running.map(async (host) => {
        const file = `/sys/class/net/${network.hostInterface}/address`;
        return [host.name, (await runInside(bootOf(host.name).initPid, ["cat", file], 10, undefined)).stdout.trim()];
      });
      const hosts: Record<string, string> = Object.fromEntries(await Promise.all(hardware));
      return await watchOwners({ bridge: network.bridge, address, hosts });
    },
    slowLink: async (host, milliseconds) => await openSlowLink(hostOf(host).addresses.service, 22, milliseconds),
    down: async () => await takeDown(lab, report),
  };
}

function existingState(lab: string): LabState {
  const state = readState(lab);
  if (state !== undefined) return state;
  throw new UserError(`lab ${lab}: found no such lab, expected it to exist. Run: lab/lab up --lab ${lab}`);
}

function publicHost(host: HostState): LabHost {
  return { name: host.name, address: host.addresses.service, addresses: host.addresses, hostKey: host.hostKey };
}

/** `timeout` is inside, so that the command ends too when the limit is reached. */
async function runInside(
  initPid: number,
  argv: readonly string[],
  limitSeconds: number,
  stdin: string | undefined,
): Promise<Output> {
  const clean = [
    "/usr/bin/env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
  ];
  const limited = [...clean, "LC_ALL=C.UTF-8", "timeout", "--signal=KILL", String(limitSeconds), ...argv];
  const enter = ["nsenter", "--target", String(initPid), "--all", "--wd"];
  return await run([...enter, ...limited], {
    limitSeconds: limitSeconds + 5,
    ...(stdin === undefined ? {} : { stdin }),
  });
}
