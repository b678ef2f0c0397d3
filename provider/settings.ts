import { UserError } from "../model/fault.ts";

/** The provider's settings as they stand in the stack file, without the prefix: `hosts` and `ssh`, each as JSON text. */
export type Settings = Readonly<Record<string, string>>;

/** Everything else under `pgha:` (clusters, secrets) belongs to the program; a change there is no change of the provider. */
export const settingKeys = ["hosts", "ssh"] as const;

/**
 * Takes the settings out of the environment. The engine puts the stack's configuration of now into PULUMI_CONFIG, even for the process
 * that serves reads and that it configures with the settings of last time: only so does a corrected address reach a read.
 * Secrets stand there in clear, so it is taken away before a child could inherit it. Returns undefined when it has none of ours.
 */
export function takeEnvironmentSettings(environment: NodeJS.ProcessEnv, namespace: string): Settings | undefined {
  const text = environment.PULUMI_CONFIG;
  delete environment.PULUMI_CONFIG;
  delete environment.PULUMI_CONFIG_SECRET_KEYS;
  if (text === undefined || text === "") return undefined;
  const config: unknown = parseJson(text);
  if (config === null || typeof config !== "object") return undefined;
  const settings: Record<string, string> = {};
  for (const key of settingKeys) {
    const value = ownValue(config, key) ?? ownValue(config, `${namespace}:${key}`);
    if (value !== undefined) settings[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return Object.keys(settings).length === 0 ? undefined : settings;
}

/** The settings among the arguments of `configure` or `checkConfig`. */
export function pickSettings(values: Readonly<Record<string, unknown>>): Settings {
  const settings: Record<string, string> = {};
  for (const key of settingKeys) {
    const value = values[key];
    if (value !== undefined && value !== null)
      settings[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return settings;
}

/** The engine leaves the namespace out for the plugin of that name. */
function ownValue(object: object, key: string): unknown {
  return Object.entries(object).find(([name]) => name === key)?.[1];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text holds secrets: no part of it may stand in a message.
    throw new UserError("PULUMI_CONFIG: found text that is not JSON, expected what the Pulumi CLI sets. Unset it.");
  }
}
