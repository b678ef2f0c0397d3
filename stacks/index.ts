import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { buildEnvironment } from "../components/environment.ts";
import { parseEnvironment } from "../model/environment.ts";
import { type Fault, FaultsFound, UserError } from "../model/fault.ts";
import { parseFencingSecrets } from "../model/pacemaker/fencingSecrets.ts";
import { parsePasswords } from "../model/passwords.ts";
import { agentSocketPath, requireServableKey } from "../remote/localAgent.ts";

const declarationKeys = ["ssh", "hosts", "networks", "clusters", "pacemaker"];

/** The program that turns one stack file into components: validate, build, nothing else. */
export default async function main() {
  try {
    return await build();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw withoutStack(new pulumi.RunError(error.message));
  }
}

async function build() {
  // Before the engine looks for a provider that it cannot start there.
  if (process.platform === "win32") {
    throw new UserError("pgha: found Windows, expected Linux or macOS. Run pulumi inside WSL.");
  }
  const config = new pulumi.Config("pgha");
  const secrets = secretDeclarations();
  // Of a key that holds a secret nothing else is said: what was found there would be shown.
  const { environment, faults } =
    secrets.length > 0
      ? { environment: undefined, faults: secrets }
      : parseEnvironment(Object.fromEntries(declarationKeys.map((key) => [key, config.get(key)])));
  const passwords = parsePasswords({
    superuserPassword: config.get("superuserPassword"),
    replicationPassword: config.get("replicationPassword"),
    corosyncKey: config.get("corosyncKey"),
  });
  const fencing = parseFencingSecrets(config.get("fencingSecrets"), environment?.pacemaker);
  const all = [...unknownKeys(), ...faults, ...passwords.faults, ...fencing.faults];
  if (environment === undefined || all.length > 0) {
    const file = `stacks/Pulumi.${pulumi.getStack()}.yaml`;
    throw new FaultsFound(all, `${file}: ${all.length} to correct; no host was touched.`);
  }
  const socketPath = await agentFor(environment.hosts[0]?.ssh.privateKeyFile);
  const clusters = buildEnvironment({
    environment,
    ...(socketPath === undefined ? {} : { agentSocketPath: socketPath }),
    ...secretOf("superuserPassword", config),
    ...secretOf("replicationPassword", config),
    ...secretOf("corosyncKey", config),
    ...(Object.keys(fencing.secrets).length === 0 ? {} : { fencingSecrets: pulumi.secret(fencing.secrets) }),
  });
  return Object.fromEntries(
    Object.entries(clusters).map(([name, cluster]) => [
      name,
      {
        primary: cluster.primary,
        connectionString: cluster.connectionString,
        superuserPassword: cluster.superuserPassword,
      },
    ]),
  );
}

const passwordKeys = ["superuserPassword", "replicationPassword", "corosyncKey"];
const secretKeys = [...passwordKeys, "fencingSecrets"];

/** A misspelt key would otherwise be a cluster that is silently not there. */
function unknownKeys(): Fault[] {
  const known = [...declarationKeys, ...secretKeys];
  return Object.keys(pulumi.runtime.allConfig())
    .filter((key) => key.startsWith("pgha:") && !known.includes(key.slice("pgha:".length)))
    .map((key) => ({
      path: [key],
      found: "a key that is not known",
      expected: `one of ${known.map((name) => `pgha:${name}`).join(", ")}`,
      remedy: "Correct its spelling or remove it.",
    }));
}

/** By which Pulumi tells a program the keys whose value is a secret, or holds one somewhere: a list in JSON. */
const secretKeysVariable = "PULUMI_CONFIG_SECRET_KEYS";

/**
 * A declaration is shown in previews and stands in the state in clear, and Pulumi tells only the key that a secret is
 * under, not which part of its value it is: so none may be there.
 */
function secretDeclarations(): Fault[] {
  const secret = z.array(z.string()).parse(JSON.parse(process.env[secretKeysVariable] || "[]"));
  return declarationKeys
    .map((key) => `pgha:${key}`)
    .filter((key) => secret.includes(key))
    .map((key) => ({
      path: [key],
      found: "a secret (secure:)",
      expected: "plain values: what is declared here is shown in previews and stands in the state in clear",
      remedy: `Write the value in clear, or remove it. Secrets have keys of their own: ${secretKeys.map((name) => `pgha:${name}`).join(", ")}.`,
    }));
}

/** Pulumi hides the stack of a RunError, but formats it all the same, with colours: that takes half a minute under tsx. */
function withoutStack(error: Error): Error {
  error.stack = "";
  return error;
}

function secretOf(key: "superuserPassword" | "replicationPassword" | "corosyncKey", config: pulumi.Config) {
  const value = config.getSecret(key);
  return value === undefined ? {} : { [key]: value };
}

/**
 * `remote.Command` takes an agent or the key itself, and the key would stand in the state. The agent is the provider: it
 * lives until the last deletion, and at `pulumi destroy` too, where no program runs.
 */
async function agentFor(privateKeyFile: string | undefined): Promise<string | undefined> {
  if (privateKeyFile === undefined) return undefined;
  await requireServableKey(privateKeyFile);
  return agentSocketPath({ project: pulumi.getProject(), stack: pulumi.getStack() }, privateKeyFile);
}
