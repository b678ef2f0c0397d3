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
  /** How many hosts, all of them members. */
  readonly hosts: 2 | 3;
}

const environments: Readonly<Record<string, DemoEnvironment>> = {
  demo: { command: "make demo", stack: "demo", stackFile: "stacks/Pulumi.demo.yaml", manager: "none", hosts: 3 },
  pacemaker: {
    command: "make demo ENV=pacemaker",
    stack: "demo-pacemaker",
    stackFile: "stacks/Pulumi.demo-pacemaker.yaml",
    manager: "pacemaker",
    hosts: 3,
  },
  "pacemaker-2": {
    command: "make demo ENV=pacemaker-2",
    stack: "demo-pacemaker-2",
    stackFile: "stacks/Pulumi.demo-pacemaker-2.yaml",
    manager: "pacemaker",
    hosts: 2,
  },
};

export const demoEnvironments = Object.values(environments);

/** The environment of this name; throws when there is none. */
export function demoEnvironment(name: string): DemoEnvironment {
  const found = Object.hasOwn(environments, name) ? environments[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(environments);
  const known = `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
  throw new UserError(
    `ENV: found ${name === "" ? "nothing" : name}, expected ${known}. Run: ${demoEnvironments.map(({ command }) => command).join(", or ")}`,
  );
}
