import { expect } from "vitest";
import { type Conversation, soon } from "./helperProcess.ts";
import { bootId, checkpoint, type PretendHost, systemIdentifier, timeline, type Values } from "./pretendHosts.ts";

/** The handover of all these tests: epoch 5, from pg1 to pg2. */
export const epoch = 5;
export const journal = { from: "pg1", to: "pg2", epoch, timeline };
const steadyRole = "# the steady role\n";

/** Of old primary or target, as it lies on its host. */
export const switchRecord = (state: string) => ({ epoch, boot: bootId, state });
export const ticketRecord = (state: string) => ({ epoch, boot: bootId, state, timeline });

/** Lock and journal of the handover, PostgreSQL running: what an orchestrator does before it arms a host. */
export async function prepareHandover(host: PretendHost): Promise<void> {
  host.layLock();
  host.lay("journal", journal);
  if (host.name !== journal.from) {
    host.set("data/standby.signal");
    host.set("received", `${checkpoint.end}\n`);
  }
  await host.startPostmaster();
}

export function giveArguments(overrides: Values = {}): Values {
  return {
    ...{ epoch, timeline, systemIdentifier, to: journal.to, toAddress: "203.0.113.12" },
    ...{ segmentBytes: 16 * 1024 * 1024, stopSeconds: 20, neededAtOnce: 0, role: steadyRole },
    ...overrides,
  };
}

export function takeArguments(overrides: Values = {}): Values {
  return { epoch, timeline, systemIdentifier, acknowledgeSeconds: 20, ...overrides };
}

/** What the old primary sends when it has stopped as it should. */
export const ticket = { ask: "ticket", epoch, end: position(checkpoint.end), timeline, systemIdentifier };

export function position(lsn: string): number {
  const [high = "", low = ""] = lsn.split("/");
  return Number.parseInt(high, 16) * 2 ** 32 + Number.parseInt(low, 16);
}

/**
 * What the target's host answers instead of running the helper, as shell commands: `ticket` after the ticket has arrived
 * (its text is in $ticket), `revoke` when it is asked to take the ticket back. The channel ends with them.
 */
export function scriptTarget(old: PretendHost, script: { ticket?: string; revoke?: string }): void {
  old.set(
    "on-ssh",
    `tell() { printf '%s\\n' "$1"; }
     read -r asked
     case $asked in
       *'"ask":"ticket of"'*) tell '{"event":"armed"}'; read -r ticket || exit 0; ${script.ticket ?? ":"} ;;
       *'"ask":"revoke"'*) ${script.revoke ?? ":"} ;;
     esac`,
  );
}

/** A shell command: the target says this. */
export function tells(values: Values): string {
  return `tell '${JSON.stringify(values)}'`;
}

type Armed = Conversation & { readonly ended: Promise<unknown> };

/** Starts the old primary's process and hears that it is armed; to be given the word `go`. */
export function armedGive(old: PretendHost, overrides: Values = {}, constants: Values = {}): Promise<Armed> {
  return armed(old, "give", giveArguments(overrides), constants);
}

/** Starts the target's process and hears that it is armed; to be given the ticket. */
export function armedTake(target: PretendHost, overrides: Values = {}, constants: Values = {}): Promise<Armed> {
  return armed(target, "take", takeArguments(overrides), constants);
}

async function armed(host: PretendHost, role: string, values: Values, constants: Values): Promise<Armed> {
  const unit = host.verb(role, values, constants);
  const conversation = await host.connect(role, epoch);
  const first = await conversation.hear();
  if (first?.event !== "armed") {
    throw new Error(`expected ${role} to be armed, found ${JSON.stringify(first)} ${unit.stderr()}`);
  }
  // The first time it let us in. From the second on it only waits for a word.
  await expect.poll(() => host.trace().filter((line) => line === "listens").length, soon).toBeGreaterThan(1);
  return { ...conversation, ended: unit.exit };
}
