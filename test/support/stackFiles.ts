import { expect } from "vitest";
import { type Environment, parseEnvironment } from "../../model/environment.ts";
import { faultText } from "../../model/fault.ts";

export const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB pg";

export const hosts = {
  pg1: { address: "198.51.100.11", hostKey },
  pg2: { address: "198.51.100.12", hostKey },
  pg3: { address: "198.51.100.13", hostKey },
};

export const orders = { postgresVersion: 17, members: { pg1: {}, pg2: {}, pg3: {} }, primary: "pg1" };

export type Data = Readonly<Record<string, unknown>>;

/** As Pulumi hands it over: each key as JSON text, a plain text as it is. */
function parse(config: Data) {
  const entries = Object.entries({ hosts, clusters: { orders }, ...config });
  return parseEnvironment(
    Object.fromEntries(entries.map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)])),
  );
}

export function parsed(config: Data): Environment {
  const { environment, faults } = parse(config);
  expect(faults.map(faultText)).toEqual([]);
  if (environment === undefined) throw new Error("no environment without faults");
  return environment;
}

export function faults(config: Data): string[] {
  const { environment, faults: found } = parse(config);
  expect(environment).toBeUndefined();
  return found.map(faultText);
}

export const documented = "Correct it (docs/reference/stack-file.md).";
