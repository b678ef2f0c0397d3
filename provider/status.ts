import { status as codes, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { CheckFailure } from "@pulumi/pulumi/proto/provider_pb.js";
import providerMessages from "@pulumi/pulumi/proto/provider_pb.js";
import statusMessages from "@pulumi/pulumi/proto/status_pb.js";
import anyMessages from "google-protobuf/google/protobuf/any_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import { type Fault, UserError } from "../model/fault.ts";
import { formatPropertyPath, type PropertyPath } from "../model/propertyPath.ts";
import { RemoteError } from "../remote/errors.ts";

/**
 * Text for the terminal. Part of it may come from a host: an escape character could repaint the terminal, and `<{%` begins
 * a colour for the CLI, which panics when it does not know the name that follows.
 */
export function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: taking out control characters is the point; tab and newline stay
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").replaceAll("<{%", "< {%");
}

/** True for what a user or a host can put right; everything else is our bug. */
function isExpected(error: unknown): error is UserError | RemoteError {
  return error instanceof UserError || error instanceof RemoteError;
}

/** What people read about an error: the message alone, or for our own bug everything that helps to find it. */
export function errorText(error: unknown): string {
  if (isExpected(error)) return cleanText(error.message);
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return cleanText(`This is a bug in pgha: ${detail}`);
}

export function toServiceError(error: unknown): ServiceError {
  return serviceError(errorText(error), new Metadata());
}

/**
 * Tells the engine to save the resource although the operation failed. The next successful read erases the reasons in the state,
 * so what is unfinished must also be an output that read derives.
 */
export function toInitFailed(failed: {
  id: string;
  properties: Struct;
  inputs: Struct | undefined;
  reasons: readonly string[];
  refreshBeforeUpdate: boolean;
}): ServiceError {
  const reasons = failed.reasons.map(cleanText);
  const message = reasons[0] ?? "the resource is not as declared";
  const detail = new providerMessages.ErrorResourceInitFailed();
  detail.setId(failed.id);
  detail.setProperties(failed.properties);
  detail.setInputs(failed.inputs);
  detail.setReasonsList(reasons);
  // Without it the engine would forget the flag, and never read this resource again.
  detail.setRefreshBeforeUpdate(failed.refreshBeforeUpdate);
  const packed = new anyMessages.Any();
  packed.pack(detail.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
  const status = new statusMessages.Status();
  status.setCode(codes.UNKNOWN);
  status.setMessage(message);
  status.addDetails(packed);
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.serializeBinary()));
  return serviceError(message, metadata);
}

/**
 * A fault as the engine shows it: "property primary value {pg9} has a problem: found pg9, expected …". For a path into a property it
 * would show the value as {<nil>}, and of a secret the value itself; there the reason begins with the path, and names no property.
 */
export function checkFailure(path: PropertyPath, fault: Fault, secretKeys: ReadonlySet<string>): CheckFailure {
  const isSecret = secretKeys.has(String(path[0])) && fault.found !== "nothing";
  const reason = cleanText(
    `found ${isSecret ? "a secret value" : fault.found}, expected ${fault.expected}. ${fault.remedy}`,
  );
  const property = formatPropertyPath(path);
  const failure = new providerMessages.CheckFailure();
  if (path.length === 1 && !secretKeys.has(property)) return failure.setProperty(property).setReason(reason);
  return failure.setReason(property === "" ? reason : `${property}: ${reason}`);
}

function serviceError(details: string, metadata: Metadata): ServiceError {
  return Object.assign(new Error(details), { code: codes.UNKNOWN, details, metadata });
}
