import type { RemoteHosts } from "../remote/host.ts";
import type { Operations } from "./context.ts";
import type { EngineLog } from "./engineLog.ts";
import type { ResourceType } from "./resource.ts";
import type { Settings } from "./settings.ts";

/** Whose resources these are. */
export interface StackName {
  readonly project: string;
  readonly stack: string;
}

/** What a provider is, apart from the wire. */
export interface ProviderDefinition {
  /** "pgha": the first part of its type tokens and the namespace of its configuration. */
  readonly name: string;
  readonly version: string;
  /**
   * Called at the first resource. Of the two processes that the engine starts for a run, one is asked about the settings only,
   * and the program waits for its answer: it never loads them.
   */
  loadTypes(): Promise<readonly ResourceType[]>;
  /** Called at the first command to a host. */
  openHosts(settings: Settings): Promise<RemoteHosts>;
  /** Called when it is known which stack this is, before any resource; what fails in it is only told. Default: nothing. */
  prepareStack?(settings: Settings, stack: StackName): Promise<void>;
}

/** What the calls of one provider process share. */
export interface ProviderState {
  readonly definition: ProviderDefinition;
  readonly operations: Operations;
  /** Settings that were in the environment; they win over those of `configure`. */
  readonly environmentSettings: Settings | undefined;
  configuredSettings: Settings;
  readonly hosts: RemoteHosts;
  engineLog: EngineLog | undefined;
}
