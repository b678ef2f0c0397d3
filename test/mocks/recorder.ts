import * as pulumi from "@pulumi/pulumi";

const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

/** One resource as the program asked the engine for it. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  /** "type name" of the parent, "" at the top. */
  readonly parent: string;
  /** Names of what it waits for, sorted; a component stands for everything in it. */
  readonly dependsOn: readonly string[];
  /** As sent: a secret is { secret: value }. */
  readonly props: Readonly<Record<string, unknown>>;
  readonly secretOutputs: readonly string[];
  readonly deleteBeforeReplace: boolean;
}

interface Request {
  getType(): string;
  getName(): string;
  getParent(): string;
  getDependenciesList(): string[];
  getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
  getAdditionalsecretoutputsList(): string[];
  getDeletebeforereplace(): boolean;
}

/**
 * Runs a program under mocks and returns every resource that it registers, in the order of their names within their types.
 * Recorded is the request to the engine, because mocks themselves see no options.
 */
export async function recordProgram(program: () => void): Promise<Registered[]> {
  await pulumi.runtime.setMocks(
    { newResource: ({ name, inputs }) => ({ id: name, state: inputs }), call: ({ inputs }) => inputs },
    "pgha",
    "test",
    false,
  );
  const monitor = pulumi.runtime.getMonitor() as unknown as {
    registerResource(request: Request, callback: unknown): unknown;
  };
  const requests: Request[] = [];
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, callback) => {
    requests.push(request);
    return register(request, callback);
  };
  try {
    program();
  } finally {
    // Waits for every registration under way: a late one would land in the next test.
    await pulumi.runtime.disconnect();
  }
  return requests.map(registeredFrom).sort((a, b) => order(a).localeCompare(order(b)));
}

function order({ type, name }: Registered): string {
  return `${type} ${name}`;
}

function registeredFrom(request: Request): Registered {
  return {
    type: request.getType(),
    name: request.getName(),
    parent: describeUrn(request.getParent()),
    dependsOn: [...new Set(request.getDependenciesList().map(nameOf))].sort(),
    props: unwrap(request.getObject()?.toJavaScript() ?? {}) as Record<string, unknown>,
    secretOutputs: request.getAdditionalsecretoutputsList(),
    deleteBeforeReplace: request.getDeletebeforereplace(),
  };
}

function nameOf(urn: string): string {
  return urn.split("::")[3] ?? urn;
}

function describeUrn(urn: string): string {
  const type = urn.split("::")[2]?.split("$").at(-1);
  return type === undefined ? "" : `${type} ${nameOf(urn)}`;
}

/** Secrets as people read them. */
function unwrap(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrap);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  if (fields["4dabf18193072939515e22adb298388d"] === secretSignature) return { secret: unwrap(fields.value) };
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, unwrap(field)]));
}
