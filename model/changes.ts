/** A property value as Pulumi has it, secrets unwrapped: plain data. */
export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain };

/** How one property differs. `inputDiff`: show old input -> new input instead of old output -> new input. */
export interface PropertyChange {
  readonly kind: "add" | "update" | "delete" | "replace";
  readonly inputDiff?: boolean;
}
