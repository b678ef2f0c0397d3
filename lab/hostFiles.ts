import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { aptDownloadSettings, extraCertificates, resolvConf } from "./machine.ts";
import { type HostNames, type LabNames, networkNames } from "./names.ts";

/** A file laid into a host's layer before it boots. */
export interface HostFile {
  /** Path below the host's root, without a leading slash. */
  readonly path: string;
  readonly text: string;
  /** Default 0o644. */
  readonly mode?: number;
}

/** Writes files into a layer; folders that it makes get 0755, root's home 0700. */
export function writeFiles(layer: string, files: readonly HostFile[]): void {
  for (const file of files) {
    const path = join(layer, file.path);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(path, file.text);
    chmodSync(path, file.mode ?? 0o644);
  }
  for (const folder of ["root", "root/.ssh"])
    if (existsSync(join(layer, folder))) chmodSync(join(layer, folder), 0o700);
}

/** What a host needs so that downloads work in it as they do on the machine. `base` is the layer below. */
export async function downloadFiles(base: string): Promise<HostFile[]> {
  const certificates = extraCertificates();
  const files: HostFile[] = [
    { path: "etc/resolv.conf", text: resolvConf() },
    { path: "etc/apt/apt.conf.d/90lab", text: await aptDownloadSettings() },
  ];
  for (const [file, text] of certificates) files.push({ path: `usr/local/share/ca-certificates/${file}`, text });
  if (certificates.size > 0) {
    const bundle = "etc/ssl/certs/ca-certificates.crt";
    files.push({ path: bundle, text: [readFileSync(join(base, bundle), "utf8"), ...certificates.values()].join("\n") });
  }
  return files;
}

/** A layer that has this file has all of `identityFiles`. */
export const identityMarker = "root/.ssh/authorized_keys";

/** What makes a host this host: name, addresses, keys. */
export function identityFiles(
  lab: LabNames,
  host: HostNames,
  keys: { readonly authorizedKey: string; readonly hostPrivateKey: string; readonly hostPublicKey: string },
  machineId: string,
  outsideAddresses: readonly string[],
): HostFile[] {
  const files: HostFile[] = [
    { path: "etc/hostname", text: `${host.name}\n` },
    {
      path: "etc/hosts",
      text: `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n${host.addresses.service} ${host.name}\n`,
    },
    { path: "etc/machine-id", text: `${machineId}\n`, mode: 0o444 },
    { path: "etc/ssh/ssh_host_ed25519_key", text: keys.hostPrivateKey, mode: 0o600 },
    { path: "etc/ssh/ssh_host_ed25519_key.pub", text: keys.hostPublicKey },
  ];
  for (const name of networkNames) {
    const network = lab.networks.find((candidate) => candidate.name === name);
    if (network === undefined) continue;
    const text = networkUnit(
      network.hostInterface,
      `${host.addresses[name]}/26`,
      name === "service" ? lab.gateway : undefined,
      outsideAddresses,
    );
    files.push({ path: `etc/systemd/network/10-${network.hostInterface}.network`, text });
  }
  // Last: its presence says that all the others were written.
  files.push({ path: identityMarker, text: keys.authorizedKey, mode: 0o600 });
  return files;
}

/** A static address for systemd-networkd; with a gateway also the default route and those to outside addresses. */
export function networkUnit(
  name: string,
  address: string,
  gateway: string | undefined,
  outsideAddresses: readonly string[],
): string {
  const lines = [`[Match]`, `Name=${name}`, ``, `[Network]`, `Address=${address}`, `LinkLocalAddressing=no`];
  lines.push(`DHCP=no`, `IPv6AcceptRA=no`);
  if (gateway !== undefined) {
    lines.push(`Gateway=${gateway}`);
    for (const outside of outsideAddresses) {
      lines.push(``, `[Route]`, `Destination=${outside}/32`, `Gateway=${gateway}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
