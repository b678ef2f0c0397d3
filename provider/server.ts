import { Server, ServerCredentials, type UntypedServiceImplementation } from "@grpc/grpc-js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { deferHosts, type Operations, trackOperations } from "./context.ts";
import type { ProviderDefinition, ProviderState } from "./definition.ts";
import { connectEngineLog } from "./engineLog.ts";
import { createResourceCalls } from "./resourceCalls.ts";
import type { Settings } from "./settings.ts";
import { createSettingsCalls } from "./settingsCalls.ts";

export interface RunningProvider {
  /** TCP port on 127.0.0.1. */
  readonly port: number;
  readonly operations: Operations;
  /** Closes the server and every connection to hosts; what runs is not waited for. */
  close(): void;
}

/** Serves a provider on a free port of the loopback address. */
export async function startProvider(
  definition: ProviderDefinition,
  options: { engineAddress?: string | undefined; environmentSettings?: Settings | undefined } = {},
): Promise<RunningProvider> {
  const state: ProviderState = {
    definition,
    operations: trackOperations(),
    environmentSettings: options.environmentSettings,
    configuredSettings: {},
    hosts: deferHosts(() => definition.openHosts(state.environmentSettings ?? state.configuredSettings)),
    engineLog: options.engineAddress === undefined ? undefined : connectEngineLog(options.engineAddress),
  };
  // A rendered file or the state of a large cluster may exceed gRPC's usual 4 MB.
  const server = new Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
  const calls: UntypedServiceImplementation = { ...createSettingsCalls(state), ...createResourceCalls(state) };
  server.addService(providerGrpc.ResourceProviderService, calls);
  const port = await listen(server);
  return {
    port,
    operations: state.operations,
    close() {
      server.forceShutdown();
      state.hosts.close();
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}
