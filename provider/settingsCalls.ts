import { status as codes, Metadata } from "@grpc/grpc-js";
import type * as plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import type * as messages from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import type { ProviderState } from "./definition.ts";
import { connectEngineLog } from "./engineLog.ts";
import type { Properties } from "./resource.ts";
import { unary } from "./rpc.ts";
import { pickSettings, settingKeys } from "./settings.ts";
import { errorText } from "./status.ts";
import { decodeProperties, encodeProperties } from "./wire.ts";

/** The RPCs that are about the provider itself, not about one resource. */
export function createSettingsCalls(state: ProviderState) {
  return {
    handshake: unary((request: messages.ProviderHandshakeRequest) => {
      if (request.getEngineAddress() !== "") state.engineLog ??= connectEngineLog(request.getEngineAddress());
      const response = new providerMessages.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      return response;
    }),
    attach: unary((request: plugin.PluginAttach) => {
      state.engineLog = connectEngineLog(request.getAddress());
      return new emptyMessages.Empty();
    }),
    getPluginInfo: unary(() => new pluginMessages.PluginInfo().setVersion(state.definition.version)),
    getSchema: unary(() => {
      // The engine asks after an import; it takes a schema without resources, and then generates no code.
      const schema = { name: state.definition.name, version: state.definition.version };
      return new providerMessages.GetSchemaResponse().setSchema(JSON.stringify(schema));
    }),
    checkConfig: unary(checkConfig),
    diffConfig: unary(() =>
      // Another address of a host changes how we get there, not what is there.
      new providerMessages.DiffResponse().setChanges(providerMessages.DiffResponse.DiffChanges.DIFF_NONE),
    ),
    configure: unary(async (request: messages.ConfigureRequest) => {
      const { values } = decodeProperties(request.getArgs());
      state.configuredSettings = pickSettings(values);
      await prepareStack(state, request.getUrn());
      const response = new providerMessages.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      return response;
    }),
    cancel: unary(() => {
      state.operations.cancelAll("cancelled by the user");
      return new emptyMessages.Empty();
    }),
    invoke: unary(() => unimplemented("pgha has no functions")),
    getMapping: unary(() => new providerMessages.GetMappingResponse()),
    getMappings: unary(() => new providerMessages.GetMappingsResponse()),
  };
}

/** Which stack it is stands in the provider's own URN: "urn:pulumi:prod::pgha::pulumi:providers:pgha::default". */
async function prepareStack(state: ProviderState, urn: string | undefined): Promise<void> {
  const [, stack, project] = /^urn:pulumi:([^:]+)::([^:]+)::/.exec(urn ?? "") ?? [];
  if (stack === undefined || project === undefined) return;
  try {
    await state.definition.prepareStack?.(state.environmentSettings ?? state.configuredSettings, { project, stack });
  } catch (error) {
    // A refused Configure would block refresh and destroy too.
    await state.engineLog?.send({ severity: "warn", text: errorText(error), urn: "", ephemeral: false });
  }
}

/**
 * Validates nothing: that would keep the program waiting for the schemas to load, and whoever opens the hosts does it, with every
 * fault at once.
 */
function checkConfig(request: messages.CheckRequest): messages.CheckResponse {
  const { values, unknownPaths } = decodeProperties(request.getNews());
  // What is returned goes into the state: neither secrets, nor clusters whose change would then be a change of the provider.
  const kept: Properties = { ...pickSettings(values) };
  if (values.version !== undefined) kept.version = values.version;
  const keptUnknown = unknownPaths.filter((path) => settingKeys.some((key) => key === path[0]));
  return new providerMessages.CheckResponse().setInputs(encodeProperties(kept, new Set(), keptUnknown));
}

function unimplemented(details: string): never {
  throw Object.assign(new Error(details), { code: codes.UNIMPLEMENTED, details, metadata: new Metadata() });
}
