import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { waitFor } from "./shell.ts";

/** One question who has an address, and who answered it. */
export interface Owned {
  /** When it was asked, since 1970. */
  readonly milliseconds: number;
  /** Hosts, or the hardware address of somebody else. */
  readonly owners: readonly string[];
}

/** A stretch of time in which the same host answered, from its first answer to its last. */
export interface Ownership {
  readonly owner: string;
  readonly fromMilliseconds: number;
  readonly toMilliseconds: number;
}

/** Who answers for an address, asked from the lab's service network many times a second. */
export interface OwnerWatch {
  /** Who answered the newest question whose answers are all there. Undefined before the first. */
  now(): readonly string[] | undefined;
  /** Ends the asking. */
  stop(): Promise<OwnersSeen>;
}

export interface OwnersSeen {
  /** How many questions were asked, and how many of them somebody answered. */
  readonly asked: number;
  readonly answered: number;
  /** Questions that more than one host answered. */
  readonly disputed: readonly Owned[];
  /** Who had it, one after the other. */
  readonly owners: readonly Ownership[];
}

const program = fileURLToPath(new URL("./ownerProbe.py", import.meta.url));

export interface OwnerWatchOptions {
  readonly bridge: string;
  readonly address: string;
  /** Hardware addresses of the hosts on that bridge, by host. */
  readonly hosts: Readonly<Record<string, string>>;
  /** From one question to the next. Default 20. */
  readonly intervalMilliseconds?: number;
  /** The asking ends by itself after so long. Default 900. */
  readonly limitSeconds?: number;
}

/** Starts asking; returns once a first question was told, answered or not. */
export async function watchOwners(options: OwnerWatchOptions): Promise<OwnerWatch> {
  const { bridge, address, intervalMilliseconds = 20, limitSeconds = 900 } = options;
  const argv = [program, bridge, address, String(intervalMilliseconds / 1000), String(limitSeconds)];
  const child = spawn("python3", argv, { stdio: ["ignore", "pipe", "pipe"] });
  const names = new Map(Object.entries(options.hosts).map(([host, hardware]) => [hardware, host]));
  const seen: Owned[] = [];
  let unread = "";
  let failure = "";
  let ended: string | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (unread + text).split("\n");
    unread = lines.pop() ?? "";
    seen.push(...lines.map((line) => ownedOf(line, names)));
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    failure += text;
  });
  const end = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      ended = error.message;
      resolve();
    });
    child.on("close", (code) => {
      ended = `exit code ${code}: ${failure.trim().split("\n").at(-1)}`;
      resolve();
    });
  });
  await waitFor(`the first answer of ${program} about ${address}`, 10, () => {
    if (ended !== undefined) throw new Error(`${program}: ${ended}`);
    return seen.length > 0 || undefined;
  });
  return {
    now: () => seen.at(-1)?.owners,
    async stop() {
      child.kill("SIGTERM");
      await end;
      if (failure !== "") throw new Error(`${program}: ${ended}`);
      return ownersSeen(seen);
    },
  };
}

function ownedOf(line: string, names: ReadonlyMap<string, string>): Owned {
  const [milliseconds, owners = "-"] = line.split(" ");
  return {
    milliseconds: Number(milliseconds),
    owners:
      owners === "-"
        ? []
        : owners
            .split(",")
            .map((hardware) => names.get(hardware) ?? hardware)
            .sort(),
  };
}

/** What the answers mean together. A stretch ends where somebody answers and its owner does not; silence ends none. */
export function ownersSeen(seen: readonly Owned[]): OwnersSeen {
  const owners: Ownership[] = [];
  /** By owner, the place of its stretch that has not ended. */
  const open = new Map<string, number>();
  for (const { milliseconds, owners: now } of seen) {
    if (now.length > 0) for (const owner of open.keys()) if (!now.includes(owner)) open.delete(owner);
    for (const owner of now) {
      const place = open.get(owner) ?? owners.length;
      const fromMilliseconds = owners[place]?.fromMilliseconds ?? milliseconds;
      owners[place] = { owner, fromMilliseconds, toMilliseconds: milliseconds };
      open.set(owner, place);
    }
  }
  return {
    asked: seen.length,
    answered: seen.filter(({ owners }) => owners.length > 0).length,
    disputed: seen.filter(({ owners }) => owners.length > 1),
    owners,
  };
}
