import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { Socket } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { agentProgram, startGate } from "../../agent/program.ts";
import { agentPath, type MemberPaths, memberPaths } from "../../model/names.ts";
import { renderStandIns } from "../../model/pacemaker/standIns.ts";
import { renderConfiguration } from "../../model/rendering.ts";
import {
  type Conversation,
  connected,
  type HelperProcess,
  limitMilliseconds,
  processOf,
  socketConversation,
  soon,
} from "./helperProcess.ts";
import { group } from "./shapes.ts";

/*
 * Hosts for the host helper: each is a directory that stands for the root of its file system. The helper's own program and
 * start-gate run there as processes. Pretended, in fakeHost/, are systemd, ssh, PostgreSQL's programs and a postmaster.
 */
const programs = join(dirname(fileURLToPath(import.meta.url)), "fakeHost");

/** The interpreter itself: a version manager's wrapper in front of it takes longer than the helper. */
const python = execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();

export const systemIdentifier = "7000000000000000001";
/** The cluster's timeline before every handover. */
export const timeline = 3;
/** Where the shutdown checkpoint of every pretended primary begins, and where its record ends. */
export const checkpoint = { start: "1/3000060", end: "1/30000D8" };
/** Of every host until its first reboot. */
export const bootId = "boot-1";

/** As pg_control numbers them. */
export const state = { shutDown: 1, inProduction: 6 };
const stateOffset = 16;
const timelineOffset = 48;

export type Values = Readonly<Record<string, unknown>>;
type RecordName = "lock" | "journal" | "ticket" | "switch" | "marker" | "passfile" | "channelKey";

export interface Lock {
  readonly epoch: number;
  readonly holder: string;
  readonly renewedSecondsAgo: number;
  readonly boot: string;
}

/** The host of member pg1, pg2 or pg3 of cluster orders: data of a stopped primary that may be started in this boot. */
export class PretendHost {
  readonly root: string;
  readonly dataDirectory: string;
  /** The helper's arguments name this file. */
  readonly memberFile: string;
  readonly paths: MemberPaths;

  constructor(
    readonly name: string,
    private readonly world: World,
  ) {
    const declared = group();
    const declaration = declared.members.find((member) => member.name === name);
    if (declaration === undefined) throw new Error(`${name} is no member`);
    const root = join(world.directory, name);
    const real = memberPaths(declared.cluster, name);
    this.root = root;
    this.paths = rooted(root, real);
    this.memberFile = this.paths.memberFile;
    this.dataDirectory = join(root, declaration.dataDirectory);
    for (const directory of [this.paths.stateDirectory, this.paths.configDirectory, join(root, "groups")]) {
      mkdirSync(directory, { recursive: true });
    }
    for (const directory of ["global", "pg_wal"]) mkdirSync(join(this.dataDirectory, directory), { recursive: true });
    symlinkSync(this.dataDirectory, join(root, "data"));
    symlinkSync(join(programs, "unit"), join(root, "unit"));
    symlinkSync(root, join(world.directory, declaration.replicationAddress));
    const description = JSON.parse(renderConfiguration(declared, declaration)[real.memberFile] ?? "") as Values;
    const { programs: postgresPrograms } = rooted(root, description) as { programs: string };
    mkdirSync(dirname(postgresPrograms), { recursive: true });
    symlinkSync(programs, postgresPrograms);
    writeFileSync(this.memberFile, JSON.stringify(rooted(root, description)));
    writeFileSync(this.paths.roleConf, "# the role during the handover\n");
    writeFileSync(join(this.dataDirectory, "PG_VERSION"), "17\n");
    writeFileSync(join(this.dataDirectory, "global", "pg_control"), controlFile());
    writeFileSync(join(root, "boot_id"), `${bootId}\n`);
    writeFileSync(join(root, "start-gate"), rootedGate(root));
    writeFileSync(this.paths.pass, `${bootId}\n`);
    this.lay("marker", { systemIdentifier, state: "ready" });
  }

  lay(record: RecordName, values: Values): void {
    replace(this.paths[record], JSON.stringify(values));
  }

  read(record: RecordName): Values | undefined {
    const path = this.paths[record];
    return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Values) : undefined;
  }

  /** Of epoch 5, alive, unless the overrides say otherwise. */
  layLock(overrides: Partial<Lock> = {}): void {
    replace(this.paths.lock, lockText(overrides));
  }

  /** A file below the root; without a text an empty one. Several of them change what the pretended programs do. */
  set(name: string, text = ""): void {
    replace(join(this.root, name), text);
  }

  get(name: string): string {
    return readFileSync(join(this.root, name), "utf8");
  }

  unset(name: string): void {
    rmSync(join(this.root, name));
  }

  has(name: string): boolean {
    return existsSync(join(this.root, name));
  }

  get standbySignal(): boolean {
    return this.has("data/standby.signal");
  }

  /** Why its unit waits at the boot gate. */
  get gateReason(): string | undefined {
    return existsSync(this.paths.gateReason) ? readFileSync(this.paths.gateReason, "utf8") : undefined;
  }

  /** Whether it says that another member can take over sooner. */
  get yields(): boolean {
    return existsSync(this.paths.yields);
  }

  /** It waits at its boot gate for that. */
  yield(): void {
    mkdirSync(dirname(this.paths.yields), { recursive: true });
    writeFileSync(this.paths.yields, "");
  }

  /** A segment of pg_wal, written so long ago. */
  layWal(name: string, { secondsAgo = 0 }: { readonly secondsAgo?: number } = {}): void {
    const path = join(this.dataDirectory, "pg_wal", name);
    const written = Date.now() / 1000 - secondsAgo;
    writeFileSync(path, "");
    utimesSync(path, written, written);
  }

  /** What pg_control says, before PostgreSQL starts. */
  layControl(overrides: Partial<Control>): void {
    writeFileSync(join(this.dataDirectory, "global", "pg_control"), controlFile(overrides));
  }

  /** Its description, as rendered once that member was taken out. */
  removePeer(name: string): void {
    const { peers } = JSON.parse(readFileSync(this.memberFile, "utf8")) as { peers: { member: string }[] };
    this.describe({ peers: peers.filter(({ member }) => member !== name) });
  }

  /** Its description, as rendered for a cluster under Pacemaker. */
  putUnderPacemaker(candidates: readonly string[], synchronous: { mode: string; k: number }): void {
    this.describe({ manager: "pacemaker", resource: "pgha-orders-clone", node: this.name, candidates, synchronous });
    this.set("pacemaker", "active enabled\n");
    this.hasSeen(["pg1", "pg2", "pg3"], { device: false });
  }

  /** What Corosync on this host knows of its three nodes. `seen`: since it started; `joined`: and are there. */
  hasSeen(
    seen: readonly string[],
    { device, joined = [] }: { readonly device: boolean; readonly joined?: readonly string[] },
  ): void {
    const lines = ["pg1", "pg2", "pg3"].flatMap((name, place) => [
      `nodelist.node.${place}.name (str) = ${name}`,
      `nodelist.node.${place}.nodeid (u32) = ${place + 1}`,
      ...(seen.includes(name)
        ? [`runtime.members.${place + 1}.status (str) = ${joined.includes(name) ? "joined" : "left"}`]
        : []),
    ]);
    this.set("cmap", [...lines, ...(device ? ["quorum.device.model (str) = net"] : []), ""].join("\n"));
  }

  /** Its description, as rendered where commits may go on without standbys; nobody has done so. */
  mayGoOnAlone(): void {
    this.describe({
      relax: { afterSeconds: 30, attribute: "pgha-orders-relaxed", file: this.paths.relaxedConf },
    });
    this.wentOnAlone();
  }

  /** Whose members did, by this host's copy of Pacemaker's configuration. */
  wentOnAlone(...nodes: readonly string[]): void {
    const attribute =
      '<instance_attributes id="x"><nvpair id="x-r" name="pgha-orders-relaxed" value="then"/></instance_attributes>';
    const entries = ["pg1", "pg2", "pg3"].map((name, index) =>
      nodes.includes(name)
        ? `<node id="${index + 1}" uname="${name}">${attribute}</node>`
        : `<node id="${index + 1}" uname="${name}"/>`,
    );
    this.set("cib.xml", `<nodes>\n${entries.join("\n")}\n</nodes>\n`);
  }

  /** Its description, as rendered where a former primary comes back at boot. */
  mayComeBack(): void {
    const { stateDirectory, postgresqlConf, passfile } = this.paths;
    this.describe({
      atBoot: {
        ...{ postgresVersion: 17, restores: 0, walDirectory: "", user: userInfo().username, login: "user=replicator" },
        dataUnit: `pgha-orders-${this.name}.data.service`,
        work: join(stateDirectory, "rejoin.lock"),
        kept: join(stateDirectory, "kept"),
        log: join(stateDirectory, "rewind.log"),
        ...{ config: postgresqlConf, passfile },
      },
    });
  }

  /** The same under the agent pgsql, as one of two members. */
  putUnderPgsql(repMode: "sync" | "async"): void {
    this.putUnderPacemaker(["pg1", "pg2"], repMode === "sync" ? { mode: "priority", k: 1 } : { mode: "off", k: 0 });
    this.describe({ repMode, repModeConf: this.paths.repMode });
    const { peers } = JSON.parse(readFileSync(this.memberFile, "utf8")) as { peers: { member: string }[] };
    this.describe({ peers: peers.filter(({ member }) => member !== "pg3") });
  }

  private describe(more: Values): void {
    const description = JSON.parse(readFileSync(this.memberFile, "utf8")) as Values;
    replace(this.memberFile, JSON.stringify({ ...description, ...more }));
  }

  private get control(): Buffer {
    return readFileSync(join(this.dataDirectory, "global", "pg_control"));
  }

  get timeline(): number {
    return this.control.readUInt32LE(timelineOffset);
  }

  get isRunning(): boolean {
    return this.has("postmaster");
  }

  get isWritable(): boolean {
    return this.isRunning && this.control.readUInt32LE(stateOffset) === state.inProduction;
  }

  /** It was about to leave its addresses, and has not said otherwise. */
  get hasSilenceRecord(): boolean {
    return existsSync(join(this.paths.runDirectory, "silent"));
  }

  /** A record of this boot. */
  layRun(name: string, values: Values): void {
    mkdirSync(this.paths.runDirectory, { recursive: true });
    replace(join(this.paths.runDirectory, name), JSON.stringify(values));
  }

  get hasPass(): boolean {
    return existsSync(this.paths.pass) && readFileSync(this.paths.pass, "utf8").split(/\s/)[0] === this.boot;
  }

  /** As whoever has just proved that this host's member is primary, and orders its start within so many seconds. */
  grantStart(withinSeconds = 30): void {
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    writeFileSync(this.paths.pass, `${this.boot} once ${Math.floor(uptime) + withinSeconds}\n`);
  }

  private get boot(): string {
    return readFileSync(join(this.root, "boot_id"), "utf8").trim();
  }

  /** As systemd does it, boot gate included. */
  startUnit(): void {
    this.world.run(this.root, join(programs, "systemctl"), ["start", this.paths.unit], {});
  }

  stopUnit(): void {
    this.world.run(this.root, join(programs, "systemctl"), ["stop", this.paths.unit], {});
  }

  /** PostgreSQL without its unit: as it runs before the test begins. */
  async startPostmaster(): Promise<void> {
    this.world.run(this.root, python, ["-IS", join(programs, "postmaster.py"), this.dataDirectory], {});
    await expect.poll(() => this.isRunning, soon).toBe(true);
  }

  /** Starts the unit, as a standby where standby.signal is, and waits until it runs. */
  async startPostgres(): Promise<void> {
    this.startUnit();
    await expect.poll(() => this.isRunning, soon).toBe(true);
  }

  /** The power goes away, and comes back: no process is left, and what lies in /run is gone. */
  reboot(): void {
    endProcesses(`FAKE_ROOT=${this.root}`);
    for (const name of ["postmaster", "starting", "started"]) rmSync(join(this.root, name), { force: true });
    rmSync(this.paths.runDirectory, { recursive: true, force: true });
    this.set("boot_id", "boot-2\n");
  }

  /** In order: programs that the helper ran, signals it sent, files it made durable or removed. */
  trace(): string[] {
    return this.has("trace") ? readFileSync(join(this.root, "trace"), "utf8").trim().split("\n") : [];
  }

  /** What systemctl was told, `show` left out. */
  calls(): string[] {
    return this.trace()
      .filter((line) => line.startsWith("run systemctl ") && !line.startsWith("run systemctl show"))
      .map((line) => line.slice("run systemctl ".length));
  }

  /** Runs the helper. */
  helper(words: readonly string[], constants: Values = {}): HelperProcess {
    return this.world.run(this.root, python, ["-ISu", join(programs, "agent.py"), ...words], constants);
  }

  /** Runs a verb that is given the member's file and these values. */
  verb(verb: string, values: Values = {}, constants: Values = {}): HelperProcess {
    return this.helper([verb, JSON.stringify({ member: this.memberFile, ...values })], constants);
  }

  /** Runs one of the programs that Pacemaker's agent finds, with this host's paths; what it prints goes to `said`. */
  standIn(name: string, ...words: readonly string[]): HelperProcess {
    return this.world.run(this.root, "sh", this.standInScript(name, words), {});
  }

  /** The same, within the monitor that Pacemaker repeats. */
  standInOfMonitor(name: string, ...words: readonly string[]): HelperProcess {
    const environment = ["OCF_RESKEY_CRM_meta_interval=3000"];
    return this.world.run(this.root, "env", [...environment, "sh", ...this.standInScript(name, words)], {});
  }

  private standInScript(name: string, words: readonly string[]): string[] {
    const { cluster } = group();
    const texts = renderStandIns({ cluster, member: this.name, dataDirectory: "/data", programs: "/programs" });
    const paths: [string, string][] = [
      ["/programs", programs],
      ["/data", this.dataDirectory],
      ["/var/lib/pgha", join(this.root, "/var/lib/pgha")],
      ["/etc/pgha", join(this.root, "/etc/pgha")],
      ["/run/pgha", join(this.root, "/run/pgha")],
      ["/proc/sys/kernel/random/boot_id", join(this.root, "boot_id")],
      [`/usr/bin/python3 -u ${agentPath}`, `${python} -ISu ${join(programs, "agent.py")}`],
    ];
    const script = paths.reduce((text, [real, here]) => text.replaceAll(real, here), texts[name] ?? "exit 99");
    return ["-c", `exec > "$FAKE_ROOT/said"\n${script}`, name, ...words];
  }

  /** Connects to a unit of the helper once it listens. */
  async connect(role: string, epoch: number): Promise<Conversation> {
    const socket = await connected(join(this.paths.runDirectory, `${role}-${epoch}.sock`));
    this.world.sockets.push(socket);
    return socketConversation(socket);
  }
}

interface Control {
  readonly systemIdentifier: string;
  readonly state: number;
  readonly timeline: number;
}

/** What one test has started. */
interface World {
  readonly directory: string;
  readonly sockets: Socket[];
  run(root: string, program: string, words: readonly string[], constants: Values): HelperProcess;
}

export interface PretendHosts {
  host(name: string): PretendHost;
  /** Calls functions of the helper with literal arguments. */
  evaluate(calls: readonly (readonly unknown[])[]): Promise<unknown[]>;
}

/** To be called at the top of a test file: fresh hosts for every test, and nothing of them is left afterwards. */
export function pretendHosts(): PretendHosts {
  let helper = "";
  let directory = "";
  let sockets: Socket[] = [];
  const hosts = new Map<string, PretendHost>();

  beforeAll(() => {
    helper = mkdtempSync(join(tmpdir(), "pgha-helper-"));
    const text = agentProgram.replace(/\nmain\(sys\.argv\[1:\]\)\s*$/, "\n");
    if (text === agentProgram) throw new Error("agent/main.py does not end by calling main");
    writeFileSync(join(helper, "pgha.py"), text);
  });
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "pgha-hosts-")));
  });
  afterEach(() => {
    endProcesses(`FAKE_WORLD=${directory}`);
    for (const socket of sockets) socket.destroy();
    hosts.clear();
    sockets = [];
    rmSync(directory, { recursive: true, force: true });
  });
  afterAll(() => rmSync(helper, { recursive: true, force: true }));

  const run: World["run"] = (root, program, words, constants) => {
    const child = spawn(program, words, {
      env: {
        ...process.env,
        PATH: `${programs}:${process.env.PATH}`,
        FAKE_PROGRAMS: programs,
        FAKE_PYTHON: python,
        FAKE_HELPER: helper,
        FAKE_WORLD: directory,
        FAKE_ROOT: root,
        FAKE_CONSTANTS: JSON.stringify(constants),
      },
    });
    return processOf(child);
  };

  return {
    host(name) {
      const host = hosts.get(name) ?? new PretendHost(name, { directory, sockets, run });
      hosts.set(name, host);
      return host;
    },
    async evaluate(calls) {
      const evaluation = run(directory, python, ["-IS", join(programs, "agent.py"), "evaluate"], {});
      for (const call of calls) evaluation.say(JSON.stringify(call));
      evaluation.leave();
      const answers = await evaluation.rest();
      const { code, stderr } = await evaluation.exit;
      if (code !== 0) throw new Error(stderr);
      return answers;
    },
  };
}

/** Ends every process with this in its environment, and returns when none is left. */
function endProcesses(marker: string): void {
  const deadline = performance.now() + limitMilliseconds;
  for (;;) {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && environment(name).includes(marker));
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(", ")} do not end`);
    for (const pid of pids) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has ended.
      }
    }
  }
}

function environment(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return []; // It has ended, or is somebody else's.
  }
}

/** In one piece: processes that read it meanwhile see the old one or the new one. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.laid`, text);
  renameSync(`${path}.laid`, path);
}

/** Every path in it, as a path below the root. */
function rooted<T extends object>(root: string, values: T): T {
  const changed = Object.entries(values).map(([name, value]) => [
    name,
    typeof value === "string" && value.startsWith("/") ? join(root, value) : value,
  ]);
  return Object.fromEntries(changed) as T;
}

/** The gate with this host's paths, and the helper run as the test runs it. */
function rootedGate(root: string): string {
  return [
    ["/var/lib/pgha", join(root, "/var/lib/pgha")],
    ["/etc/pgha", join(root, "/etc/pgha")],
    ["/proc/sys/kernel/random/boot_id", join(root, "boot_id")],
    [`/usr/bin/python3 -u ${agentPath}`, `${python} -ISu ${join(programs, "agent.py")}`],
  ].reduce((text, [real = "", here = ""]) => {
    if (!text.includes(real)) throw new Error(`start-gate does not name ${real}`);
    return text.replaceAll(real, here);
  }, startGate);
}

/** The first 64 bytes of pg_control, as src/include/catalog/pg_control.h lays them out: of a primary that was shut down. */
function controlFile(overrides: Partial<Control> = {}): Buffer {
  const control = { systemIdentifier, state: state.shutDown, timeline, ...overrides };
  const bytes = Buffer.alloc(64);
  bytes.writeBigUInt64LE(BigInt(control.systemIdentifier), 0);
  bytes.writeUInt32LE(control.state, stateOffset);
  bytes.writeBigUInt64LE(0x1_0300_0060n, 32);
  bytes.writeUInt32LE(control.timeline, timelineOffset);
  return bytes;
}

const bootSeconds = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);

function lockText(overrides: Partial<Lock>): string {
  const { epoch, holder, renewedSecondsAgo, boot } = {
    ...{ epoch: 5, holder: "anna@desk", renewedSecondsAgo: 0, boot: bootId },
    ...overrides,
  };
  return JSON.stringify({ epoch, holder, since: "then", renewed: bootSeconds() - renewedSecondsAgo, boot });
}
