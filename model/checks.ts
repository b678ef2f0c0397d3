import type { Limits } from "./declaration.ts";
import { type Group, memberOf, othersOf } from "./group.ts";
import { lsnDifferenceBytes } from "./lsn.ts";
import { type MemberObservation, type PostgresFacts, type ReachedMember, streamingMembers } from "./observation.ts";

/** One thing looked at before a switchover: what was measured, what is allowed, and the way out. */
export interface Check {
  readonly name: string;
  readonly verdict: "ok" | "warn" | "block";
  readonly measured: string;
  readonly limit: string;
  /** Empty when the verdict is ok. */
  readonly remedy: string;
}

/** A lock of another orchestrator that is alive. */
export interface HeldLock {
  readonly member: string;
  readonly holder: string;
  readonly since: string;
}

interface Subject {
  readonly group: Group;
  readonly limits: Limits;
  readonly from: string;
  readonly to: string;
  readonly primary: PostgresFacts;
  readonly target: ReachedMember;
  readonly standby: PostgresFacts;
}

/** Everything that must hold before a switchover begins; any `block` stops it with the cluster untouched. */
export function checkSwitchover(
  group: Group,
  from: string,
  to: string,
  observations: readonly MemberObservation[],
  heldLock: HeldLock | undefined,
): Check[] {
  const primary = observations.find((observation) => observation.member === from);
  const target = observations.find((observation) => observation.member === to);
  if (primary === undefined || !primary.reached || primary.postgres === undefined) {
    return [block("primary answers", "it does not", "an answer", `Bring ${from} back.`)];
  }
  if (target === undefined || !target.reached || target.postgres === undefined) {
    const why = target?.reached === false ? target.reason : (target?.postgresSilent ?? "not running");
    return [block("target answers", why, "an answer", `Bring ${to} back, or declare another primary.`)];
  }
  const subject: Subject = {
    group,
    limits: group.limits,
    from,
    to,
    primary: primary.postgres,
    target,
    standby: target.postgres,
  };
  return [
    lockCheck(heldLock),
    streamingCheck(subject),
    timelineCheck(subject),
    replayCheck(subject),
    lagCheck(subject),
    synchronousCheck(subject, streamingMembers(observations)),
    ...capacityChecks(subject),
    ...senderChecks(subject),
    transactionCheck(subject),
    archiverCheck(subject),
    ...restartChecks(subject),
  ];
}

function ok(name: string, measured: string, limit: string): Check {
  return { name, verdict: "ok", measured, limit, remedy: "" };
}

function warn(name: string, measured: string, limit: string, remedy: string): Check {
  return { name, verdict: "warn", measured, limit, remedy };
}

function block(name: string, measured: string, limit: string, remedy: string): Check {
  return { name, verdict: "block", measured, limit, remedy };
}

function lockCheck(held: HeldLock | undefined): Check {
  if (held === undefined) return ok("no other orchestrator", "none", "none");
  return block(
    "no other orchestrator",
    `${held.holder} holds the cluster since ${held.since} (seen on ${held.member})`,
    "none",
    "Wait for it to end; a dead one loses its hold after 30 s.",
  );
}

function streamingCheck({ group, from, to, standby }: Subject): Check {
  const primary = memberOf(group, from);
  const receiver = standby.walReceiver;
  const name = "target streams from the primary";
  if (!standby.inRecovery)
    return block(name, `${to} is writable`, "a standby", "Find out why there are two primaries.");
  if (receiver === undefined || receiver.status !== "streaming") {
    return block(name, receiver?.status ?? "no wal receiver", "streaming", `See the log of PostgreSQL on ${to}.`);
  }
  const source = `${receiver.senderHost}:${receiver.senderPort}`;
  if (receiver.senderHost !== primary.replicationAddress || receiver.senderPort !== primary.port) {
    return block(
      name,
      `from ${source}`,
      `from ${from}`,
      `Let ${to} follow ${from} first (\`pulumi up\` without the change).`,
    );
  }
  return ok(name, `from ${source}`, "streaming");
}

function timelineCheck({ primary, standby }: Subject): Check {
  const name = "same history";
  if (primary.systemIdentifier !== standby.systemIdentifier) {
    return block(
      name,
      `system identifiers ${primary.systemIdentifier} and ${standby.systemIdentifier}`,
      "one system identifier",
      "The target holds another database: give it an empty data directory.",
    );
  }
  const majors = [primary.version, standby.version].map((version) => Math.floor(version / 10_000));
  if (majors[0] !== majors[1]) {
    return block(name, `PostgreSQL ${majors[0]} and ${majors[1]}`, "one major version", "Upgrade the older one.");
  }
  if (primary.timeline !== standby.timeline) {
    return block(
      name,
      `timelines ${primary.timeline} and ${standby.timeline}`,
      "one timeline",
      "Wait until it follows.",
    );
  }
  return ok(name, `timeline ${primary.timeline}`, "one timeline");
}

function replayCheck({ to, standby }: Subject): Check {
  if (!standby.replayPaused) return ok("replay runs", "running", "running");
  return block("replay runs", "paused", "running", `On ${to}: select pg_wal_replay_resume()`);
}

function lagCheck({ limits, to, primary }: Subject): Check {
  const limit = `${formatBytes(limits.lagBytes)}, ${limits.lagSeconds} s`;
  const sender = primary.walSenders.find((candidate) => candidate.name === to);
  if (sender?.replayLsn === undefined || primary.lsn === undefined) {
    return block("target's lag", "the primary has no wal sender for it", limit, "Wait until it streams.");
  }
  const bytes = Math.max(0, lsnDifferenceBytes(primary.lsn, sender.replayLsn));
  const measured = `${formatBytes(bytes)}, ${sender.replayLagSeconds.toFixed(1)} s`;
  // The time is that of the last change: without new WAL it stays where it was, so it counts only with bytes.
  if (bytes > limits.lagBytes || (bytes > 0 && sender.replayLagSeconds > limits.lagSeconds)) {
    return block("target's lag", measured, limit, "Wait until it caught up, or raise limits.lagBytes / lagSeconds.");
  }
  return ok("target's lag", measured, limit);
}

function synchronousCheck({ group, from, to }: Subject, streaming: ReadonlySet<string>): Check {
  const needed = neededStandbys(group);
  const name = "synchronous rule afterwards";
  if (needed === 0) return ok(name, "off", "off");
  const count = acknowledging(group, from, to, streaming);
  const limit = `${needed} standby${needed === 1 ? "" : "s"}`;
  if (count >= needed) return ok(name, `${count} without ${from}`, limit);
  return warn(
    name,
    `${count} without ${from}`,
    limit,
    `The outage lasts until ${from} streams again as a standby (predicted below).`,
  );
}

/** How many standbys a commit waits for. */
export function neededStandbys(group: Pick<Group, "synchronous">): number {
  if (group.synchronous === "off") return 0;
  return "quorum" in group.synchronous ? group.synchronous.quorum : group.synchronous.priority;
}

/** Does the outage include the old primary's return, because the rule cannot hold without it? */
export function needsOldPrimary(group: Group, from: string, to: string, streaming: ReadonlySet<string>): boolean {
  return neededStandbys(group) > acknowledging(group, from, to, streaming);
}

/** How many standbys can acknowledge to the target while the old primary is not back. */
function acknowledging(group: Group, from: string, to: string, streaming: ReadonlySet<string>): number {
  return othersOf(group, to).filter((member) => member.candidate && member.name !== from && streaming.has(member.name))
    .length;
}

const notLower = [
  "max_connections",
  "max_worker_processes",
  "max_wal_senders",
  "max_prepared_transactions",
  "max_locks_per_transaction",
];

function capacityChecks({ to, primary, standby }: Subject): Check[] {
  const lower = notLower.filter(
    (name) => Number(standby.settings[name]?.setting ?? 0) < Number(primary.settings[name]?.setting ?? 0),
  );
  if (lower.length === 0) return [ok("target's capacity", "not lower than the primary's", "not lower")];
  const measured = lower
    .map((name) => `${name} ${standby.settings[name]?.setting} < ${primary.settings[name]?.setting}`)
    .join(", ");
  return [block("target's capacity", measured, "not lower", `Restart ${to} with the declared parameters.`)];
}

/** A fast stop waits for every wal sender, whoever it belongs to. */
function senderChecks({ limits, to, primary }: Subject): Check[] {
  const behind = primary.walSenders.filter(
    (sender) =>
      sender.name !== to &&
      (sender.state !== "streaming" ||
        (primary.lsn !== undefined &&
          sender.sentLsn !== undefined &&
          lsnDifferenceBytes(primary.lsn, sender.flushLsn ?? sender.sentLsn) > limits.lagBytes)),
  );
  const limit = `streaming, ${formatBytes(limits.lagBytes)}`;
  if (behind.length === 0)
    return [ok("wal senders keep up", `${primary.walSenders.length} of ${primary.walSenders.length}`, limit)];
  return behind.map((sender) =>
    sender.state === "backup"
      ? block(
          "wal senders keep up",
          `a base backup runs (${sender.name}, pid ${sender.pid})`,
          limit,
          "Wait for it to end.",
        )
      : warn(
          "wal senders keep up",
          `${sender.name} (pid ${sender.pid}) is ${sender.state === "streaming" ? "too far behind" : sender.state}`,
          limit,
          "The fast stop waits for it, at most wal_sender_timeout.",
        ),
  );
}

function transactionCheck({ limits, primary }: Subject): Check {
  const { oldestTransactionSeconds, preparedTransactions } = primary.activity;
  const limit = `${limits.transactionSeconds} s, none prepared`;
  const measured = `oldest ${oldestTransactionSeconds.toFixed(0)} s, ${preparedTransactions} prepared`;
  if (oldestTransactionSeconds <= limits.transactionSeconds && preparedTransactions === 0) {
    return ok("open transactions", measured, limit);
  }
  return warn("open transactions", measured, limit, "Open ones are cut off and rolled back; prepared ones survive.");
}

function archiverCheck({ primary }: Subject): Check {
  const mode = primary.settings.archive_mode?.setting ?? "off";
  if (mode === "off") return ok("archiver", "off", "not failing");
  if (!primary.activity.archiverFailing) return ok("archiver", "working", "not failing");
  return block(
    "archiver",
    "its last attempt failed",
    "not failing",
    "A fast stop would wait for it: repair archive_command.",
  );
}

function restartChecks({ to, standby }: Subject): Check[] {
  if (standby.pendingRestart.length === 0) return [];
  return [
    warn(
      "pending restart",
      `${to}: ${standby.pendingRestart.join(", ")}`,
      "none",
      "These parameters have their old value until it is restarted.",
    ),
  ];
}

export function formatBytes(bytes: number): string {
  if (bytes >= 1024 ** 3) return `${(bytes / 1024 ** 3).toFixed(1)} GB`;
  if (bytes >= 1024 ** 2) return `${(bytes / 1024 ** 2).toFixed(bytes >= 10 * 1024 ** 2 ? 0 : 1)} MB`;
  if (bytes >= 1024) return `${(bytes / 1024).toFixed(0)} kB`;
  return `${bytes} B`;
}
