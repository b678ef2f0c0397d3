import type { Lsn } from "./lsn.ts";
import type { PacemakerStatus } from "./pacemaker/status.ts";
import type { TimelineEnd } from "./timeline.ts";

/** What stands beside a member's data, so that nobody mistakes foreign, lost or half-made data for ours. */
export interface Marker {
  readonly cluster: string;
  readonly member: string;
  /**
   * `creating` and `cloning` are finished by the next `up`, `erasing` too; `ready` data is never overwritten. `rewinding`:
   * a rewind began and did not end, so that only a clone makes the data whole. `swapping`: a clone made beside the data
   * takes its place.
   */
  readonly state: "creating" | "cloning" | "ready" | "erasing" | "rewinding" | "swapping";
  /** As decimal text: it is a 64-bit number. Missing until initdb or the clone has made one. */
  readonly systemIdentifier?: string | undefined;
  readonly dataDirectory: string;
  /**
   * What the directories of data that was begun carry, and those of a clone beside the data. Data that is `ready` needs
   * none, for it is never removed by it.
   */
  readonly token?: string | undefined;
  /** Where a clone is being made that is to replace the data. */
  readonly beside?: string | undefined;
  /** Where the data lies that a clone replaced. It goes once the clone streams. */
  readonly replaced?: string | undefined;
}

/** The member got a whole database once: what has become of it since is a matter of rejoining, not of beginning again. */
export function wasCompleted({ state }: Marker): boolean {
  return state === "ready" || state === "rewinding" || state === "swapping";
}

/** What an unfinished handover left on the members: enough for the next `up` to finish or undo it. */
export interface Journal {
  readonly operation: "switchover";
  readonly from: string;
  readonly to: string;
  readonly epoch: number;
  readonly systemIdentifier: string;
  /** Timeline of the old primary. */
  readonly timeline: number;
  /** For people: when and by whom it was begun. */
  readonly startedAt: string;
  readonly holder: string;
}

export interface ControlData {
  /** pg_control's own words: "in production", "shut down", "shut down in recovery", "in archive recovery", … */
  readonly state: string;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Where that timeline left the one before it. Undefined: it is the first, or its history file is missing. */
  readonly began?: TimelineEnd | undefined;
  readonly checkpointLsn: Lsn;
}

/** The lock file of one member; without one, or with a damaged one, epoch 0 and nobody. */
export interface LockState {
  readonly epoch: number;
  readonly holder: string;
  readonly since: string;
  /** Held, and renewed of late by the host's boot clock. */
  readonly alive: boolean;
}

/** "missing" and "empty" hold nothing; "data" is a PostgreSQL data directory; "foreign" holds something else. */
export type DirectoryKind = "missing" | "empty" | "data" | "foreign";

export interface WalDirectory {
  /** As declared. */
  readonly directory: string;
  readonly kind: DirectoryKind;
  readonly token?: string | undefined;
  /** Where it lies, links resolved. */
  readonly path: string;
  /** Where pg_wal of the data directory leads, links resolved; missing where there is no pg_wal. */
  readonly pgWal?: string | undefined;
}

/** What is on the host, PostgreSQL running or not. */
export interface LocalFacts {
  readonly marker?: Marker | undefined;
  readonly journal?: Journal | undefined;
  /** On the target of a handover: who holds, or held, the right to promote it. */
  readonly ticket?:
    | { readonly epoch: number; readonly state: "armed" | "consumed" | "promoted" | "revoked" }
    | undefined;
  /** On the old primary of a handover: how far it came. */
  readonly switch?:
    | { readonly epoch: number; readonly state: "armed" | "stopping" | "restored" | "followed" }
    | undefined;
  /**
   * Epoch of the newest handover whose target was taken out of `members:` before the old primary was brought back: that
   * target must not be promoted by it any more.
   */
  readonly givenUp?: number | undefined;
  /** Why it waits at its boot gate; undefined when it does not. */
  readonly gate?: string | undefined;
  /** The public key with which its host asks the others; undefined before one was made. */
  readonly channelKey?: string | undefined;
  /** Which keys may ask its host: a part of authorized_keys. */
  readonly authorized?: string | undefined;
  readonly dataDirectory: DirectoryKind;
  /** The token that the data directory carries, put there while it was empty. Not on file systems without extended attributes. */
  readonly dataToken?: string | undefined;
  /** Where a directory for pg_wal is declared. */
  readonly walDirectory?: WalDirectory | undefined;
  readonly standbySignal: boolean;
  readonly controlData?: ControlData | undefined;
  /** ActiveState of the unit: active, inactive, failed, activating, deactivating; "absent" without a unit, "waiting" at its boot gate. */
  readonly unit: string;
  readonly unitEnabled: boolean;
  /** Contents of the configuration files, by path; missing files are missing here. */
  readonly files: Readonly<Record<string, string>>;
  /** Bytes free where the data directory is or will be. */
  readonly freeBytes: number;
  /** Bytes free on the volume of pg_wal; that of the data directory as long as there is none. */
  readonly walFreeBytes: number;
  /** How far the host's clock is ahead of the clock here (negative: behind), give or take `uncertainSeconds`. */
  readonly clock: { readonly aheadSeconds: number; readonly uncertainSeconds: number };
  /** Failover managers whose service runs on the host: "pacemaker", "patroni", "repmgrd", … */
  readonly failoverManagers: readonly string[];
  /** What Pacemaker on its host says; undefined where it does not run, does not answer, or is not declared. */
  readonly pacemaker?: PacemakerStatus | undefined;
  /** Nodes that went on without standbys, with since when, by the copy of Pacemaker's configuration there. */
  readonly relaxed?: Readonly<Record<string, string>> | undefined;
  /** What corosync-cfgtool prints there of the rings; undefined as with `pacemaker`. */
  readonly rings?: string | undefined;
  readonly lock: LockState;
}

export interface WalReceiver {
  /**
   * PostgreSQL's own word, but for "asking": it asks for the rest of a record of which the standby has the beginning, and has
   * got nothing. PostgreSQL calls that streaming.
   */
  readonly status: string;
  readonly senderHost: string;
  readonly senderPort: number;
  readonly timeline: number;
}

export interface WalSender {
  /** application_name: the member's name for ours. */
  readonly name: string;
  readonly pid: number;
  readonly state: string;
  /** Since it connected, on the primary's clock. */
  readonly connectedSeconds: number;
  readonly syncState: string;
  /** The slot that it reads from; none for a base backup and for a consumer without one. */
  readonly slot?: string | undefined;
  /** It sends decoded changes, to a subscription for example. */
  readonly logical: boolean;
  readonly sentLsn?: Lsn | undefined;
  readonly writeLsn?: Lsn | undefined;
  readonly flushLsn?: Lsn | undefined;
  readonly replayLsn?: Lsn | undefined;
  readonly replayLagSeconds: number;
  /** Time since its receiver last answered, by the receiver's own clock; 0 before the first answer. */
  readonly silentSeconds: number;
}

export interface Slot {
  readonly name: string;
  readonly kind: "physical" | "logical";
  readonly active: boolean;
  /** Ends with its session, or is a copy that is not ready yet. */
  readonly temporary: boolean;
  /** A logical slot that PostgreSQL 17 and newer copies to standbys; `synced` on such a copy. */
  readonly failover: boolean;
  readonly synced: boolean;
  readonly restartLsn?: Lsn | undefined;
  /** reserved, extended, unreserved (about to lose WAL), lost (useless, for whatever reason). */
  readonly walStatus?: string | undefined;
}

/** What PostgreSQL itself answers. */
export interface PostgresFacts {
  readonly inRecovery: boolean;
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** server_version_num, e.g. 170011. */
  readonly version: number;
  /** pg_current_wal_lsn() of a primary, pg_last_wal_receive_lsn() (or replayed) of a standby. */
  readonly lsn?: Lsn | undefined;
  /**
   * A standby: the begin of a WAL file, behind `lsn`. Either it asks for WAL from there on, the rest of a record, and has
   * nothing of it; or it has received all up to there and not replayed it. Its files tell which.
   */
  readonly asksFromLsn?: Lsn | undefined;
  readonly replayPaused: boolean;
  readonly walReceiver?: WalReceiver | undefined;
  readonly walSenders: readonly WalSender[];
  readonly slots: readonly Slot[];
  /** pg_settings of every declared and every own parameter. */
  readonly settings: Readonly<Record<string, { setting: string; unit: string | null; vartype: string }>>;
  /** Names in postgresql.auto.conf: what ALTER SYSTEM set. The values stay on the host, for they may hold passwords. */
  readonly alterSystem: readonly string[];
  readonly roles: readonly string[];
}

/** What the host of a member that does not follow tells of its data: read for such members only, to decide how it returns. */
export interface StrayFacts {
  /** The timeline of the end of its WAL. */
  readonly timeline: number;
  /** The timelines before that; undefined when the history file is missing or damaged. */
  readonly past?: readonly TimelineEnd[] | undefined;
  /** Where its last whole record ends; undefined when its WAL cannot be read. */
  readonly endLsn?: Lsn | undefined;
  /** Behind `endLsn` a record begins that goes on in the next file, without its rest: up to here it is there. */
  readonly partialToLsn?: Lsn | undefined;
  /** Up to where its data is consistent with its WAL; "0/0" for a former primary. */
  readonly minRecoveryLsn: Lsn;
  /** Begin of the oldest WAL file that it has. */
  readonly oldestLsn?: Lsn | undefined;
  readonly redoLsn: Lsn;
  /** Data checksums or wal_log_hints: without them a rewind would miss changed blocks. */
  readonly canBeRewound: boolean;
  /** It was cloned or rewound, and never started since. */
  readonly neverStarted: boolean;
  /** A rewind or clone that an earlier `up` began still works on it. */
  readonly busy: boolean;
  /** Bytes free where a clone beside the data would lie; undefined where none can be swapped in (a mount point). */
  readonly besideBytes?: number | undefined;
  /** Bytes that its data takes. */
  readonly dataBytes: number;
  /** Bytes free where WAL of its own would be kept aside. */
  readonly keptBytes: number;
  /** Transactions that it committed after it had parted from the primary; undefined when it did not part. */
  readonly ownTransactions?: number | undefined;
}

/** What the primary can give to a member that does not follow. Read after the members' `StrayFacts`. */
export interface SourceFacts {
  readonly timeline: number;
  readonly past: readonly TimelineEnd[];
  readonly lsn: Lsn;
  /** Begin of the oldest WAL file that it has. */
  readonly oldestLsn: Lsn;
  /** What a clone copies: all databases and the WAL. */
  readonly databaseBytes: number;
  /** Directories of tablespaces: a clone beside the old data cannot lie where they are. */
  readonly tablespaces: readonly string[];
}

export type MemberObservation =
  | {
      readonly member: string;
      readonly reached: false;
      readonly reason: string;
      /** Its host offered another key than the declared one: somebody else may answer there. That is no outage, but an error. */
      readonly wrongHostKey?: true;
    }
  | {
      readonly member: string;
      readonly reached: true;
      readonly local: LocalFacts;
      readonly postgres?: PostgresFacts | undefined;
      /** Why PostgreSQL did not answer, when it did not. */
      readonly postgresSilent?: string | undefined;
      /** Only of a member that does not follow, and only where somebody asked. */
      readonly stray?: StrayFacts | undefined;
      /** Only of the primary, and only while some member does not follow. */
      readonly source?: SourceFacts | undefined;
    };

export type ReachedMember = Extract<MemberObservation, { reached: true }>;

export function reachedMembers(observations: readonly MemberObservation[]): ReachedMember[] {
  return observations.filter((observation) => observation.reached);
}

export function isWritable(observation: MemberObservation): boolean {
  return observation.reached && observation.postgres !== undefined && !observation.postgres.inRecovery;
}

/** Read = its host answered, and PostgreSQL either answered or is surely not running. */
export function wasRead(observation: MemberObservation): boolean {
  if (!observation.reached) return false;
  if (observation.postgres !== undefined) return true;
  return ["inactive", "failed", "absent", "waiting"].includes(observation.local.unit);
}

/** Its service does not run, and does not begin or end to. */
export function isServiceStopped({ local }: ReachedMember): boolean {
  return local.unit === "inactive" || local.unit === "failed";
}

/** As PostgreSQL says, or pg_control where it does not answer; 0 when neither can be read. */
export function timelineOf({ local, postgres }: ReachedMember): number {
  return postgres?.timeline ?? local.controlData?.timeline ?? 0;
}

/** It receives WAL now. */
export function isStreaming({ postgres }: ReachedMember): boolean {
  return postgres?.walReceiver?.status === "streaming";
}

/** The standbys that receive WAL now. */
export function streamingMembers(observations: readonly MemberObservation[]): ReadonlySet<string> {
  return new Set(
    reachedMembers(observations)
      .filter(isStreaming)
      .map(({ member }) => member),
  );
}

/**
 * It receives what this primary writes. A standby whose own WAL has parted from the primary's is shown as streaming for
 * a moment at each of its attempts, on the timeline that it has.
 */
export function isStreamingTimelineOf(primary: ReachedMember, seen: ReachedMember): boolean {
  const isOnIt = isStreaming(seen) && seen.postgres?.walReceiver?.timeline === timelineOf(primary);
  return isOnIt && !isSentNothing(primary, seen.member);
}

/**
 * A receiver shows as streaming from its start, before the primary has agreed: one that asks for WAL that the primary has
 * not written stays so. The primary's sender tells.
 */
export function isSentNothing(primary: ReachedMember, member: string): boolean {
  const senders = primary.postgres?.walSenders.filter(({ name }) => name === member) ?? [];
  return senders.length > 0 && senders.every(({ state }) => state === "startup");
}

/** Nothing of anybody's: no marker, no data. */
export function isEmptyAndUnmarked(observation: ReachedMember): boolean {
  const { marker, dataDirectory } = observation.local;
  return marker === undefined && (dataDirectory === "missing" || dataDirectory === "empty");
}

/** The member's finished data, as its marker says. */
export function hasReadyData({ local }: ReachedMember): boolean {
  return local.marker?.state === "ready" && local.dataDirectory === "data";
}

/** What of a finished member is not where it was made, and which directory that is; undefined when all of it is there. */
export function missingData({
  marker,
  dataDirectory,
  walDirectory: wal,
}: LocalFacts): { readonly directory: "dataDirectory" | "walDirectory"; readonly text: string } | undefined {
  if (marker?.state !== "ready") return undefined;
  if (dataDirectory !== "data") {
    const found = dataDirectory === "foreign" ? "holds files of somebody else" : `is ${dataDirectory}`;
    return { directory: "dataDirectory", text: `${marker.dataDirectory} ${found}` };
  }
  if (wal === undefined) return undefined;
  if (wal.pgWal !== wal.path) {
    const leads = wal.pgWal === undefined ? "nowhere" : `to ${wal.pgWal}`;
    return {
      directory: "walDirectory",
      text: `pg_wal in ${marker.dataDirectory} leads ${leads}, not to ${wal.directory}`,
    };
  }
  if (wal.kind === "missing" || wal.kind === "empty") {
    return { directory: "walDirectory", text: `${wal.directory} is ${wal.kind}` };
  }
  return undefined;
}

/**
 * Finished, but its data or WAL is not there: a volume that is lost or not mounted. Nothing is started, cloned or written
 * there. One whose PostgreSQL answers goes on with the WAL it has.
 */
export function isLost({ local, postgres }: ReachedMember): boolean {
  const missing = missingData(local);
  return missing !== undefined && (missing.directory === "dataDirectory" || postgres === undefined);
}

function perhapsMore({ asksFromLsn }: PostgresFacts): string {
  return asksFromLsn === undefined ? "" : ` (perhaps ${asksFromLsn}: that is not replayed)`;
}

/** One line on one member, as people read it in reports: "pg2: standby, timeline 3, streaming from 203.0.113.11". */
export function describeMember(observation: MemberObservation): string {
  if (!observation.reached) return `${observation.member}: unreachable (${observation.reason})`;
  const { local, postgres, member } = observation;
  if (postgres !== undefined) {
    if (!postgres.inRecovery) return `${member}: primary, writable, timeline ${postgres.timeline}`;
    const receiver = postgres.walReceiver;
    const source =
      receiver?.status === "streaming"
        ? `streaming from ${receiver.senderHost}:${receiver.senderPort}`
        : `not streaming, WAL up to ${postgres.lsn ?? "an unknown position"}${perhapsMore(postgres)}`;
    // What it has received may be of a newer timeline than the last checkpoint, which PostgreSQL names.
    const timeline = Math.max(postgres.timeline, local.controlData?.timeline ?? 0);
    return `${member}: standby, timeline ${timeline}, ${source}`;
  }
  if (local.dataDirectory !== "data") {
    const marked = local.marker === undefined ? "" : `, marked ${local.marker.state}`;
    return `${member}: no data (${local.dataDirectory})${marked}`;
  }
  const state =
    local.controlData === undefined ? "" : `, ${local.controlData.state}, timeline ${local.controlData.timeline}`;
  if (local.unit === "waiting") return `${member}: waits to start: ${local.gate ?? "at its boot gate"}${state}`;
  const missing = missingData(local);
  return `${member}: not running (unit ${local.unit}${state})${missing === undefined ? "" : `, and ${missing.text}`}`;
}
