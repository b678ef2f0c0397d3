import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { AnyAuthMethod, ParsedKey } from "ssh2";
import ssh2 from "ssh2";
import { faultText } from "../model/fault.ts";
import type { SshTarget } from "../model/sshTarget.ts";
import { LoginRefused } from "./errors.ts";
import { fingerprint, keyLine } from "./hostKey.ts";

/** What we log in with, and how to name it in an error. */
export interface Login {
  readonly method: AnyAuthMethod;
  readonly description: string;
  /** The line for authorized_keys, when we know the key ourselves. */
  readonly publicKeyLine?: string;
}

/** "~/.ssh/id_ed25519" with the home directory in place of "~". */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/** Reads the key file, or finds the agent. An encrypted key file is left to the agent, which can ask for the passphrase. */
export async function findLogin(target: Omit<SshTarget, "jump">): Promise<Login> {
  const agentSocket = target.agentSocket ?? process.env.SSH_AUTH_SOCK;
  const agent: Login | undefined =
    agentSocket === undefined || agentSocket === ""
      ? undefined
      : {
          method: { type: "agent", username: target.user, agent: expandHome(agentSocket) },
          description: `the keys of the agent at ${agentSocket}`,
        };
  if (target.privateKeyFile === undefined) {
    if (agent !== undefined) return agent;
    throw refused(target, "neither privateKeyFile nor SSH_AUTH_SOCK", "one of the two", "Set pgha:ssh.privateKeyFile.");
  }
  const path = expandHome(target.privateKeyFile);
  const text = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw refused(target, `${path}: ${error.code ?? error.message}`, "a private key", "Correct privateKeyFile.");
  });
  const parsed: ParsedKey | Error | ParsedKey[] = ssh2.utils.parseKey(text);
  const key = Array.isArray(parsed) ? (parsed as ParsedKey[])[0] : parsed;
  if (key !== undefined && !(key instanceof Error) && key.isPrivateKey()) {
    return {
      method: { type: "publickey", username: target.user, key: text },
      description: `the key ${path} (${fingerprint(key.getPublicSSH())})`,
      publicKeyLine: keyLine(key.getPublicSSH()),
    };
  }
  if (key instanceof Error && /encrypted/i.test(key.message)) {
    if (agent !== undefined) return agent;
    const remedy = `Start an agent and add the key: eval "$(ssh-agent)" && ssh-add ${path}`;
    throw refused(target, `an encrypted key in ${path}`, "a key without passphrase, or an agent that holds it", remedy);
  }
  const found = key instanceof Error || key === undefined ? "no key that can be read" : "a public key";
  throw refused(target, `${found} in ${path}`, "a private key", "Correct privateKeyFile.");
}

function refused(target: Omit<SshTarget, "jump">, found: string, expected: string, remedy: string): LoginRefused {
  const text = faultText({ path: [target.name, "ssh"], found, expected, remedy });
  return new LoginRefused(target.name, text, target.fields?.privateKeyFile);
}

/** What to tell when sshd accepted none of it. */
export function loginRefused(
  target: Omit<SshTarget, "jump">,
  login: Login,
  agentTrouble: string | undefined,
): LoginRefused {
  const trouble = agentTrouble === undefined ? "" : ` (${agentTrouble})`;
  return refused(
    target,
    `no login as ${target.user} at ${target.address}:${target.port} with ${login.description}${trouble}`,
    "that sshd accepts it",
    login.publicKeyLine === undefined
      ? `Add one of the agent's keys to authorized_keys of ${target.user} there.`
      : `Add this line to authorized_keys of ${target.user} there: ${login.publicKeyLine}`,
  );
}
