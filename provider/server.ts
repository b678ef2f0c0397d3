import { Server, ServerCredentials, type UntypedServiceImplementation } from "@grpc/grpc-js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import type { RemoteHosts } from "../remote/host.ts";
import { deferHosts, type Operations, trackOperations } from "./context.ts";
import { connectEngineLog, type EngineLog } from "./engineLog.ts";
import type { ResourceType } from "./resource.ts";
import { createResourceCalls } from "./resourceCalls.ts";
import type { Settings } from "./settings.ts";
import { createSettingsCalls } from "./settingsCalls.ts";

/** Whose resources these are. */
export interface StackName {
  readonly project: string;
  readonly stack: string;
}

/** What a provider is, apart from the wire. */
export interface ProviderDefinition {
  /** "pgha": the first part of its type tokens and the namespace of its configuration. */
  readonly name: string;
  readonly version: string;
  /**
   * Called at the first resource. Of the two processes that the engine starts for a run, one is asked about the settings only,
   * and the program waits for its answer: it never loads them.
   */
  loadTypes(): Promise<readonly ResourceType[]>;
  /** Called at the first command to a host. */
  openHosts(settings: Settings): Promise<RemoteHosts>;
  /** Called when it is known which stack this is, before any resource; what fails in it is only told. Default: nothing. */
  prepareStack?(settings: Settings, stack: StackName): Promise<void>;
}

/** What the calls of one provider process share. */
export interface ProviderState {
  readonly definition: ProviderDefinition;
  readonly operations: Operations;
  /** Settings that were in the environment; they win over those of `configure`. */
  readonly environmentSettings: Settings | undefined;
  configuredSettings: Settings;
  readonly hosts: RemoteHosts;
  engineLog: EngineLog | undefined;
}

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
