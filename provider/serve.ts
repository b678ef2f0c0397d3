import { fstatSync } from "node:fs";
import type { ProviderDefinition } from "./definition.ts";
import { type RunningProvider, startProvider } from "./server.ts";
import { takeEnvironmentSettings } from "./settings.ts";

/**
 * The whole life of a provider process. The engine reads the port from the first line of standard output; its own address is the
 * first argument. The process ends when the engine asks for it or is gone, but never in the middle of an operation.
 */
export async function serveProvider(definition: ProviderDefinition): Promise<void> {
  const environmentSettings = takeEnvironmentSettings(process.env, definition.name);
  const engineAddress = process.argv.slice(2).find((argument) => !argument.startsWith("-"));
  const provider = await startProvider(definition, { engineAddress, environmentSettings });
  // The CLI sends Cancel and then SIGINT at every normal end, and to an update that is to stop: idle means go, busy means finish first.
  process.on("SIGINT", () => endProcess(provider, "interrupted"));
  process.on("SIGTERM", () => endProcess(provider, "told to end"));
  watchParent(() => endProcess(provider, "the Pulumi CLI is gone"));
  process.stdout.write(`${provider.port}\n`);
}

function endProcess(provider: RunningProvider, reason: string): void {
  provider.operations.cancelAll(reason);
  provider.operations.idle().then(() => {
    provider.close();
    // One more turn of the loop, so that the last answer still leaves.
    setImmediate(() => process.exit(0));
  });
}

/** The CLI holds the other end of our standard input; when it dies, that is the only sign. Started by hand, there is none to watch. */
function watchParent(onGone: () => void): void {
  if (!isPipe(0)) return;
  process.stdin.on("end", onGone);
  process.stdin.on("error", onGone);
  process.stdin.resume();
}

function isPipe(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
