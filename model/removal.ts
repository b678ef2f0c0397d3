import type { MemberDeclaration } from "./declaration.ts";
import { memberPaths, slotName } from "./names.ts";
import { type MemberObservation, type ReachedMember, wasRead } from "./observation.ts";

/** What becomes of the service of a member that is taken out of `members:`. Its data is never touched. */
export interface Removal {
  readonly member: string;
  /** `stop`: stopped and disabled. `leave`: it goes on as it is, for the reason in the text. */
  readonly kind: "stop" | "leave";
  /** Its host did not answer. */
  readonly unreached: boolean;
  /** For people, before and after it is done; first line <= 80 characters. */
  readonly text: string;
}

/**
 * Whoever takes a member out does not want it to go on following, holding WAL back on the primary. But one that may take
 * writes is left: clients may have moved there with intent, and nobody but the operator can tell.
 */
export function removalOf(
  cluster: string,
  { name, host, dataDirectory }: Pick<MemberDeclaration, "name" | "host" | "dataDirectory">,
  seen: MemberObservation,
): Removal {
  const { unit } = memberPaths(cluster, name);
  const disable = `\`systemctl disable --now ${unit}\``;
  const removal = (kind: Removal["kind"], first: string, ...more: readonly string[]): Removal => ({
    member: name,
    kind,
    unreached: !seen.reached,
    text: [`${name} is removed: ${first}`, ...more.map((line) => `  ${line}`)].join("\n"),
  });
  if (!seen.reached) {
    return removal(
      "leave",
      "its host cannot be reached, nothing is changed there",
      `Its service, and its data at ${dataDirectory}, stay on ${host} as they are.`,
      `There, now or when the host comes back: ${disable}. Its boot gate keeps a former primary down until then.`,
      seen.reason,
    );
  }
  if (mayTakeWrites(seen)) {
    return removal(
      "leave",
      "it may take writes, so its service is left running",
      `${unit} on ${host} is not a standby. If nobody writes there on purpose: ${disable} on ${host}.`,
      `Its data stays: ${dataDirectory}.`,
    );
  }
  return removal(
    "stop",
    "its service is stopped, its data stays",
    `On ${host}: ${unit} is stopped and disabled; ${dataDirectory} is not touched.`,
    `On the other members: slot ${slotName(name)} is dropped.`,
  );
}

/** A primary, or a running service that does not tell whether it is one. */
function mayTakeWrites(seen: ReachedMember): boolean {
  if (seen.postgres !== undefined) return !seen.postgres.inRecovery;
  return !wasRead(seen) && !seen.local.standbySignal;
}
