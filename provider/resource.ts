import type { Plain, PropertyChange } from "../model/changes.ts";
import type { Fault } from "../model/fault.ts";
import type { RemoteHosts } from "../remote/host.ts";

export type { Plain, PropertyChange } from "../model/changes.ts";

/** The properties of one resource as a handler sees them: secrets are unwrapped, unknowns never reach a handler. */
export type Properties = { [key: string]: Plain };

/** What changed, by property path ("primary", "parameters.work_mem", 'parameters["pg_stat_statements.max"]'). Empty = nothing. */
export type Changes = Readonly<Record<string, PropertyChange>>;

/** What a handler may do besides return: talk to hosts, and to the person at the terminal. */
export interface Context {
  readonly hosts: RemoteHosts;
  /** Shown while it is true, gone afterwards: at most one a second, only when the step changes. First line <= 80 characters. */
  progress(text: string): void;
  /** Kept under Diagnostics. The first line stands on the resource's row: <= 80 characters. */
  info(text: string): void;
  warn(text: string): void;
  /** Aborted when the user pressed ^C, or the engine that started us is gone: go to the safe point and stop. */
  readonly cancelled: AbortSignal;
}

/** A line under Diagnostics at preview and up. The first line <= 80 characters. */
export interface Notice {
  readonly level: "info" | "warn";
  readonly text: string;
}

export interface Saved {
  readonly outputs: Properties;
  /** Reasons why the resource is saved although it is not as declared: the update fails with them, the outputs are kept. */
  readonly incomplete?: readonly string[];
}

/**
 * One resource type. `check` and `diff` are pure functions of their arguments; all input and output is in the others.
 * Every method gets what the wire brought, already unwrapped; `inputs` have passed `check`.
 */
export interface ResourceType {
  /** "pgha:index:ReplicationGroup" */
  readonly token: string;
  /** Top-level properties kept as secrets in the state, whether or not the program marked them. */
  readonly secrets: readonly string[];
  /** Read before the diff of every preview and up. Default true. */
  readonly refreshBeforeUpdate?: boolean;
  /**
   * Validates and completes the inputs. `path` of a fault begins with the property. A fault at a path whose value is unknown at preview is dropped.
   * `oldInputs` is undefined at creation.
   */
  check(news: Properties, oldInputs: Properties | undefined): { inputs: Properties; faults: readonly Fault[] };
  /** `outputs` = what read saw last; `oldInputs` = declared last time; `news` = declared now. */
  diff(resource: { id: string; outputs: Properties; oldInputs: Properties; news: Properties }): Changes;
  /**
   * What to say beside the diff, by the same facts; pure. Said once per preview and up, with the policy declared now: the diff that
   * belongs to the refresh still has the inputs of last time and says nothing.
   */
  notices?(resource: { id: string; outputs: Properties; oldInputs: Properties; news: Properties }): readonly Notice[];
  create(
    context: Context,
    resource: { inputs: Properties; preview: boolean; name: string },
  ): Promise<Saved & { id: string }>;
  /**
   * Never throws for an unreachable host, and never says "gone" because something is unreachable: that would be a deletion.
   * `inputs` and `outputs` are empty when the resource is being imported: `imported` is then true, and inputs must be returned.
   */
  read(
    context: Context,
    resource: { id: string; inputs: Properties; outputs: Properties; imported: boolean },
  ): Promise<(Saved & { id: string; inputs?: Properties }) | "gone">;
  update(
    context: Context,
    resource: { id: string; outputs: Properties; oldInputs: Properties; inputs: Properties; preview: boolean },
  ): Promise<Saved>;
  delete(context: Context, resource: { id: string; inputs: Properties; outputs: Properties }): Promise<void>;
}
