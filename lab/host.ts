import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { bootCgroups, initProcess, isFrozen, isPopulated, killCgroup, newBootCgroup, removeCgroup } from "./cgroup.ts";
import { downloadFiles, identityFiles, identityMarker, writeFiles } from "./hostFiles.ts";
import { imageLayers, removeTree } from "./image.ts";
import { findMirrors, outsideAddressesInLabRanges } from "./machine.ts";
import { type HostNames, hostNames, type LabNames } from "./names.ts";
import { interfaceExists, plugIn, removePorts, unplug } from "./network.ts";
import { must, type Report, waitFor } from "./shell.ts";
import { type HostState, labFiles, readState, withLock, writeState } from "./state.ts";

/** A host answers on SSH within this time or its start has failed. */
const readyLimitSeconds = 60;

interface HostFolders {
  readonly folder: string;
  /** What the host has written over its image. */
  readonly upper: string;
  readonly work: string;
  readonly root: string;
  /** Image file of the data volume, and where it is mounted while the host boots. */
  readonly volumeFile: string;
  readonly volume: string;
  readonly console: string;
  readonly keyFile: string;
}

function hostFolders(lab: string, host: string): HostFolders {
  const folder = join(labFiles(lab).hostsFolder, host);
  return {
    folder,
    upper: join(folder, "upper"),
    work: join(folder, "work"),
    root: join(folder, "root"),
    volumeFile: join(folder, "data.ext4"),
    volume: join(folder, "data"),
    console: join(folder, "console.log"),
    keyFile: join(folder, "ssh_host_ed25519_key"),
  };
}

/** Makes the host's key, which is known before its first boot and survives `reset`. Returns the public key. */
export async function makeHostKey(lab: string, host: string): Promise<string> {
  const { folder, keyFile } = hostFolders(lab, host);
  mkdirSync(folder, { recursive: true });
  await makeKey(keyFile, host);
  const [type, key] = readFileSync(`${keyFile}.pub`, "utf8").trim().split(" ");
  return `${type} ${key}`;
}

/** Makes an Ed25519 key pair unless it is there. */
export async function makeKey(file: string, comment: string): Promise<void> {
  if (existsSync(file) && existsSync(`${file}.pub`)) return;
  await must(["rm", "-f", file, `${file}.pub`]);
  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file]);
}

/** The boot of a host that runs, if one does. */
export function runningBoot(lab: LabNames, host: string): { path: string; initPid: number } | undefined {
  for (const boot of bootCgroups(lab.slice)) {
    if (boot.host !== host) continue;
    const initPid = initProcess(boot.path);
    if (initPid !== undefined) return { path: boot.path, initPid };
  }
  return undefined;
}

/** Writes down in lab.json which hosts run now. */
export async function recordPids(names: LabNames): Promise<void> {
  await withLock(`lab.json ${names.lab}`, async () => {
    const state = readState(names.lab);
    if (state === undefined) return;
    for (const host of state.hosts) host.initPid = runningBoot(names, host.name)?.initPid ?? null;
    writeState(state);
  });
}

export type HostCondition = "running" | "frozen" | "down";

export function hostCondition(lab: LabNames, host: string): HostCondition {
  const boot = runningBoot(lab, host);
  if (boot === undefined) return "down";
  return isFrozen(boot.path) ? "frozen" : "running";
}

/** Dies as a machine whose power fails: cables first, then every process at once. Leaves nothing but its disk. */
export async function killHost(lab: LabNames, host: HostNames): Promise<void> {
  await withLock(hostLock(lab, host), () => endBoots(lab, host));
}

/** Held while a host is begun or ended, not while it boots: a booting host can be killed. */
function hostLock(lab: LabNames, host: HostNames): string {
  return `host ${host.name} of lab ${lab.lab}`;
}

async function endBoots(lab: LabNames, host: HostNames): Promise<void> {
  const boots = bootCgroups(lab.slice).filter((boot) => boot.host === host.name);
  await unplug(host);
  for (const boot of boots) killCgroup(boot.path);
  for (const boot of boots) await removeCgroup(boot.path);
  await removePorts(host);
}

/** Throws away everything that the host has written; the next start is its first boot. */
export async function eraseHost(lab: string, host: string): Promise<void> {
  const folders = hostFolders(lab, host);
  for (const path of [folders.upper, folders.work, folders.root, folders.volumeFile]) await removeTree(path);
}

/** Boots a host (again, on what it had written) and waits until sshd answers. Returns its init's process id. */
export async function startHost(lab: LabNames, host: HostState, report: Report): Promise<number> {
  const names = hostNames(lab.lab, host.number);
  const start = Date.now();
  const begun = await withLock(hostLock(lab, names), async () => {
    const running = runningBoot(lab, host.name);
    if (running !== undefined) {
      await plugIn(lab, names);
      return { initPid: running.initPid, isNew: false };
    }
    await endBoots(lab, names);
    await layFiles(lab, host, names, report);
    report(`${host.name} boots …`);
    return { initPid: await boot(lab, host, names, report), isNew: true };
  });
  await waitForSshd(lab, names, begun.initPid);
  const took = ((Date.now() - start) / 1000).toFixed(1);
  if (begun.isNew) report(`${host.name} ready at ${host.addresses.service}: ${took} s`);
  return begun.initPid;
}

/** Identity is laid once, what downloads need before every boot: the machine's settings may have changed. */
async function layFiles(lab: LabNames, host: HostState, names: HostNames, report: Report): Promise<void> {
  const layers = await imageLayers(host.debian, host.prepared, report);
  const folders = hostFolders(lab.lab, host.name);
  const files = labFiles(lab.lab);
  const isNew = !existsSync(join(folders.upper, identityMarker));
  for (const folder of [folders.upper, folders.work, folders.root]) mkdirSync(folder, { recursive: true });
  writeFiles(folders.upper, await downloadFiles(layers[0] ?? ""));
  if (!isNew) return;
  if (host.dataVolumeMegabytes !== null) await makeDataVolume(folders, layers, host.dataVolumeMegabytes);
  const keys = {
    authorizedKey: readFileSync(`${files.keyFile}.pub`, "utf8"),
    hostPrivateKey: readFileSync(folders.keyFile, "utf8"),
    hostPublicKey: readFileSync(`${folders.keyFile}.pub`, "utf8"),
  };
  const outside = await outsideAddressesInLabRanges(await findMirrors());
  writeFiles(folders.upper, identityFiles(lab, names, keys, randomBytes(16).toString("hex"), outside));
}

const dataFolder = "var/lib/postgresql";

/** An empty ext4 file system, owned as the image's own folder is. */
async function makeDataVolume(folders: HostFolders, layers: readonly string[], megabytes: number): Promise<void> {
  const owned = layers.map((layer) => join(layer, dataFolder)).filter(existsSync);
  const { uid, gid } = owned.length > 0 ? statSync(owned.at(-1) ?? "") : { uid: 0, gid: 0 };
  mkdirSync(folders.volume, { recursive: true });
  await must(["rm", "-f", folders.volumeFile]);
  await must(["truncate", "--size", `${megabytes}M`, folders.volumeFile]);
  await must(["mkfs.ext4", "-q", "-m", "0", "-E", `root_owner=${uid}:${gid}`, folders.volumeFile]);
}

async function boot(lab: LabNames, host: HostState, names: HostNames, report: Report): Promise<number> {
  const folders = hostFolders(lab.lab, host.name);
  const layers = await imageLayers(host.debian, host.prepared, report);
  const cgroup = newBootCgroup(lab.slice, host.name);
  const log = openSync(folders.console, "w");
  const child = spawn(
    cgroup.prefix[0] ?? "sh",
    [...cgroup.prefix.slice(1), ...nspawnCommand(lab, names, layers, folders, host.dataVolumeMegabytes !== null)],
    {
      detached: true,
      stdio: ["ignore", log, log],
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" },
    },
  );
  closeSync(log);
  child.unref();
  const ended = childEnd(child);
  const stillBooting = (): void => {
    const how = ended();
    if (how === undefined) return;
    const said = readFileSync(folders.console, "utf8").trim().split("\n").slice(-5).join("\n");
    throw new Error(`${host.name}: systemd-nspawn ended (${how}) while it booted:\n${said}`);
  };
  await waitFor(`${host.name}'s network interfaces`, 20, () => {
    stillBooting();
    return Object.values(names.ports).every(interfaceExists) || undefined;
  });
  await plugIn(lab, names);
  return await waitFor(`${host.name}'s init process`, 20, () => {
    stillBooting();
    return isPopulated(cgroup.path) ? initProcess(cgroup.path) : undefined;
  });
}

function childEnd(child: ChildProcess): () => string | undefined {
  let how: string | undefined;
  child.on("error", (error) => {
    how = error.message;
  });
  child.on("exit", (code, signal) => {
    how = signal ?? `exit code ${code}`;
  });
  return () => how;
}

/** Overlay and volume are mounted in a mount namespace of the boot's own: they go when the host goes. */
function nspawnCommand(
  lab: LabNames,
  names: HostNames,
  layers: readonly string[],
  folders: HostFolders,
  hasVolume: boolean,
): readonly string[] {
  const lower = [...layers].reverse().join(":");
  const options = `lowerdir=${lower},upperdir=${folders.upper},workdir=${folders.work}`;
  const script = `set -e
    mount -t overlay overlay -o "$1" "$2"
    [ -z "$3" ] || mount -o loop "$3" "$4"
    shift 4
    exec "$@"`;
  const mounts = [options, folders.root, hasVolume ? folders.volumeFile : "", folders.volume];
  const interfaces = lab.networks.map(
    (network) => `--network-veth-extra=${names.ports[network.name]}:${network.hostInterface}`,
  );
  return [
    ...["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh", ...mounts],
    ...["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", "--directory", folders.root],
    ...["--machine", names.machine, "--hostname", names.name, ...interfaces],
    ...(hasVolume ? [`--bind=${folders.volume}:/${dataFolder}`] : []),
    ...["--resolv-conf=off", "--timezone=off", "--link-journal=no"],
    ...["--capability=CAP_NET_ADMIN,CAP_SYS_NICE", "--boot"],
  ];
}

/** sshd's banner, seen from inside the host when faults cut it off from the machine. */
async function waitForSshd(lab: LabNames, names: HostNames, initPid: number): Promise<void> {
  const address = names.addresses.service;
  const what = `the banner of sshd on ${names.name} (${address}:22)`;
  try {
    await waitFor(
      what,
      readyLimitSeconds,
      async () => {
        if (runningBoot(lab, names.name) === undefined) throw new Error(`${names.name} went down while it booted`);
        if (await answersSsh(address)) return true;
        return (await answersSshInside(initPid)) && (await isCutOff(lab, names)) ? true : undefined;
      },
      100,
    );
  } catch (error) {
    const file = hostFolders(lab.lab, names.name).console;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${names.name}: ${reason}. Its console is in ${file}`);
  }
}

async function isCutOff(lab: LabNames, names: HostNames): Promise<boolean> {
  const set = await must(["nft", "list", "set", "bridge", lab.table, "cut"]);
  return set.includes(`"${names.ports.service}"`);
}

async function answersSsh(address: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: address, port: 22, timeout: 1000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", (data) => end(data.toString("latin1").startsWith("SSH-")));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}

async function answersSshInside(initPid: number): Promise<boolean> {
  const probe = "exec 3<>/dev/tcp/127.0.0.1/22 && head -c 4 <&3";
  const argv = ["nsenter", "--net", "--target", String(initPid), "timeout", "2", "bash", "-c", probe];
  return (await must(argv, { limitSeconds: 5 }).catch(() => "")) === "SSH-";
}
