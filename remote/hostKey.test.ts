import { describe, expect, it } from "vitest";
import { fingerprint, hostKeyAlgorithms, hostKeyMismatch, parseHostKey } from "./hostKey.ts";

const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqiEgGeT6KM7OhtKTlYIlJ9tNKhHVOjBE4jmrdKmfEv";
const otherLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF99VKYeAf0rwRe9iJ2p8p6tG8zYsyvjZXOPhbSX/OV8";

function parsed(text: string) {
  const result = parseHostKey(text);
  if ("problem" in result) throw new Error(result.problem);
  return result.key;
}

describe("a declared host key", () => {
  it("is read with or without a comment", () => {
    expect(parsed(line).type).toBe("ssh-ed25519");
    expect(parsed(`  ${line} root@pg1\n`).blob).toEqual(parsed(line).blob);
  });

  it.each([
    ["", "nothing"],
    ["ssh-ed25519", '"ssh-ed25519" without the key behind it'],
    [`pg1 ${line}`, 'a known_hosts line; leave out "pg1" in front of the key'],
    [
      "ssh-dss AAAA",
      'a key of the type "ssh-dss" (known types: ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, ssh-rsa)',
    ],
    ["ssh-ed25519 AAAA…", "a key that is not base64"],
    [line.slice(0, -8), "a key that is cut off"],
    ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "a key that is cut off"],
    [line.replace("ssh-ed25519", "ssh-rsa"), 'a key that says "ssh-rsa" but holds "ssh-ed25519"'],
  ])("%j is found to be %s", (text, problem) => {
    expect(parseHostKey(text)).toEqual({ problem });
  });

  it("has the fingerprint that ssh-keygen shows", () => {
    expect(fingerprint(parsed(line).blob)).toBe("SHA256:uSeUGJ2Tg+umh8v4VuwxJ5iYlX8AwBpzTjiIgIi4Bpg");
  });

  it("decides which algorithm is asked for first, and never SHA-1", () => {
    expect(hostKeyAlgorithms("ssh-ed25519")[0]).toBe("ssh-ed25519");
    expect(hostKeyAlgorithms("ecdsa-sha2-nistp384")[0]).toBe("ecdsa-sha2-nistp384");
    expect(hostKeyAlgorithms("ssh-rsa").slice(0, 2)).toEqual(["rsa-sha2-512", "rsa-sha2-256"]);
    expect(hostKeyAlgorithms("ssh-rsa")).toHaveLength(6);
    expect(hostKeyAlgorithms("ssh-rsa")).not.toContain("ssh-rsa");
  });
});

it("another key than the declared one is shown whole, with both fingerprints and the way out", () => {
  expect(hostKeyMismatch("pg1", parsed(line), parsed(otherLine).blob)).toBe(
    "pg1.hostKey: found the offered ssh-ed25519 key SHA256:w7Fz4gtRV5qr8WExWDc/CpMAW73be5YQquXiCE84YbQ " +
      `(${otherLine}), expected the declared ssh-ed25519 key SHA256:uSeUGJ2Tg+umh8v4VuwxJ5iYlX8AwBpzTjiIgIi4Bpg. ` +
      "If this host was installed anew, compare the fingerprint on its console " +
      "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and put the offered key into hostKey; " +
      "otherwise somebody else answers at its address.",
  );
});
