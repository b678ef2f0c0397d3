import { readFileSync } from "node:fs";

/** The files of this folder are one program, in this order: each uses only what stands before it. */
const files = [
  "common.py",
  "lock.py",
  "ticket.py",
  "pacemaker.py",
  "observe.py",
  "data.py",
  "service.py",
  "partialRecord.py",
  "rejoin.py",
  "replace.py",
  "position.py",
  "cutOff.py",
  "channel.py",
  "addresses.py",
  "handover.py",
  "give.py",
  "take.py",
  "orders.py",
  "gate.py",
  "repmode.py",
  "alone.py",
  "witness.py",
  "elect.py",
  "atBoot.py",
  "relax.py",
  "main.py",
];

/** The host helper: sent over SSH by an orchestrator, and laid on the host for what happens there without one. ASCII only. */
export const agentProgram = files.map(read).join("\n\n");

/** What systemd runs around every start and stop of an instance: the quick way past the boot gate. */
export const startGate = read("start-gate");

function read(file: string): string {
  return readFileSync(new URL(file, import.meta.url), "utf8");
}
