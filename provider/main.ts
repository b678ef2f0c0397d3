import { readFileSync } from "node:fs";
import { FaultsFound } from "../model/fault.ts";
import { serveProvider } from "./serve.ts";

interface Manifest {
  readonly version: string;
}

function readVersion(): string {
  const manifest: Manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return manifest.version;
}

await serveProvider({
  name: "pgha",
  version: readVersion(),
  loadTypes: async () => (await import("./registry.ts")).resourceTypes,
  async prepareStack(settings, stack) {
    const [{ parseConnections }, { agentSocketPath, serveAgent }] = await Promise.all([
      import("../model/connections.ts"),
      import("../remote/localAgent.ts"),
    ]);
    const privateKeyFile = parseConnections(settings).targets[0]?.privateKeyFile;
    if (privateKeyFile === undefined) return;
    const agent = await serveAgent({ privateKeyFile, socketPath: agentSocketPath(stack, privateKeyFile) });
    process.once("exit", agent.close);
  },
  async openHosts(settings) {
    const [{ parseConnections }, { openRemoteHosts }] = await Promise.all([
      import("../model/connections.ts"),
      import("../remote/pool.ts"),
    ]);
    const { targets, faults } = parseConnections(settings);
    if (faults.length > 0) throw new FaultsFound(faults, "The hosts cannot be reached as configured:");
    return openRemoteHosts(targets);
  },
});
