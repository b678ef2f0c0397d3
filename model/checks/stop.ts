import { formatBytes } from "../bytes.ts";
import { lsnDifferenceBytes } from "../lsn.ts";
import type { Running } from "../measurement.ts";
import type { WalSender } from "../observation.ts";
import { formatSetting } from "../parameters.ts";
import { block, type Check, listed, ok, type Subject, secondsText, warn } from "./check.ts";
import { senderTo } from "./target.ts";

/** A fast stop waits for every wal sender, whoever it belongs to: standby, subscription, pg_receivewal. */
export function sendersKeepUpCheck(subject: Subject): Check {
  const { limits, to, primary } = subject;
  const name = "wal senders keep up";
  const limit = `${formatBytes(limits.lagBytes)} behind, heard ${secondsText(limits.senderSeconds)} ago`;
  const all = primary.postgres.walSenders.filter((sender) => sender.state !== "backup");
  const own = senderTo(to, primary.postgres);
  const problems = all.flatMap((sender) => {
    const problem = sender === own ? undefined : problemOf(subject, sender);
    return problem === undefined ? [] : [`${sender.name} (pid ${sender.pid}) ${problem}`];
  });
  if (problems.length === 0) return ok(name, listed(all.map((sender) => sender.name)) || "none", limit);
  const timeout = primary.postgres.settings.wal_sender_timeout;
  const longest =
    timeout === undefined || timeout.setting === "0" ? "without an end" : `at most ${formatSetting(timeout)}`;
  return warn(
    name,
    problems.join(", "),
    limit,
    `The fast stop waits for it, ${longest} (wal_sender_timeout): let it catch up, or end it.`,
  );
}

function problemOf(subject: Subject, sender: WalSender): string | undefined {
  const { group, limits, primary } = subject;
  if (sender.state !== "streaming") return `is in state ${sender.state}`;
  const isMember = group.members.some((member) => member.name === sender.name);
  // pg_receivewal flushes when a segment is full, and at once when the primary stops.
  const reached =
    isMember || sender.logical ? (sender.flushLsn ?? sender.sentLsn) : (sender.writeLsn ?? sender.sentLsn);
  const { lsn } = primary.postgres;
  const behind = lsn === undefined || reached === undefined ? 0 : lsnDifferenceBytes(lsn, reached);
  if (behind > limits.lagBytes) return `is ${formatBytes(behind)} behind`;
  const silent = silentSeconds(subject, sender);
  return silent > limits.senderSeconds ? `was last heard ${secondsText(silent)} ago` : undefined;
}

/** The time of the last answer is told by the receiver's clock: of a member we know how it differs from the primary's. */
function silentSeconds({ primary, observations }: Subject, sender: WalSender): number {
  const receiver = observations.find((seen) => seen.member === sender.name);
  if (receiver === undefined || !receiver.reached) return sender.silentSeconds;
  const [here, there] = [primary.local.clock, receiver.local.clock];
  const uncertain = here.uncertainSeconds + there.uncertainSeconds;
  return sender.silentSeconds - (here.aheadSeconds - there.aheadSeconds) - uncertain;
}

/** One taken of the primary is lost with its stop, one taken of the target with its promotion. */
export function backupsCheck({ primary, target }: Subject): Check {
  const name = "base backups";
  const running = [primary, target].flatMap(({ member, postgres }) =>
    postgres.walSenders
      .filter((sender) => sender.state === "backup")
      .map((sender) => `${sender.name} (pid ${sender.pid}) on ${member}`),
  );
  if (running.length === 0) return ok(name, "none", "none");
  return block(name, running.join(", "), "none", "It would be lost: wait for it to end.");
}

export function archiverCheck({ limits, from, measured }: Subject): Check {
  const name = "archiver";
  const limit = `${limits.archiveFiles} files waiting`;
  const { archiver, settings } = measured.primary;
  if (settings.archive_mode === undefined || settings.archive_mode.setting === "off") return ok(name, "off", limit);
  const waiting = `${archiver.waitingFiles} waiting`;
  if (archiver.failing) {
    return block(
      name,
      `its last attempt failed, ${waiting}`,
      limit,
      `The stop of ${from} would wait for it: repair archive_command (the log of PostgreSQL on ${from} tells why it fails).`,
    );
  }
  if (archiver.waitingFiles <= limits.archiveFiles) return ok(name, `works, ${waiting}`, limit);
  return warn(
    name,
    `is behind, ${waiting}`,
    limit,
    `${from} comes back as a standby only when they are archived: wait until they are.`,
  );
}

function whose({ pid, user }: Running): string {
  return `pid ${pid}, ${user}`;
}

export function transactionsCheck({ limits, measured }: Subject): Check {
  const name = "oldest transaction";
  const limit = secondsText(limits.transactionSeconds);
  const oldest = measured.primary.oldestTransaction;
  if (oldest === undefined) return ok(name, "none open", limit);
  const text = `${secondsText(oldest.seconds)} (${whose(oldest)})`;
  if (oldest.seconds <= limits.transactionSeconds) return ok(name, text, limit);
  return warn(name, text, limit, "Wait for its end, or it is cut off and rolled back.");
}

export function preparedCheck({ to, measured }: Subject): Check {
  const name = "prepared transactions";
  const { count, oldestSeconds } = measured.primary.prepared;
  if (count === 0) return ok(name, "none", "none");
  return warn(
    name,
    `${count}, the oldest ${secondsText(oldestSeconds)}`,
    "none",
    `They survive, and keep their locks on ${to}: end them first (pg_prepared_xacts names them).`,
  );
}

export function queriesCheck({ limits, measured }: Subject): Check {
  const name = "running queries";
  const limit = `none over ${secondsText(limits.querySeconds)}`;
  const { count, longest } = measured.primary.longQueries;
  if (count === 0 || longest === undefined) return ok(name, "none longer", limit);
  return warn(
    name,
    `${count}, the longest ${secondsText(longest.seconds)} (${whose(longest)})`,
    limit,
    "Wait for their end, or they are cut off with an error.",
  );
}
