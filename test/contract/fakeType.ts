import type { Context, Properties, ResourceType } from "../../provider/resource.ts";

/** A resource type that does nothing by itself; a test replaces the one method it is about. */
export function fakeType(overrides: Partial<ResourceType> = {}): ResourceType {
  return {
    token: "pgha:index:Toy",
    secrets: ["password"],
    check: (news) => ({ inputs: news, faults: [] }),
    diff: ({ outputs, news }) => (outputs.primary === news.primary ? {} : { primary: { kind: "update" } }),
    create: async (_context: Context, { inputs, name }) => ({ id: name, outputs: inputs }),
    read: async (_context: Context, { id, outputs }) => ({ id, outputs }),
    update: async (_context: Context, { inputs }) => ({ outputs: inputs }),
    delete: async () => undefined,
    ...overrides,
  };
}

/** Keeps what a handler was given. */
export function recorder(): { readonly seen: Properties[]; keep(properties: Properties): Properties } {
  const seen: Properties[] = [];
  return {
    seen,
    keep(properties) {
      seen.push(properties);
      return properties;
    },
  };
}
