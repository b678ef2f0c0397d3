import { z } from "zod";
import { UserError } from "../model/fault.ts";
import { lsnValue } from "../model/lsn.ts";
import { replicationRole } from "../model/names.ts";
import type { ReachedMember } from "../model/observation.ts";
import { deadPeerOptions } from "../model/rendering.ts";
import { type MemberAccess, withSession } from "./access.ts";
import { askAgent } from "./agent.ts";
import type { ClusterLock } from "./lock.ts";
import { dataOrder, type Hold } from "./order.ts";
import { startService, stopService } from "./service.ts";
import { waitUntilReplayed } from "./streaming.ts";
import { WaitedTooLong } from "./waitFor.ts";

const stopLimitSeconds = 300;
const startLimitSeconds = 300;
const replayLimitSeconds = 60;
/** A checkpoint of a large busy primary takes its time. */
const checkpointLimitSeconds = 1800;
/** As a clone: it copies what changed, which can be almost everything. */
const rewindLimitSeconds = 24 * 3600;

export type Rewound =
  | { readonly kind: "rewound" }
  /** The data is as it was. */
  | { readonly kind: "impossible"; readonly reason: string }
  /** Some of the data was changed: only a clone makes it whole. */
  | { readonly kind: "broken off"; readonly reason: string };

const answer = z.discriminatedUnion("result", [
  z.object({ result: z.literal("rewound") }),
  z.object({ result: z.enum(["impossible", "broken off", "refused"]), reason: z.string() }),
]);

/**
 * Stops a member with all its own WAL replayed, which pg_rewind has to see. Returns why that was not possible; undefined
 * when it is stopped so. A standby that crashed is started once more for it: it harms nobody.
 */
export async function stopReplayed(member: MemberAccess, lock: Hold, seen: ReachedMember): Promise<string | undefined> {
  const end = seen.stray?.endLsn ?? "0/0";
  const { local, postgres, stray } = seen;
  if (postgres === undefined) {
    await stopService(member, lock, stopLimitSeconds);
    const hasReplayed =
      local.controlData?.state === "shut down in recovery" && lsnValue(stray?.minRecoveryLsn ?? "0/0") >= lsnValue(end);
    if (!local.standbySignal || hasReplayed) return undefined;
  }
  try {
    if (postgres === undefined) await startService(member, lock, startLimitSeconds);
    await withSession(member, (session) => waitUntilReplayed(session, member.name, end, replayLimitSeconds));
  } catch (error) {
    if (!(error instanceof WaitedTooLong)) throw error;
    await stopService(member, lock, stopLimitSeconds);
    return `it does not replay its own WAL up to ${end}`;
  }
  await stopService(member, lock, stopLimitSeconds);
  return undefined;
}

/**
 * Rewinds a stopped member to where it parted from the primary. pg_rewind reads the primary's pg_control, which names the
 * new timeline only after a checkpoint: without one it would take a diverged member for one that needs nothing.
 */
export async function rewindData(member: MemberAccess, primary: MemberAccess, lock: ClusterLock): Promise<Rewound> {
  await completeCheckpoint(primary);
  lock.assertHeld();
  const { paths } = member;
  const said = await askAgent(
    member.host,
    "rewind",
    {
      ...dataOrder(member, lock),
      programs: member.programs,
      config: paths.postgresqlConf,
      passfile: paths.passfile,
      source: [
        `host=${primary.declaration.replicationAddress} port=${primary.declaration.port} dbname=postgres`,
        `user=${replicationRole} application_name=${member.name} ${deadPeerOptions}`,
      ].join(" "),
      log: paths.rewindLog,
      limitSeconds: rewindLimitSeconds,
    },
    answer,
    // The host itself ends what takes longer, and says so.
    { limitSeconds: rewindLimitSeconds + 60, purpose: `rewind ${member.name} from ${primary.name}` },
  );
  if (said.result === "rewound") return { kind: "rewound" };
  if (said.result !== "refused") return { kind: said.result, reason: said.reason };
  throw new UserError(
    `${member.name} was not rewound: ${said.reason}.\n  It was left as it is: look at the host, then run \`pulumi up\` again.`,
  );
}

async function completeCheckpoint(primary: MemberAccess): Promise<void> {
  await withSession(
    primary,
    async (session) => {
      const { recovering } = await session.selectOne(
        z.object({ recovering: z.boolean() }),
        "select pg_is_in_recovery() as recovering",
      );
      if (recovering) {
        throw new UserError(`${primary.name} is no longer primary. Nothing was rewound. Run \`pulumi up\` again.`);
      }
      await session.query("checkpoint");
    },
    { statementLimitSeconds: checkpointLimitSeconds },
  );
}
