import { UserError } from "../../model/fault.ts";
import { serveProvider } from "../../provider/serve.ts";

/*
 * Stands in for the plugin of @pulumi/command where the official one cannot be downloaded: the same token and version, the properties
 * that we use. The executable beside PULUMI_HOME's other plugins is written by tools/install-command-plugin.
 */
await serveProvider({
  name: "command",
  version: "1.2.1",
  loadTypes: async () => [(await import("./remoteCommand.ts")).createCommandType()],
  openHosts: () =>
    Promise.reject(new UserError("command: found no hosts, expected each command to bring its connection.")),
});
