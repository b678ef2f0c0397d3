import { UserError } from "../../model/fault.ts";
import type { Manager } from "./stackFile.ts";

/** What `make demo ENV=NAME` shows. */
export interface DemoEnvironment {
  /** What is typed to run it, once more too. */
  readonly command: string;
  readonly stack: string;
  /** From the repository's root; ignored by git. */
  readonly stackFile: string;
  readonly manager: Manager;
}

const environments: Readonly<Record<string, DemoEnvironment>> = {
  demo: { command: "make demo", stack: "demo", stackFile: "stacks/Pulumi.demo.yaml", manager: "none" },
  pacemaker: {
    command: "make demo ENV=pacemaker",
    stack: "demo-pacemaker",
    stackFile: "stacks/Pulumi.demo-pacemaker.yaml",
    manager: "pacemaker",
  },
};

export const demoEnvironments = Object.values(environments);

/** The environment of this name; throws when there is none. */
export function demoEnvironment(name: string): DemoEnvironment {
  const found = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(environments).join(" or ");
  throw new UserError(
    `ENV: found ${name === "" ? "nothing" : name}, expected ${known}. Run: ${demoEnvironments.map(({ command }) => command).join(", or ")}`,
  );
}
