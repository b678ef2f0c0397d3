import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { downloadFiles, writeFiles } from "./hostFiles.ts";
import { findMirrors, sourcesList } from "./machine.ts";
import { must, type Report, step } from "./shell.ts";
import { labHome, withLock } from "./state.ts";

/** Debian's releases that hosts can run. */
export type DebianVersion = 12 | 13;

const suites: Readonly<Record<DebianVersion, string>> = { 12: "bookworm", 13: "trixie" };
const postgresVersions: Readonly<Record<DebianVersion, number>> = { 12: 15, 13: 17 };

/**
 * What a host has from its first boot on. true: PostgreSQL's packages, without a cluster. "pacemaker": those of Corosync,
 * Pacemaker, PAF and the board's fence agent too, as apt leaves them: Debian's own cluster of one node runs.
 */
export type Prepared = boolean | "pacemaker";

const pacemakerPackages = [
  ...["corosync", "pacemaker", "pacemaker-cli-utils", "resource-agents", "resource-agents-paf"],
  ...["corosync-qdevice", "corosync-qnetd", "fence-agents-redfish", "nftables"],
];

const basePackages =
  "systemd,systemd-sysv,dbus,openssh-server,iproute2,iputils-arping,iputils-ping,sudo,python3-minimal,procps,netbase,ca-certificates";

/** Dies with us, and has namespaces of its own: whatever an interrupted build had mounted or started is gone with it. */
const ownNamespaces = [
  "setpriv",
  "--pdeathsig",
  "KILL",
  "unshare",
  "--mount",
  "--propagation",
  "slave",
  "--pid",
  "--fork",
  "--kill-child",
];

/**
 * The read-only layers of a host, lowest first, built on first use and cached in .lab/images: Debian alone, and with
 * `prepared` a second one with PostgreSQL's packages (no cluster created), and a third with Pacemaker's.
 */
export async function imageLayers(debian: DebianVersion, prepared: Prepared, report: Report): Promise<string[]> {
  const suite = suites[debian];
  const base = join(labHome, "images", suite);
  const layers = [base];
  await buildOnce(base, `image of Debian ${debian} (${suite})`, report, (partial) => buildBase(suite, partial, report));
  const add = async (name: string, packages: readonly string[]): Promise<void> => {
    const folder = `${base}-${name}`;
    const below = [...layers];
    await buildOnce(folder, `image with ${packages.join(" ")} on Debian ${debian}`, report, (partial) =>
      buildPrepared(below, partial, packages, report),
    );
    layers.push(folder);
  };
  const postgres = `postgresql-${postgresVersions[debian]}`;
  if (prepared !== false) await add("prepared", ["postgresql-common", postgres, "python3-minimal"]);
  if (prepared === "pacemaker") await add(`pacemaker-${shortHash(pacemakerPackages)}`, pacemakerPackages);
  return layers;
}

/** Another list of packages is another image. */
function shortHash(packages: readonly string[]): string {
  return createHash("sha256").update(packages.join(" ")).digest("hex").slice(0, 8);
}

/** A folder is an image only under its final name: an interrupted build is thrown away and begun again. */
async function buildOnce(
  folder: string,
  what: string,
  report: Report,
  build: (partial: string) => Promise<void>,
): Promise<void> {
  if (existsSync(folder)) return;
  await withLock(`image ${folder}`, async () => {
    if (existsSync(folder)) return;
    const partial = `${folder}.partial`;
    await removeTree(partial);
    mkdirSync(partial, { recursive: true });
    await step(report, what, () => build(partial));
    renameSync(partial, folder);
  });
}

async function buildBase(suite: string, partial: string, report: Report): Promise<void> {
  const sources = sourcesList(suite, await findMirrors());
  await must(
    [
      ...ownNamespaces,
      "--mount-proc",
      "mmdebstrap",
      "--variant=minbase",
      `--include=${basePackages}`,
      "--format=directory",
      suite,
      partial,
      ...sources,
    ],
    { limitSeconds: 600, onLine: (line) => line.startsWith("I: ") && report(`  ${line.slice(3)}`) },
  );
  const etc = join(partial, "etc");
  for (const key of ["ecdsa", "ed25519", "rsa"]) {
    for (const end of ["", ".pub"]) rmSync(join(etc, "ssh", `ssh_host_${key}_key${end}`), { force: true });
  }
  for (const file of ["hostname", "resolv.conf", "machine-id"]) rmSync(join(etc, file), { force: true });
  writeFileSync(join(etc, "apt", "sources.list"), `${sources.join("\n")}\n`);
  await must(["chroot", partial, "systemctl", "enable", "systemd-networkd", "ssh"]);
}

/** Installs into an overlay whose upper folder becomes the layer. apt's lists stay, so that later installs start at once. */
async function buildPrepared(
  below: readonly string[],
  partial: string,
  packages: readonly string[],
  report: Report,
): Promise<void> {
  const work = `${partial}.work`;
  const root = `${partial}.root`;
  for (const folder of [work, root]) {
    await removeTree(folder);
    mkdirSync(folder, { recursive: true });
  }
  writeFiles(partial, await downloadFiles(below[0] ?? ""));
  const script = `set -e
    mount -t overlay overlay -o lowerdir="$1",upperdir="$2",workdir="$3" "$4"
    mount --bind /dev "$4/dev"
    mount -t proc proc "$4/proc"
    root=$4; shift 4
    mkdir -p "$root/etc/postgresql-common/createcluster.d"
    echo 'create_main_cluster = false' > "$root/etc/postgresql-common/createcluster.d/00.conf"
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
    chroot "$root" apt-get update
    chroot "$root" apt-get install -y --no-install-recommends "$@"
    chroot "$root" apt-get clean`;
  const lower = [...below].reverse().join(":");
  await must([...ownNamespaces, "sh", "-c", script, "sh", lower, partial, work, root, ...packages], {
    limitSeconds: 900,
    onLine: (line) => /^(Fetched|Setting up (postgresql|pacemaker))/.test(line) && report(`  ${line}`),
  });
  for (const folder of [work, root]) await removeTree(folder);
}

/** Removes a tree, but never what might be mounted inside it. */
export async function removeTree(folder: string): Promise<void> {
  await must(["rm", "-rf", "--one-file-system", folder], { limitSeconds: 120 });
}
