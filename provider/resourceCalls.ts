import type * as messages from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import { UserError } from "../model/fault.ts";
import { isAtOrUnder, locatePath } from "../model/propertyPath.ts";
import { createContext, createSpeaker } from "./context.ts";
import type { ProviderState } from "./definition.ts";
import { diffResource } from "./diffCall.ts";
import type { Context, Properties, ResourceType, Saved } from "./resource.ts";
import { unary } from "./rpc.ts";
import { checkFailure, errorText, toInitFailed } from "./status.ts";
import { decodeProperties, encodeProperties, type Received } from "./wire.ts";

/** The RPCs about one resource each. They only translate: what happens is in the resource's type. */
export function createResourceCalls(state: ProviderState) {
  let loading: Promise<ReadonlyMap<string, ResourceType>> | undefined;
  /** The resources that were checked and not yet compared: only their next diff belongs to what is declared now. */
  const checkedUrns = new Set<string>();
  /** Why something could not be read: wrong settings are the same trouble for every resource, and are told once. */
  const toldTroubles = new Set<string>();

  async function typeOf(urn: string): Promise<ResourceType> {
    const token = tokenOf(urn);
    loading ??= state.definition.loadTypes().then((loaded) => new Map(loaded.map((type) => [type.token, type])));
    const types = await loading;
    const type = types.get(token);
    if (type === undefined) {
      const known = [...types.keys()].join(", ");
      throw new UserError(`${urn}: found type ${token}, expected one of ${known}. Correct the type.`);
    }
    return type;
  }

  function perform<T>(urn: string, work: (context: Context) => Promise<T>): Promise<T> {
    return state.operations.run(async (cancelled) => {
      const speaker = createSpeaker(state.engineLog, urn);
      try {
        return await work(createContext(speaker, state.hosts, cancelled));
      } finally {
        await speaker.flush();
      }
    });
  }

  return {
    check: unary(async (request: messages.CheckRequest) => {
      checkedUrns.add(request.getUrn());
      return checkResource(await typeOf(request.getUrn()), request);
    }),
    diff: unary(async (request: messages.DiffRequest) => {
      const urn = request.getUrn();
      const { response, notices } = diffResource(await typeOf(urn), request, checkedUrns.delete(urn));
      return perform(urn, async (context) => {
        for (const notice of notices) context[notice.level](notice.text);
        return response;
      });
    }),
    create: unary((request: messages.CreateRequest) =>
      perform(request.getUrn(), async (context) => createResource(await typeOf(request.getUrn()), request, context)),
    ),
    read: unary((request: messages.ReadRequest) =>
      perform(request.getUrn(), async (context) =>
        readResource(await typeOf(request.getUrn()), request, context, toldTroubles),
      ),
    ),
    update: unary((request: messages.UpdateRequest) =>
      perform(request.getUrn(), async (context) => updateResource(await typeOf(request.getUrn()), request, context)),
    ),
    delete: unary((request: messages.DeleteRequest) =>
      perform(request.getUrn(), async (context) => {
        const type = await typeOf(request.getUrn());
        await type.delete(context, {
          id: request.getId(),
          inputs: decodeProperties(request.getOldInputs()).values,
          outputs: decodeProperties(request.getProperties()).values,
        });
        return new emptyMessages.Empty();
      }),
    ),
  };
}

/** "urn:pulumi:dev::project::parent$pgha:index:File::name" is of type "pgha:index:File". */
function tokenOf(urn: string): string {
  const typePath = urn.split("::")[2] ?? "";
  return typePath.slice(typePath.lastIndexOf("$") + 1);
}

/** A name may itself contain "::". */
function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}

function secretsOf(type: ResourceType, ...received: readonly Received[]): ReadonlySet<string> {
  return new Set([...type.secrets, ...received.flatMap(({ secretKeys }) => [...secretKeys])]);
}

function refreshFlag(type: ResourceType): boolean {
  return type.refreshBeforeUpdate ?? true;
}

function checkResource(type: ResourceType, request: messages.CheckRequest): messages.CheckResponse {
  const news = decodeProperties(request.getNews());
  const olds = request.hasOlds() ? decodeProperties(request.getOlds()).values : {};
  const secretKeys = secretsOf(type, news);
  const { inputs, faults } = type.check(news.values, Object.keys(olds).length === 0 ? undefined : olds);
  const response = new providerMessages.CheckResponse();
  for (const fault of faults) {
    const path = locatePath(fault.path, news.values);
    if (news.unknownPaths.some((unknown) => isAtOrUnder(path, unknown))) continue;
    response.addFailures(checkFailure(path, fault, secretKeys));
  }
  response.setInputs(encodeProperties(inputs, secretKeys, news.unknownPaths));
  return response;
}

async function createResource(
  type: ResourceType,
  request: messages.CreateRequest,
  context: Context,
): Promise<messages.CreateResponse> {
  const received = decodeProperties(request.getProperties());
  const preview = request.getPreview();
  const response = new providerMessages.CreateResponse().setRefreshBeforeUpdate(refreshFlag(type));
  if (preview && received.unknownPaths.length > 0) {
    return response.setProperties(echoInputs(type, received));
  }
  const name = nameOf(request.getUrn());
  const saved = await type.create(context, { inputs: received.values, preview, name });
  const properties = encodeProperties(saved.outputs, secretsOf(type, received));
  if (!preview) throwIfIncomplete(type, saved, saved.id, properties, request.getProperties());
  return response.setId(preview ? "" : saved.id).setProperties(properties);
}

async function updateResource(
  type: ResourceType,
  request: messages.UpdateRequest,
  context: Context,
): Promise<messages.UpdateResponse> {
  const received = decodeProperties(request.getNews());
  const preview = request.getPreview();
  const response = new providerMessages.UpdateResponse().setRefreshBeforeUpdate(refreshFlag(type));
  if (preview && received.unknownPaths.length > 0) {
    return response.setProperties(echoInputs(type, received));
  }
  const saved = await type.update(context, {
    id: request.getId(),
    outputs: decodeProperties(request.getOlds()).values,
    oldInputs: decodeProperties(request.getOldInputs()).values,
    inputs: received.values,
    preview,
  });
  const properties = encodeProperties(saved.outputs, secretsOf(type, received));
  if (!preview) throwIfIncomplete(type, saved, request.getId(), properties, request.getNews());
  return response.setProperties(properties);
}

/** Outputs that are not inputs stay away: the SDK takes what is missing at preview for not yet known. */
function echoInputs(type: ResourceType, received: Received): Struct {
  return encodeProperties(received.values, secretsOf(type, received), received.unknownPaths);
}

async function readResource(
  type: ResourceType,
  request: messages.ReadRequest,
  context: Context,
  toldTroubles: Set<string>,
): Promise<messages.ReadResponse> {
  const inputs = decodeProperties(request.getInputs());
  const outputs = decodeProperties(request.getProperties());
  const imported = isEmpty(inputs.values) && isEmpty(outputs.values);
  const response = new providerMessages.ReadResponse().setRefreshBeforeUpdate(refreshFlag(type));
  const resource = { id: request.getId(), inputs: inputs.values, outputs: outputs.values, imported };
  let seen: Awaited<ReturnType<ResourceType["read"]>>;
  try {
    seen = await type.read(context, resource);
  } catch (error) {
    // An error here would stop preview, refresh and destroy of the whole stack; what is in the state is the best that is known.
    if (imported) throw error;
    const trouble = errorText(error);
    if (!toldTroubles.has(trouble)) context.warn(`could not be read, taken as last seen\n${trouble}`);
    toldTroubles.add(trouble);
    return response.setId(resource.id).setProperties(request.getProperties()).setInputs(request.getInputs());
  }
  if (seen === "gone") return response;
  const properties = encodeProperties(seen.outputs, secretsOf(type, inputs, outputs));
  const readInputs: Struct | undefined =
    seen.inputs === undefined ? request.getInputs() : encodeProperties(seen.inputs, secretsOf(type, inputs));
  throwIfIncomplete(type, seen, seen.id, properties, readInputs);
  return response.setId(seen.id).setProperties(properties).setInputs(readInputs);
}

function isEmpty(properties: Properties): boolean {
  return Object.keys(properties).length === 0;
}

function throwIfIncomplete(
  type: ResourceType,
  saved: Saved,
  id: string,
  properties: Struct,
  inputs: Struct | undefined,
): void {
  if (saved.incomplete === undefined || saved.incomplete.length === 0) return;
  throw toInitFailed({ id, properties, inputs, reasons: saved.incomplete, refreshBeforeUpdate: refreshFlag(type) });
}
