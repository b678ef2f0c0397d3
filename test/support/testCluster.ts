import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { type Lab, type LabWish, openLab } from "../../lab/lab.ts";
import type { OwnersSeen } from "../../lab/owners.ts";
import { type DeclaredCluster, openDeclaredCluster } from "./declaredCluster.ts";
import { hostsConfig, scriptOnHost, sql } from "./labStack.ts";
import { openStack, type Ran, type TestStack } from "./stack.ts";
import { testLabName } from "./testLab.ts";
import { type Overlap, type WritableWatch, watchWritable } from "./writableWatch.ts";
import { prepareProbe, startWriter, type Writer, type WriterResult } from "./writer.ts";

export const clusterName = "orders";

/** The test lab with this many prepared hosts, everything on them erased. */
export async function openTestLab(hosts: number, wish: Partial<LabWish> = {}): Promise<Lab> {
  const lab = await openLab({ name: testLabName, hosts, prepared: true, ...wish });
  await Promise.all(lab.hosts.map((host) => lab.reset(host.name)));
  return lab;
}

export interface TestClusterOptions {
  readonly lab: Lab;
  /** Name of the stack. */
  readonly name: string;
  /** Keys of the cluster's declaration, before those that every test has: one standby acknowledges, small segments, pg1 is primary. */
  readonly declaration?: Readonly<Record<string, unknown>>;
  /** Further keys of the stack file, "pgha:pacemaker" and so on. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Default: every host of the lab. */
  readonly members?: readonly string[];
}

/** Cluster orders on hosts of the lab, driven through the real CLI, and what tests do with it. */
export interface TestCluster {
  readonly lab: Lab;
  readonly stack: TestStack;
  readonly members: readonly string[];
  /** Changes one key of the cluster's declaration. */
  declare(key: string, value: unknown): Promise<void>;
  /** "pg1 f 1": every member with pg_is_in_recovery and its timeline; "pg1 down" where nothing answers. */
  roles(): Promise<string[]>;
  /** Starts the continuous writer, and the sampling of who is writable inside every host. */
  observeWrites(options?: ObserveOptions): Promise<Observed>;
  /** Forgets the stack; the hosts stay as they are until they are reset. */
  close(): Promise<void>;
}

export interface ObserveOptions {
  /** Another cluster of the same stack file. Default: orders. */
  readonly cluster?: string;
  /** The writer reaches the primary by this virtual IP alone, and who answers for it is watched. Default: it has the members' own addresses. */
  readonly virtualIp?: string;
  /** Both end by themselves after so long. Default 900. */
  readonly limitSeconds?: number;
}

/** Everything that must hold is judged by what clients and hosts saw. */
export interface Observed {
  readonly writer: Writer;
  readonly watch: WritableWatch;
  /** Waits for one more acknowledged row, and ends both. */
  finish(): Promise<Verdict>;
}

export interface Verdict {
  readonly acknowledged: number;
  readonly lost: readonly number[];
  readonly twoWritersAtOnce: readonly unknown[];
  readonly writableTogether: readonly Overlap[];
  /** Who answered for the virtual IP; undefined where none was watched. */
  readonly owners?: OwnersSeen;
  readonly writer: WriterResult;
}

/** 0 acknowledged rows lost, never two servers at once, never two that answer for the virtual IP. */
export function expectSafe(verdict: Verdict): void {
  expect(verdict.acknowledged).toBeGreaterThan(0);
  const { lost, twoWritersAtOnce, writableTogether, owners } = verdict;
  expect({ lost, twoWritersAtOnce, writableTogether, disputed: owners?.disputed ?? [] }).toEqual({
    lost: [],
    twoWritersAtOnce: [],
    writableTogether: [],
    disputed: [],
  });
  if (owners !== undefined) expect(owners.answered).toBeGreaterThan(0);
}

export function expectExit(ran: Ran, exitCode: number): void {
  expect(ran.exitCode, ran.output).toBe(exitCode);
}

/** Declares the cluster and brings it up. */
export async function createTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const cluster = await declareTestCluster(options);
  expectExit(await cluster.stack.up(), 0);
  return cluster;
}

/** Only declares it: no host is touched. */
export async function declareTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const { lab } = options;
  const members = options.members ?? lab.hosts.map((host) => host.name);
  const stack = await openStack({
    name: options.name,
    config: {
      ...hostsConfig(lab, members),
      "pgha:networks": { lab: "198.51.100.0/24" },
      ...options.config,
      "pgha:clusters": {
        [clusterName]: {
          postgresVersion: 17,
          members: Object.fromEntries(members.map((member) => [member, {}])),
          primary: "pg1",
          synchronous: { quorum: 1 },
          walSegmentSize: "1MB",
          clientNetworks: ["lab"],
          ...options.declaration,
        },
      },
    },
  });
  return {
    lab,
    stack,
    members,
    declare: (key, value) => stack.edit(["pgha:clusters", clusterName, key], value),
    roles: () => Promise.all(members.map((member) => roleOf(lab, member))),
    observeWrites: (how = {}) => observeWrites(lab, stack, how),
    close: () => stack.forget(),
  };
}

const roleStatement = `select pg_is_in_recovery(), case when pg_is_in_recovery()
  then (select received_tli from pg_stat_wal_receiver)
  else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end`;

async function roleOf(lab: Lab, member: string): Promise<string> {
  try {
    return `${member} ${(await sql(lab, member, roleStatement)).replace("|", " ").trim()}`;
  } catch {
    return `${member} down`;
  }
}

async function observeWrites(
  lab: Lab,
  stack: TestStack,
  { cluster: name = clusterName, virtualIp, limitSeconds = 900 }: ObserveOptions,
): Promise<Observed> {
  const cluster = openDeclaredCluster(await readFile(stack.stackFile, "utf8"), name);
  const hosts = cluster.group.members.map(({ host }) => host);
  const port = cluster.servers[0]?.port ?? 5432;
  const password = randomBytes(16).toString("base64url");
  try {
    await withSuperuser(cluster, (session) => prepareProbe(session, password));
    const watch = await watchWritable(lab, hosts, port);
    const owners = virtualIp === undefined ? undefined : await lab.watchOwners(virtualIp);
    const behind = { name: "virtual IP", address: virtualIp ?? "", port };
    const writer = await startWriter({
      servers: virtualIp === undefined ? cluster.servers : [behind],
      password,
      limitSeconds,
      watchedServers: cluster.servers,
    });
    return {
      writer,
      watch,
      async finish() {
        await writer.waitForAcknowledgement(60);
        const result = await writer.stop();
        const writableTogether = await watch.stop();
        const { acknowledged, lost, twoWritersAtOnce } = result;
        const seen = owners === undefined ? {} : { owners: await owners.stop() };
        return { acknowledged, lost, twoWritersAtOnce, writableTogether, ...seen, writer: result };
      },
    };
  } finally {
    cluster.close();
  }
}

async function withSuperuser<T>(
  cluster: DeclaredCluster,
  use: (session: Awaited<ReturnType<DeclaredCluster["connect"]>>) => Promise<T>,
): Promise<T> {
  const session = await cluster.connect((await cluster.primary()).member);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

/** No handover has left a journal or a hold of the lock on any member. `where`: said when one has. */
export async function expectNothingLeft({ lab, members }: TestCluster, where?: string): Promise<void> {
  const left = await Promise.all(members.map(async (member) => `${member}: ${await leftBehind(lab, member)}`));
  expect(left, where).toEqual(members.map((member) => `${member}: `));
}

/** "journal", "lock", or nothing. */
function leftBehind(lab: Lab, member: string): Promise<string> {
  return scriptOnHost(
    lab,
    member,
    `cd /var/lib/pgha/${clusterName}/${member}
     [ ! -e journal.json ] || echo journal
     grep -q '"holder":""' lock.json 2>/dev/null || [ ! -e lock.json ] || echo lock`,
  );
}

/**
 * Files of ours, the service and its process, and which database lies there, of every member: the same text as long as
 * nobody touched a member. Data files are left out: PostgreSQL itself writes them at any time.
 */
export function touchable({ lab, members }: TestCluster): Promise<string[]> {
  return Promise.all(
    members.map((member) =>
      scriptOnHost(
        lab,
        member,
        `find /etc/pgha /var/lib/pgha /etc/systemd/system ! -type d -printf '%p %y %u %g %m %s %T@\\n' | sort
         systemctl show pgha-${clusterName}-${member} -p ActiveState -p MainPID -p UnitFileState
         directory=/var/lib/postgresql/17/${clusterName}-${member}
         LC_ALL=C /usr/lib/postgresql/17/bin/pg_controldata -D "$directory" | grep -E 'system identifier|cluster state'
         [ -e "$directory/standby.signal" ] && echo standby.signal || true`,
      ),
    ),
  );
}

/** So much time passes on every host's boot clock, as far as the lock is concerned; less than nothing makes it younger. */
export async function ageLocks(lab: Lab, members: readonly string[], seconds: number): Promise<void> {
  await Promise.all(
    members.map((member) =>
      scriptOnHost(
        lab,
        member,
        `cd /var/lib/pgha/${clusterName}/${member}
         renewed=$(grep -o '"renewed":[0-9.]*' lock.json | cut -d: -f2)
         sed -i 's/"renewed":[0-9.]*/"renewed":'"$(awk "BEGIN { printf \\"%.3f\\", $renewed - ${seconds} }")"'/' lock.json`,
      ),
    ),
  );
}
