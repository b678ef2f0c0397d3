import { spawn } from "node:child_process";
import { randomBytes, timingSafeEqual } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request } from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bootCgroups, killCgroup, newBootCgroup, processesIn, removeCgroup } from "./cgroup.ts";
import { hostCondition, killHost, recordPids, startHost } from "./host.ts";
import { hostNames, type LabNames } from "./names.ts";
import { must, waitFor } from "./shell.ts";
import { type HostState, labFiles, readState } from "./state.ts";

/** The board answers at the lab's gateway address on this port. */
export const boardPort = 8443;
export const boardUser = "admin";

interface BoardFiles {
  readonly certificate: string;
  readonly key: string;
  readonly password: string;
  readonly log: string;
}

export function boardFiles(lab: string): BoardFiles {
  const { folder } = labFiles(lab);
  return {
    certificate: join(folder, "board.crt"),
    key: join(folder, "board.key"),
    password: join(folder, "board_password"),
    log: join(folder, "board.log"),
  };
}

/**
 * Starts the lab's management board unless it answers: a Redfish service that switches hosts on and off, so that fencing
 * is done by Debian's own agent: fence_redfish ip=GATEWAY ipport=8443 systems_uri=/redfish/v1/Systems/pg1 ssl_insecure=1.
 */
export async function startBoard(lab: LabNames): Promise<void> {
  const files = boardFiles(lab.lab);
  if (!existsSync(files.password)) writeFileSync(files.password, randomBytes(12).toString("hex"), { mode: 0o600 });
  if (!existsSync(files.certificate)) {
    const names = ["-subj", `/CN=${lab.gateway}`, "-addext", `subjectAltName=IP:${lab.gateway}`];
    const form = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"];
    await must(["openssl", "req", ...form, "-keyout", files.key, "-out", files.certificate, ...names]);
  }
  if (await boardAnswers(lab)) return;
  await stopBoard(lab);
  const cgroup = newBootCgroup(lab.slice, "board");
  const log = openSync(files.log, "w");
  const program = ["--import", "tsx", fileURLToPath(new URL("./main.ts", import.meta.url)), "board", "--lab", lab.lab];
  const child = spawn(cgroup.prefix[0] ?? "sh", [...cgroup.prefix.slice(1), process.execPath, ...program], {
    detached: true,
    stdio: ["ignore", log, log],
    cwd: fileURLToPath(new URL("..", import.meta.url)),
  });
  closeSync(log);
  child.unref();
  await waitFor(`the management board at ${lab.gateway}:${boardPort} (its log is ${files.log})`, 30, async () =>
    (await boardAnswers(lab)) ? true : undefined,
  );
}

/** Ends the board's process. */
export async function stopBoard(lab: LabNames): Promise<void> {
  for (const boot of bootCgroups(lab.slice).filter((candidate) => candidate.host === "board")) {
    if (processesIn(boot.path).length > 0) killCgroup(boot.path);
    await removeCgroup(boot.path);
  }
}

async function boardAnswers(lab: LabNames): Promise<boolean> {
  return await new Promise((resolve) => {
    const call = request(
      {
        host: lab.gateway,
        port: boardPort,
        path: "/redfish/v1",
        auth: `${boardUser}:${readFileSync(boardFiles(lab.lab).password, "utf8")}`,
        ca: readFileSync(boardFiles(lab.lab).certificate),
        timeout: 2000,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.on("timeout", () => call.destroy());
    call.on("error", () => resolve(false));
    call.end();
  });
}

/** Serves the board until the process ends. */
export async function serveBoard(lab: LabNames): Promise<void> {
  const files = boardFiles(lab.lab);
  const expected = Buffer.from(`${boardUser}:${readFileSync(files.password, "utf8")}`);
  const server = createServer({ key: readFileSync(files.key), cert: readFileSync(files.certificate) });
  server.on("request", (call: IncomingMessage, response: ServerResponse) => {
    const given = Buffer.from((call.headers.authorization ?? "").replace(/^Basic /, ""), "base64");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      answer(response, 401, { error: "wrong user name or password" });
      return;
    }
    handle(lab, call, response).catch((error: unknown) => {
      console.error(new Date().toISOString(), error instanceof Error ? error.message : error);
      if (!response.headersSent) answer(response, 500, { error: "the lab could not do it; see its log" });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(boardPort, lab.gateway, resolve);
  });
}

const systems = "/redfish/v1/Systems";

async function handle(lab: LabNames, call: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (call.url ?? "").replace(/\/$/, "");
  const hosts = readState(lab.lab)?.hosts ?? [];
  if (path === "/redfish/v1") return answer(response, 200, { Systems: { "@odata.id": systems } });
  if (path === systems) {
    return answer(response, 200, { Members: hosts.map((host) => ({ "@odata.id": `${systems}/${host.name}` })) });
  }
  const [, name, action] = /^\/redfish\/v1\/Systems\/([a-z0-9]+)(\/Actions\/ComputerSystem\.Reset)?$/.exec(path) ?? [];
  const host = hosts.find((candidate) => candidate.name === name);
  if (host === undefined) return answer(response, 404, { error: "no such system" });
  if (action === undefined) return answer(response, 200, describeSystem(lab, host));
  if (call.method !== "POST") return answer(response, 405, { error: "expected POST" });
  const done = await switchPower(lab, host, await readResetType(call));
  answer(response, done ? 204 : 400, done ? undefined : { error: "expected ResetType On, ForceOff or ForceRestart" });
}

function describeSystem(lab: LabNames, host: HostState): object {
  const uri = `${systems}/${host.name}`;
  return {
    "@odata.id": uri,
    Id: host.name,
    PowerState: hostCondition(lab, host.name) === "down" && !selfTests.has(host.name) ? "Off" : "On",
    Actions: { "#ComputerSystem.Reset": { target: `${uri}/Actions/ComputerSystem.Reset` } },
  };
}

/**
 * From power until the system boots. A server takes longer than a failover: one that is back within 2 s, as a container would
 * be, is found again as the primary, and nobody else is promoted.
 */
const selfTestMilliseconds = 20_000;
const selfTests = new Map<string, NodeJS.Timeout>();

function powerOn(lab: LabNames, host: HostState): void {
  const boot = async () => {
    selfTests.delete(host.name);
    await startHost(lab, host, console.log);
    await recordPids(lab);
  };
  selfTests.set(
    host.name,
    setTimeout(() => boot().catch((error: Error) => console.error(error.message)), selfTestMilliseconds),
  );
}

/** False for a reset type that the board does not know. Switching on answers at once; the host boots after its self-test. */
async function switchPower(lab: LabNames, host: HostState, resetType: string): Promise<boolean> {
  if (!["On", "ForceOff", "ForceRestart"].includes(resetType)) return false;
  console.log(new Date().toISOString(), resetType, host.name);
  const starting = selfTests.get(host.name);
  if (resetType !== "On") {
    clearTimeout(starting);
    selfTests.delete(host.name);
    await killHost(lab, hostNames(lab.lab, host.number));
  }
  const isOff = hostCondition(lab, host.name) === "down" && !selfTests.has(host.name);
  if (resetType !== "ForceOff" && isOff) powerOn(lab, host);
  await recordPids(lab);
  return true;
}

async function readResetType(call: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of call) {
    text += chunk;
    if (text.length > 10_000) return "";
  }
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null && "ResetType" in body ? String(body.ResetType) : "";
  } catch {
    return "";
  }
}

function answer(response: ServerResponse, status: number, body: object | undefined): void {
  response.writeHead(status, { "content-type": "application/json", "odata-version": "4.0" });
  response.end(body === undefined ? "" : JSON.stringify(body));
}
