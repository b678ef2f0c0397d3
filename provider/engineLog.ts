import { credentials, Metadata } from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineMessages from "@pulumi/pulumi/proto/engine_pb.js";
import { cleanText } from "./status.ts";

export type Severity = "info" | "warn" | "error";

/** One line for the person at the terminal. `ephemeral`: shown on the resource's row while it lasts. */
export interface LogLine {
  readonly severity: Severity;
  readonly text: string;
  readonly urn: string;
  readonly ephemeral: boolean;
}

/** Where log lines go. `send` settles when the line has arrived or was given up. */
export interface EngineLog {
  send(line: LogLine): Promise<void>;
}

/** The engine at `address` ("127.0.0.1:41234"). The connection is opened at the first line: most processes say nothing. */
export function connectEngineLog(address: string): EngineLog & { close(): void } {
  let client: InstanceType<typeof engineGrpc.EngineClient> | undefined;
  return {
    send(line) {
      client ??= new engineGrpc.EngineClient(address, credentials.createInsecure());
      const request = new engineMessages.LogRequest();
      request.setSeverity(severityCode(line.severity));
      request.setMessage(cleanText(line.text));
      request.setUrn(line.urn);
      request.setEphemeral(line.ephemeral);
      const deadline = Date.now() + logLimitMilliseconds;
      // A line that does not arrive must not fail the work it tells about.
      return new Promise((resolve) => client?.log(request, new Metadata(), { deadline }, () => resolve()));
    },
    close() {
      client?.close();
      client = undefined;
    },
  };
}

const logLimitMilliseconds = 2000;

function severityCode(severity: Severity): number {
  switch (severity) {
    case "info":
      return engineMessages.LogSeverity.INFO;
    case "warn":
      return engineMessages.LogSeverity.WARNING;
    case "error":
      return engineMessages.LogSeverity.ERROR;
  }
}
