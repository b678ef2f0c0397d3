import { lookup } from "node:dns/promises";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { delimiter, join } from "node:path";
import { UserError } from "../model/fault.ts";
import { isLabRange } from "./names.ts";
import { run } from "./shell.ts";

/** Each command the lab calls, and the Debian package that brings it. */
const tools: readonly (readonly [command: string, debianPackage: string])[] = [
  ["systemd-nspawn", "systemd-container"],
  ["mmdebstrap", "mmdebstrap"],
  ["nft", "nftables"],
  ["arping", "iputils-arping"],
  ["ip", "iproute2"],
  ["nsenter", "util-linux"],
  ["ssh-keygen", "openssh-client"],
  ["openssl", "openssl"],
  ["python3", "python3-minimal"],
];

/** The Debian packages that the lab still needs on this machine; empty when all are there. */
function missingTools(): string[] {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const missing = tools.filter(([command]) => !folders.some((folder) => existsSync(join(folder, command))));
  const packages = new Set(missing.map(([, debianPackage]) => debianPackage));
  if (!existsSync("/usr/share/keyrings/debian-archive-keyring.gpg")) packages.add("debian-archive-keyring");
  return [...packages];
}

/** This machine cannot run the lab at all; nothing that the user types differently will change that. */
export class LabImpossible extends UserError {}

/** Stops unless this is root on Linux with cgroup v2 and the tools of `missingTools`. */
export function requireLabMachine(): void {
  const elsewhere =
    "`pulumi preview` and `pulumi up` against hosts of your own need neither root nor Linux (on Windows: WSL); only the lab's hosts do: run lab/lab on a Linux machine, a virtual one will do.";
  if (process.platform !== "linux") {
    throw new LabImpossible(`lab: found ${process.platform}, expected Linux. ${elsewhere}`);
  }
  if (process.getuid?.() !== 0) {
    throw new LabImpossible(`lab: found user id ${process.getuid?.()}, expected root. Use sudo. ${elsewhere}`);
  }
  const missing = missingTools();
  if (missing.length > 0) {
    throw new LabImpossible(
      `lab: found no ${missing.join(", ")}, expected these Debian packages. Run: apt-get install -y ${missing.join(" ")}`,
    );
  }
}

/** True where systemd runs this machine; cgroups are then asked from it. */
export function systemdRunsMachine(): boolean {
  return existsSync("/run/systemd/system");
}

/** Where Debian packages come from: PGHA_LAB_MIRROR and PGHA_LAB_SECURITY_MIRROR, else the machine's own apt sources. */
export interface Mirrors {
  /** Undefined when nobody says where: an image can then not be built, but one that was built before still boots. */
  readonly debian: string | undefined;
  /** Undefined: hosts do without security updates. */
  readonly security: string | undefined;
}

export async function findMirrors(): Promise<Mirrors> {
  const listed = await run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)"]).catch(() => undefined);
  return mirrorsOf(listed?.stdout ?? "", process.env);
}

/** `listed`: lines of address and label; the label is known only after an `apt-get update`. */
export function mirrorsOf(listed: string, environment: Readonly<Record<string, string | undefined>>): Mirrors {
  const sources = listed.split("\n").map((line) => {
    const [uri = "", label = ""] = line.trim().split(" ");
    return { uri: uri.replace(/\/$/, ""), label };
  });
  const find = (label: string, folder: string) =>
    (sources.find((source) => source.label === label) ?? sources.find((source) => source.uri.endsWith(`/${folder}`)))
      ?.uri;
  return {
    debian: environment.PGHA_LAB_MIRROR ?? find("Debian", "debian"),
    security: environment.PGHA_LAB_SECURITY_MIRROR ?? find("Debian-Security", "debian-security"),
  };
}

/** sources.list lines of a suite. */
export function sourcesList(suite: string, { debian, security }: Mirrors): string[] {
  if (debian === undefined) {
    throw new LabImpossible(
      "lab: found no Debian archive in this machine's apt sources, expected one to make the hosts from. Name one: export PGHA_LAB_MIRROR=http://HOST/debian (and PGHA_LAB_SECURITY_MIRROR=http://HOST/debian-security).",
    );
  }
  return [
    `deb ${debian} ${suite} main`,
    `deb ${debian} ${suite}-updates main`,
    ...(security === undefined ? [] : [`deb ${security} ${suite}-security main`]),
  ];
}

/** The machine's apt settings that decide whether a download works: proxies, TLS, dates, retries. */
export async function aptDownloadSettings(): Promise<string> {
  const dump = await run(["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"]).catch(() => undefined);
  const wanted = /^Acquire::(https?::|Check-|Retries|ForceIPv4|Max-ValidTime)/;
  const lines = (dump?.stdout ?? "").split("\n").filter((line) => wanted.test(line) && !line.endsWith(' "";'));
  return lines.map((line) => `${line}\n`).join("");
}

/** The machine's own CA certificates (not Debian's), by file name. */
export function extraCertificates(): ReadonlyMap<string, string> {
  const folder = "/usr/local/share/ca-certificates";
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".crt")) : [];
  return new Map(files.map((file) => [file, readFileSync(join(folder, file), "utf8")]));
}

/** The machine's resolv.conf in a form that works from another network namespace. */
export function resolvConf(): string {
  const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"].filter((file) => existsSync(file));
  const texts = files.map((file) => readFileSync(file, "utf8"));
  return texts.find((text) => /^nameserver\s+(?!127\.|::1)/m.test(text)) ?? texts[0] ?? "";
}

/**
 * Addresses outside the lab that hosts must reach although they lie in the lab's ranges (some networks hand out
 * documentation addresses for their mirrors). Each needs a route of its own inside the hosts.
 */
export async function outsideAddressesInLabRanges(mirrors: Mirrors): Promise<string[]> {
  const names = [mirrors.debian, mirrors.security].flatMap((uri) => (uri === undefined ? [] : [new URL(uri).hostname]));
  const settings = await aptDownloadSettings();
  for (const match of settings.matchAll(/"(https?:\/\/[^"]+)"/g)) if (match[1]) names.push(new URL(match[1]).hostname);
  const servers = [...resolvConf().matchAll(/^nameserver\s+(\S+)/gm)].map((match) => match[1] ?? "");
  const found = await Promise.all(
    [...new Set(names)].map((name) => lookup(name, { all: true, family: 4 }).catch(() => [])),
  );
  const addresses = [...found.flat().map((entry) => entry.address), ...servers];
  return [...new Set(addresses)].filter((address) => isIP(address) === 4 && isLabRange(address)).sort();
}
