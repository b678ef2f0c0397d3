import structMessages, { type Struct, type Value } from "google-protobuf/google/protobuf/struct_pb.js";
import { UserError } from "../model/fault.ts";
import { formatPropertyPath, type PropertyPath } from "../model/propertyPath.ts";
import type { Plain, Properties } from "./resource.ts";

/*
 * Properties travel as a protobuf Struct in which some strings and some keys are signals of the engine. They are known only here.
 * See sdk/go/common/resource/properties.go of Pulumi.
 */
const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";
const unknownText = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const unknownTexts: ReadonlySet<string> = new Set([
  unknownText,
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);
const refusedSignatures: Readonly<Record<string, string>> = {
  c44067f5952c0a294b673a41bacd8c17: "an asset",
  "0def7320c3a5731c473e5ecbe6d01bc7": "an archive",
  "5cf8f73096256a8f31e491e813e4eb8e": "a reference to another resource",
};

/** Properties as they came: plain data, and apart from it what was secret or not yet known. */
export interface Received {
  /** What is unknown is missing in objects and null in lists. */
  readonly values: Properties;
  /** Top-level keys that were secret, or held a secret somewhere inside. */
  readonly secretKeys: ReadonlySet<string>;
  readonly unknownPaths: readonly PropertyPath[];
}

/** What a struct holds, unwrapped. Throws `UserError` for an asset, archive or resource reference: no type of ours takes one. */
export function decodeProperties(struct: Struct | undefined): Received {
  const secretKeys = new Set<string>();
  const unknownPaths: PropertyPath[] = [];

  function decodeFields(fields: Struct, path: PropertyPath): Properties {
    const values: Properties = {};
    for (const [key, value] of fields.getFieldsMap().entries()) {
      const plain = decodeValue(value, [...path, key]);
      if (plain !== undefined) setOwn(values, key, plain);
    }
    return values;
  }

  function decodeSigned(fields: Struct, signature: string, path: PropertyPath): Plain | undefined {
    if (signature !== secretSignature) {
      const what = refusedSignatures[signature] ?? "a value of a kind unknown here";
      throw new UserError(`${formatPropertyPath(path)}: found ${what}, expected plain data. Pass the text itself.`);
    }
    secretKeys.add(String(path[0]));
    const inner = fields.getFieldsMap().get("value");
    return inner === undefined ? null : decodeValue(inner, path);
  }

  function decodeValue(value: Value, path: PropertyPath): Plain | undefined {
    switch (value.getKindCase()) {
      case structMessages.Value.KindCase.STRING_VALUE: {
        const text = value.getStringValue();
        if (!unknownTexts.has(text)) return text;
        unknownPaths.push(path);
        return undefined;
      }
      case structMessages.Value.KindCase.NUMBER_VALUE:
        return value.getNumberValue();
      case structMessages.Value.KindCase.BOOL_VALUE:
        return value.getBoolValue();
      case structMessages.Value.KindCase.LIST_VALUE: {
        const elements = value.getListValue()?.getValuesList() ?? [];
        return elements.map((element, index) => decodeValue(element, [...path, index]) ?? null);
      }
      case structMessages.Value.KindCase.STRUCT_VALUE: {
        const fields = value.getStructValue();
        if (fields === undefined) return {};
        const signature = fields.getFieldsMap().get(signatureKey)?.getStringValue();
        return signature === undefined ? decodeFields(fields, path) : decodeSigned(fields, signature, path);
      }
      default:
        return null;
    }
  }

  return { values: struct === undefined ? {} : decodeFields(struct, []), secretKeys, unknownPaths };
}

/**
 * The struct for `values`: every top-level key in `secretKeys` is wrapped whole, because a secret that is returned unwrapped inside
 * an object would be stored in clear; the paths in `unknownPaths` become unknown again.
 */
export function encodeProperties(
  values: Properties,
  secretKeys: ReadonlySet<string>,
  unknownPaths: readonly PropertyPath[] = [],
): Struct {
  const complete = structuredClone(values);
  for (const path of unknownPaths) markUnknown(complete, path);
  const struct = new structMessages.Struct();
  for (const [key, value] of Object.entries(complete)) {
    if (value === undefined) continue;
    const encoded = encodeValue(value, [key]);
    struct.getFieldsMap().set(key, secretKeys.has(key) ? wrapSecret(encoded) : encoded);
  }
  return struct;
}

/** Goes as deep as the data does: where the way ends before the path does, everything below is unknown. */
function markUnknown(values: Properties, path: PropertyPath): void {
  let here: Plain = values;
  for (const [index, part] of path.entries()) {
    const last = index === path.length - 1;
    if (Array.isArray(here) && typeof part === "number") {
      const next: Plain | undefined = here[part];
      if (last || next === null || typeof next !== "object") {
        here[part] = unknownText;
        return;
      }
      here = next;
    } else if (!Array.isArray(here) && here !== null && typeof here === "object") {
      const next: Plain | undefined = here[part];
      if (last || next === null || typeof next !== "object") {
        setOwn(here, String(part), unknownText);
        return;
      }
      here = next;
    } else return;
  }
}

function encodeValue(value: Plain, path: PropertyPath): Value {
  const encoded = new structMessages.Value();
  if (value === null) return encoded.setNullValue(structMessages.NullValue.NULL_VALUE);
  switch (typeof value) {
    case "string":
      return encoded.setStringValue(value);
    case "boolean":
      return encoded.setBoolValue(value);
    case "number":
      if (!Number.isFinite(value))
        throw new Error(`${formatPropertyPath(path)} is ${value}, which has no place in JSON`);
      return encoded.setNumberValue(value);
    case "object":
      return Array.isArray(value) ? encodeList(encoded, value, path) : encodeObject(encoded, value, path);
    default:
      throw new Error(`${formatPropertyPath(path)} is a ${typeof value}, which has no place in JSON`);
  }
}

function encodeList(encoded: Value, list: readonly Plain[], path: PropertyPath): Value {
  const values = new structMessages.ListValue();
  values.setValuesList(list.map((element, index) => encodeValue(element ?? null, [...path, index])));
  return encoded.setListValue(values);
}

function encodeObject(encoded: Value, object: Properties, path: PropertyPath): Value {
  const struct = new structMessages.Struct();
  for (const [key, value] of Object.entries(object)) {
    if (value !== undefined) struct.getFieldsMap().set(key, encodeValue(value, [...path, key]));
  }
  return encoded.setStructValue(struct);
}

function wrapSecret(value: Value): Value {
  const struct = new structMessages.Struct();
  struct.getFieldsMap().set(signatureKey, new structMessages.Value().setStringValue(secretSignature));
  struct.getFieldsMap().set("value", value);
  return new structMessages.Value().setStructValue(struct);
}

/** Plain assignment to a key such as `__proto__` would be lost. */
function setOwn(object: Properties, key: string, value: Plain): void {
  Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
}
