import type * as messages from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import { formatPropertyPath, isAtOrUnderText, type PropertyPath, valueAt } from "../model/propertyPath.ts";
import type { Changes, Notice, Plain, Properties, PropertyChange, ResourceType } from "./resource.ts";
import { decodeProperties } from "./wire.ts";

/** The answer to Diff, and what to say beside it when it belongs to what is declared now. */
export function diffResource(
  type: ResourceType,
  request: messages.DiffRequest,
  isDeclaredNow: boolean,
): { response: messages.DiffResponse; notices: readonly Notice[] } {
  const outputs = decodeProperties(request.getOlds()).values;
  const oldInputs = decodeProperties(request.getOldInputs()).values;
  const received = decodeProperties(request.getNews());
  const news = assumeUnchanged(received.values, received.unknownPaths, oldInputs);
  const resource = { id: request.getId(), outputs, oldInputs, news };
  const changes = withUnknown(type.diff(resource), received.unknownPaths.map(formatPropertyPath));
  return {
    response: diffResponse(withoutIgnored(changes, request.getIgnorechangesList())),
    notices: isDeclaredNow ? (type.notices?.(resource) ?? []) : [],
  };
}

/** What is not known yet is compared as if it were what it was, so that nothing that depends on it looks changed or deleted. */
function assumeUnchanged(news: Properties, unknownPaths: readonly PropertyPath[], oldInputs: Properties): Properties {
  const assumed = structuredClone(news);
  for (const path of unknownPaths) {
    const last = path.at(-1);
    const parent = valueAt(assumed, path.slice(0, -1));
    const old: Plain | undefined = valueAt(oldInputs, path);
    if (old === undefined || last === undefined) continue;
    if (Array.isArray(parent) && typeof last === "number") parent[last] = old;
    else if (parent !== null && typeof parent === "object" && !Array.isArray(parent)) parent[last] = old;
  }
  return assumed;
}

function withUnknown(changes: Changes, unknownPaths: readonly string[]): Changes {
  const known = Object.entries(changes).filter(
    ([path]) => !unknownPaths.some((unknown) => isAtOrUnderText(path, unknown)),
  );
  const unknown = unknownPaths.map((path): [string, PropertyChange] => [path, { kind: "update" }]);
  return Object.fromEntries([...known, ...unknown]);
}

/** The engine resets ignored inputs to the old ones; that a live value differs from them is to be ignored too. */
function withoutIgnored(changes: Changes, ignored: readonly string[]): Changes {
  return Object.fromEntries(
    Object.entries(changes).filter(([path]) => !ignored.some((pattern) => isAtOrUnderText(path, pattern))),
  );
}

function diffResponse(changes: Changes): messages.DiffResponse {
  const { DiffChanges } = providerMessages.DiffResponse;
  const response = new providerMessages.DiffResponse().setHasdetaileddiff(true);
  const paths = Object.keys(changes);
  response.setChanges(paths.length === 0 ? DiffChanges.DIFF_NONE : DiffChanges.DIFF_SOME);
  response.setDiffsList([...new Set(paths.map(topLevelKey))]);
  for (const [path, change] of Object.entries(changes)) {
    const detail = new providerMessages.PropertyDiff();
    detail.setKind(kindCode(change.kind));
    detail.setInputdiff(change.inputDiff ?? false);
    response.getDetaileddiffMap().set(path, detail);
    if (change.kind === "replace") response.addReplaces(topLevelKey(path));
  }
  return response;
}

function topLevelKey(path: string): string {
  return /^[^.[]+/.exec(path)?.[0] ?? path;
}

function kindCode(kind: PropertyChange["kind"]): messages.PropertyDiff.Kind {
  const { Kind } = providerMessages.PropertyDiff;
  switch (kind) {
    case "add":
      return Kind.ADD;
    case "update":
      return Kind.UPDATE;
    case "delete":
      return Kind.DELETE;
    case "replace":
      return Kind.UPDATE_REPLACE;
  }
}
