import type { MemberObservation } from "../../model/observation.ts";
import type { Hold } from "../order.ts";
import type { Reporter } from "../reporter.ts";

/**
 * Who fails over when a host dies, as the operations on a cluster see him: they never ask which one it is. He is kept out of
 * the way from the first start, stop or handover of an operation until its end.
 */
export interface FailoverManager {
  /** He starts the members after a boot: their own services are not enabled. */
  readonly startsMembers: boolean;
  /**
   * He leaves this cluster alone from now on, and goes on with whatever else he manages. Recorded where it outlives whoever
   * asked for it. Repeatable; nothing where he does not manage this cluster yet. Errors: `UserError` when he cannot be told.
   */
  standBack(lock: Hold): Promise<void>;
  /** Somebody let him stand back, and he does so still: this process, or one that was cut off before. */
  standsBack(seen: readonly MemberObservation[]): boolean;
  /** He is in the middle of something with this cluster: what the members say is out of date at once. */
  acts(seen: readonly MemberObservation[]): boolean;
  /**
   * He manages again, once it is sure that he will find everything as he wants it. `seen`: what the members say now. Errors: `UserError` when he would act; he stands back still.
   */
  resume(seen: readonly MemberObservation[], reporter: Reporter): Promise<void>;
}
