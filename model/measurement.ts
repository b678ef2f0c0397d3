import type { LiveSetting } from "./parameters.ts";

/** What the checks before a switchover ask of its two members, beside the ordinary observation of all. */
export interface Measurements {
  readonly primary: Measurement;
  readonly target: Measurement;
  readonly software: Software;
}

/** Asked of PostgreSQL on one member. Texts of queries are never read. */
export interface Measurement {
  /** Sessions of clients that are open, and how many ordinary users may have open at once. */
  readonly clients: { readonly open: number; readonly most: number };
  /** Clients in the middle of a transaction. */
  readonly transactions: number;
  /** The oldest open transaction of a client. */
  readonly oldestTransaction?: Running | undefined;
  /** Queries of clients that have been running for longer than limits.querySeconds. */
  readonly longQueries: { readonly count: number; readonly longest?: Running | undefined };
  readonly prepared: { readonly count: number; readonly oldestSeconds: number };
  readonly archiver: {
    /** The last attempt to archive a file failed. */
    readonly failing: boolean;
    /** Files that wait to be archived; 0 when archiving is off. */
    readonly waitingFiles: number;
  };
  /** Settings that are meant to be the same on every member, by name. Of a text only a hash: it may hold a password. */
  readonly settings: Readonly<Record<string, LiveSetting>>;
  /** Libraries that every server process, or every session, loads at its start. */
  readonly preloaded: { readonly shared: readonly string[]; readonly session: readonly string[] };
  /** Settings that wait for a restart, with the value that they will have; null when it is a text. */
  readonly pendingRestart: Readonly<Record<string, string | null>>;
  /** recovery_min_apply_delay: how long a standby holds back what it received before it replays it. */
  readonly replayDelaySeconds: number;
}

/** A session of a client at work. */
export interface Running {
  readonly pid: number;
  readonly user: string;
  readonly seconds: number;
}

/** What the primary's databases use, and what of it the target's host has. */
export interface Software {
  /** One entry for each name and version that is installed in a database of the primary. */
  readonly extensions: readonly {
    readonly name: string;
    readonly version: string;
    readonly databases: readonly string[];
  }[];
  /** Versions that the target's host can install, by name of the extension; a name without any is missing here. */
  readonly offered: Readonly<Record<string, readonly string[]>>;
  /** Libraries that the primary's functions and settings name: "$libdir/hstore", "pg_stat_statements". */
  readonly libraries: readonly string[];
  /** Those whose file the target's host does not have. */
  readonly missingLibraries: readonly string[];
  /** Databases of the primary that could not be looked into, with the reason. */
  readonly unread: Readonly<Record<string, string>>;
}
