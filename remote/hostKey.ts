import { createHash } from "node:crypto";
import type { ServerHostKeyAlgorithm } from "ssh2";
import { faultText } from "../model/fault.ts";

/** A public host key: its type, and what goes over the wire. */
export interface HostKey {
  readonly type: string;
  readonly blob: Buffer;
}

const keyTypes = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/** What is accepted, in the order of preference. SHA-1 signatures (`ssh-rsa` as an algorithm) are not. */
const acceptedAlgorithms: readonly ServerHostKeyAlgorithm[] = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "rsa-sha2-512",
  "rsa-sha2-256",
];

/** Parses "ssh-ed25519 AAAA… comment"; `problem` completes "found …". */
export function parseHostKey(text: string): { readonly key: HostKey } | { readonly problem: string } {
  const [type = "", base64 = ""] = text.trim().split(/\s+/);
  if (type === "") return { problem: "nothing" };
  if (!keyTypes.includes(type)) {
    return keyTypes.includes(base64)
      ? { problem: `a known_hosts line; leave out "${type}" in front of the key` }
      : { problem: `a key of the type "${type}" (known types: ${keyTypes.join(", ")})` };
  }
  if (base64 === "") return { problem: `"${type}" without the key behind it` };
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return { problem: "a key that is not base64" };
  const blob = Buffer.from(base64, "base64");
  const fields = wireFields(blob);
  if (fields === undefined) return { problem: "a key that is cut off" };
  if (fields[0]?.toString("latin1") !== type) {
    return { problem: `a key that says "${type}" but holds "${fields[0]?.toString("latin1")}"` };
  }
  const complete = type === "ssh-ed25519" ? fields.length === 2 && fields[1]?.length === 32 : fields.length === 3;
  return complete ? { key: { type, blob } } : { problem: "a key that is cut off" };
}

/** The length-prefixed fields of a key; undefined when the last one is not whole. */
function wireFields(blob: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at < blob.length) {
    if (at + 4 > blob.length) return undefined;
    const end = at + 4 + blob.readUInt32BE(at);
    if (end > blob.length) return undefined;
    fields.push(blob.subarray(at + 4, end));
    at = end;
  }
  return fields;
}

/** The type that a key on the wire names. */
function keyType(blob: Buffer): string {
  return wireFields(blob)?.[0]?.toString("latin1") ?? "unknown";
}

/** "SHA256:…" as `ssh-keygen -l` prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

/** "ssh-ed25519 AAAA…" */
export function keyLine(blob: Buffer): string {
  return `${keyType(blob)} ${blob.toString("base64")}`;
}

/**
 * The algorithms to ask for: those of the declared key first, so that a host with several keys offers that one.
 * The others follow, so that a host without such a key still shows what it has.
 */
export function hostKeyAlgorithms(declaredType: string): ServerHostKeyAlgorithm[] {
  const own = acceptedAlgorithms.filter((algorithm) =>
    declaredType === "ssh-rsa" ? algorithm.startsWith("rsa-") : algorithm === declaredType,
  );
  return [...own, ...acceptedAlgorithms.filter((algorithm) => !own.includes(algorithm))];
}

/** What to tell when the offered key is not the declared one. */
export function hostKeyMismatch(hostName: string, declared: HostKey, offered: Buffer): string {
  return faultText({
    path: [hostName, "hostKey"],
    found: `the offered ${keyType(offered)} key ${fingerprint(offered)} (${keyLine(offered)})`,
    expected: `the declared ${declared.type} key ${fingerprint(declared.blob)}`,
    remedy:
      "If this host was installed anew, compare the fingerprint on its console " +
      "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and put the offered key into hostKey; " +
      "otherwise somebody else answers at its address.",
  });
}
