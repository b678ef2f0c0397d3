import type { handleUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { toServiceError } from "./status.ts";

/** An RPC from a function of its request. Whatever it throws becomes a status: never an unhandled rejection. */
export function unary<Request, Response>(
  answer: (request: Request) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    respond(answer, call.request, callback);
  };
}

async function respond<Request, Response>(
  answer: (request: Request) => Promise<Response> | Response,
  request: Request,
  callback: sendUnaryData<Response>,
): Promise<void> {
  try {
    callback(null, await answer(request));
  } catch (error) {
    callback(isServiceError(error) ? error : toServiceError(error));
  }
}

function isServiceError(error: unknown): error is Error & { code: number; details: string } {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "metadata" in error;
}
