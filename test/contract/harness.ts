import { credentials, Metadata, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import type * as engine from "@pulumi/pulumi/proto/engine_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import type * as messages from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import statusMessages from "@pulumi/pulumi/proto/status_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import structMessages, { type Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import { onTestFinished } from "vitest";
import type { ProviderDefinition } from "../../provider/definition.ts";
import type { ResourceType } from "../../provider/resource.ts";
import { startProvider } from "../../provider/server.ts";
import type { Settings } from "../../provider/settings.ts";

/** A value as it travels: the raw JSON of the protocol, with secrets and unknowns as the engine writes them. */
export type Wire = null | boolean | number | string | Wire[] | { [key: string]: Wire };
export type WireProperties = { [key: string]: Wire };

export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export function secret(value: Wire): WireProperties {
  return { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", value };
}

/** A line that the engine would show: "info ephemeral urn text". */
export interface Line {
  readonly severity: "debug" | "info" | "warn" | "error";
  readonly text: string;
  readonly ephemeral: boolean;
}

export interface Harness {
  readonly lines: Line[];
  readonly port: number;
  check(name: string, news: WireProperties, olds?: WireProperties): Promise<CheckAnswer>;
  diff(name: string, sides: DiffSides): Promise<DiffAnswer>;
  create(name: string, properties: WireProperties, preview?: boolean): Promise<SavedAnswer>;
  read(name: string, id: string, inputs: WireProperties, properties: WireProperties): Promise<SavedAnswer>;
  update(name: string, sides: DiffSides & { preview?: boolean }): Promise<SavedAnswer>;
  delete(name: string, inputs: WireProperties, properties: WireProperties): Promise<void>;
  checkConfig(news: WireProperties): Promise<CheckAnswer>;
  configure(args: WireProperties, urn?: string): Promise<void>;
  cancel(): Promise<void>;
  readonly client: InstanceType<typeof providerGrpc.ResourceProviderClient>;
}

export interface DiffSides {
  readonly olds: WireProperties;
  readonly oldInputs: WireProperties;
  readonly news: WireProperties;
  readonly ignoreChanges?: string[];
}

export interface CheckAnswer {
  readonly inputs: WireProperties;
  /** "property: reason", or the reason alone where no property is named. */
  readonly failures: readonly string[];
}

export interface DiffAnswer {
  readonly changes: "none" | "some";
  /** property path -> kind, with " input" appended when the old input is to be shown */
  readonly detailed: Readonly<Record<string, string>>;
  readonly replaces: readonly string[];
  readonly diffs: readonly string[];
}

export interface SavedAnswer {
  readonly id: string;
  readonly properties: WireProperties;
  readonly inputs?: WireProperties;
  readonly refreshBeforeUpdate: boolean;
}

/** An engine as small as it gets: starts the provider in this process, collects what it says, and calls it over real gRPC. */
export async function startHarness(
  types: readonly ResourceType[],
  options: Partial<ProviderDefinition> & { environmentSettings?: Settings } = {},
): Promise<Harness> {
  const lines: Line[] = [];
  const engineServer = new Server();
  engineServer.addService(engineGrpc.EngineService, {
    log(
      call: { request: engine.LogRequest },
      callback: (error: null, answer: InstanceType<typeof emptyMessages.Empty>) => void,
    ) {
      const severity = (["debug", "info", "warn", "error"] as const)[call.request.getSeverity()] ?? "debug";
      lines.push({ severity, text: call.request.getMessage(), ephemeral: call.request.getEphemeral() });
      callback(null, new emptyMessages.Empty());
    },
  });
  const enginePort = await bind(engineServer);
  const { environmentSettings, ...definition } = options;
  const provider = await startProvider(
    {
      name: "pgha",
      version: "0.1.0",
      loadTypes: async () => types,
      openHosts: () => Promise.reject(new Error("no hosts in this test")),
      ...definition,
    },
    { engineAddress: `127.0.0.1:${enginePort}`, environmentSettings },
  );
  const client = new providerGrpc.ResourceProviderClient(`127.0.0.1:${provider.port}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
    "grpc.max_metadata_size": 8_000_000,
  });
  onTestFinished(() => {
    client.close();
    provider.close();
    engineServer.forceShutdown();
  });
  return { lines, port: provider.port, client, ...createCalls(client, types[0]?.token ?? "pgha:index:None") };
}

/** "pgha:index:File::motd" names a resource of another type than the first one. */
function urnOf(name: string, token: string): string {
  const [type, ...rest] = name.split("::");
  const [urnType, urnName] = rest.length === 0 ? [token, name] : [type, rest.join("::")];
  return `urn:pulumi:dev::test::${urnType}::${urnName}`;
}

function createCalls(client: Harness["client"], token: string) {
  return {
    async check(name: string, news: WireProperties, olds: WireProperties = {}) {
      const request = new providerMessages.CheckRequest().setUrn(urnOf(name, token));
      request.setNews(struct(news)).setOlds(struct(olds));
      return checkAnswer(await call<messages.CheckResponse>((done) => client.check(request, done)));
    },
    async diff(name: string, sides: DiffSides) {
      const request = new providerMessages.DiffRequest().setUrn(urnOf(name, token)).setId("id");
      request.setOlds(struct(sides.olds)).setOldInputs(struct(sides.oldInputs)).setNews(struct(sides.news));
      request.setIgnorechangesList(sides.ignoreChanges ?? []);
      return diffAnswer(await call<messages.DiffResponse>((done) => client.diff(request, done)));
    },
    async create(name: string, properties: WireProperties, preview = false) {
      const request = new providerMessages.CreateRequest().setUrn(urnOf(name, token)).setPreview(preview);
      request.setProperties(struct(properties));
      return savedAnswer(await call<messages.CreateResponse>((done) => client.create(request, done)));
    },
    async read(name: string, id: string, inputs: WireProperties, properties: WireProperties) {
      const request = new providerMessages.ReadRequest().setUrn(urnOf(name, token)).setId(id);
      request.setInputs(struct(inputs)).setProperties(struct(properties));
      const response = await call<messages.ReadResponse>((done) => client.read(request, done));
      return { ...savedAnswer(response), inputs: plain(response.getInputs()) };
    },
    async update(name: string, sides: DiffSides & { preview?: boolean }) {
      const request = new providerMessages.UpdateRequest().setUrn(urnOf(name, token)).setId("id");
      request.setOlds(struct(sides.olds)).setOldInputs(struct(sides.oldInputs)).setNews(struct(sides.news));
      request.setPreview(sides.preview ?? false);
      const response = await call<messages.UpdateResponse>((done) => client.update(request, done));
      return savedAnswer(Object.assign(response, { getId: () => "id" }));
    },
    async delete(name: string, inputs: WireProperties, properties: WireProperties) {
      const request = new providerMessages.DeleteRequest().setUrn(urnOf(name, token)).setId("id");
      request.setOldInputs(struct(inputs)).setProperties(struct(properties));
      await call((done) => client.delete(request, done));
    },
    async checkConfig(news: WireProperties) {
      const request = new providerMessages.CheckRequest().setNews(struct(news));
      return checkAnswer(await call<messages.CheckResponse>((done) => client.checkConfig(request, done)));
    },
    async configure(args: WireProperties, urn?: string) {
      const request = new providerMessages.ConfigureRequest().setArgs(struct(args));
      if (urn !== undefined) request.setUrn(urn);
      await call((done) => client.configure(request, done));
    },
    async cancel() {
      await call((done) => client.cancel(new emptyMessages.Empty(), done));
    },
  };
}

/** What the engine takes out of a failed call: the message, and the resource that is to be saved all the same. */
export interface Failure {
  readonly message: string;
  readonly saved?: SavedAnswer & { readonly reasons: readonly string[] };
}

/** Settles with the failure of a call; throws when it succeeded. */
export async function failureOf(outcome: Promise<unknown>): Promise<Failure> {
  const error: unknown = await outcome.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isServiceError(error)) throw new Error(`expected the call to fail, but it gave ${String(error)}`);
  const packed = error.metadata?.get("grpc-status-details-bin")[0];
  if (packed === undefined) return { message: error.details };
  const status = statusMessages.Status.deserializeBinary(Buffer.from(packed));
  const bytes = status.getDetailsList()[0]?.getValue_asU8() ?? new Uint8Array();
  const detail = providerMessages.ErrorResourceInitFailed.deserializeBinary(bytes);
  return { message: error.details, saved: { ...savedAnswer(detail), reasons: detail.getReasonsList() } };
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "details" in error && "metadata" in error && error.metadata instanceof Metadata;
}

function call<Answer>(start: (done: (error: ServiceError | null, answer: Answer) => void) => unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    start((error, answer) => (error === null ? resolve(answer) : reject(error)));
  });
}

function checkAnswer(response: messages.CheckResponse): CheckAnswer {
  const failures = response
    .getFailuresList()
    .map((failure) =>
      failure.getProperty() === "" ? failure.getReason() : `${failure.getProperty()}: ${failure.getReason()}`,
    );
  return { inputs: plain(response.getInputs()), failures };
}

function diffAnswer(response: messages.DiffResponse): DiffAnswer {
  const kinds = ["add", "add-replace", "delete", "delete-replace", "update", "update-replace"];
  const detailed: Record<string, string> = {};
  for (const [path, detail] of response.getDetaileddiffMap().entries()) {
    detailed[path] = `${kinds[detail.getKind()]}${detail.getInputdiff() ? " input" : ""}`;
  }
  const changes = response.getChanges() === providerMessages.DiffResponse.DiffChanges.DIFF_NONE ? "none" : "some";
  return { changes, detailed, replaces: response.getReplacesList(), diffs: response.getDiffsList() };
}

function savedAnswer(response: {
  getId(): string;
  getProperties(): Struct | undefined;
  getRefreshBeforeUpdate(): boolean;
}): SavedAnswer {
  return {
    id: response.getId(),
    properties: plain(response.getProperties()),
    refreshBeforeUpdate: response.getRefreshBeforeUpdate(),
  };
}

function struct(properties: WireProperties): Struct {
  return structMessages.Struct.fromJavaScript(properties);
}

function plain(properties: Struct | undefined): WireProperties {
  return (properties?.toJavaScript() ?? {}) as WireProperties;
}

function bind(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}
