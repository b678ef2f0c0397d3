import { randomBytes } from "node:crypto";
import { z } from "zod";
import { othersOf } from "../model/group.ts";
import { replicationRole, slotName } from "../model/names.ts";
import { matchesVerifier, scramVerifier } from "../model/scram.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";
import type { ClusterLock } from "./lock.ts";
import type { Reporter } from "./reporter.ts";

/** The role that standbys connect with, on the primary. Repeatable; a password that is right already is not set again. */
export async function ensureReplicationRole(primary: MemberAccess, password: string): Promise<void> {
  await ensureRole(primary, replicationRole, "login replication", password);
  await allowRewind(primary);
}

/** What the manual's page on pg_rewind lists for a role that is no superuser; each of these reads the data directory only. */
const rewindFunctions = [
  "pg_catalog.pg_ls_dir(text, boolean, boolean)",
  "pg_catalog.pg_stat_file(text, boolean)",
  "pg_catalog.pg_read_binary_file(text)",
  "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
];

/**
 * Lets a diverged member be rewound from this one with the replication role: what that role can read in this way it can
 * also copy with a base backup, so that no other role, and no superuser on the network, is needed.
 */
function allowRewind(primary: MemberAccess): Promise<void> {
  return withSession(primary, async (session) => {
    await session.query("set synchronous_commit = local");
    const { allowed } = await session.selectOne(
      z.object({ allowed: z.boolean() }),
      "select bool_and(has_function_privilege($1, name, 'execute')) as allowed from unnest($2::text[]) as name",
      [replicationRole, rewindFunctions],
    );
    if (allowed) return;
    await session.query(`grant execute on function ${rewindFunctions.join(", ")} to ${replicationRole}`);
  });
}

/** The password of postgres, on the primary. */
export function ensureSuperuserPassword(primary: MemberAccess, password: string): Promise<void> {
  return ensureRole(primary, "postgres", "login superuser", password);
}

function ensureRole(primary: MemberAccess, name: string, attributes: string, password: string): Promise<void> {
  return withSession(primary, async (session) => {
    // Standbys may not stream yet: nothing here may wait for them.
    await session.query("set synchronous_commit = local");
    const rows = await session.select(
      z.object({ rolpassword: z.string().nullable() }),
      "select rolpassword from pg_authid where rolname = $1",
      [name],
    );
    const existing = rows[0];
    if (existing !== undefined && matchesVerifier(password, existing.rolpassword)) return;
    const verb = existing === undefined ? "create" : "alter";
    const verifier = scramVerifier(password, randomBytes(16));
    await session.query(`${verb} role ${name} ${attributes} password '${verifier}'`);
  });
}

/**
 * One physical slot for every other member. On a standby they reserve nothing until it is promoted.
 * Slots of ours for members that are no longer declared are dropped: they would hold WAL for ever. So are lost ones, with
 * which nobody can stream any more, and made anew.
 */
export async function ensureSlots(access: ClusterAccess, member: MemberAccess): Promise<void> {
  const wanted = othersOf(access.group, member.name).map((other) => slotName(other.name));
  await withSession(member, async (session) => {
    await session.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_type = 'physical' and not active and wal_status = 'lost' and slot_name = any($1::text[])`,
      [wanted],
    );
    await session.query(
      `select pg_create_physical_replication_slot(wanted) from unnest($1::text[]) as wanted
        where wanted not in (select slot_name from pg_replication_slots)`,
      [wanted],
    );
    await session.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_type = 'physical' and not active and slot_name like 'pgha\\_%' and slot_name <> all($1::text[])`,
      [wanted],
    );
  });
}

/**
 * A demoted member's slots: the physical ones still hold WAL back to where the others once were, and begin anew, reserving
 * nothing. The logical ones go: their consumers read from the new primary, here they would hold WAL and dead rows for ever,
 * and keep the new primary's failover slots of the same names from being synchronised. Those that were are left. Nothing
 * is dropped where the member turns out to be a primary.
 * Errors: `UserError` when the lock was lost: it may have taken minutes until the member answered.
 */
export async function resetSlots(
  access: ClusterAccess,
  member: MemberAccess,
  lock: Pick<ClusterLock, "assertHeld">,
  reporter: Pick<Reporter, "info">,
): Promise<void> {
  lock.assertHeld();
  const isSynced = access.group.postgresVersion >= 17 ? "synced" : "false";
  const dropped = await withSession(member, (session) =>
    session.select(
      z.object({ slot_name: z.string(), slot_type: z.string() }),
      `select slot_name, slot_type, pg_drop_replication_slot(slot_name) from pg_replication_slots
        where pg_is_in_recovery() and not active and not temporary
          and (slot_type = 'logical' and not ${isSynced}
            or slot_type = 'physical' and slot_name like 'pgha\\_%' and restart_lsn is not null)`,
    ),
  );
  const logical = dropped.filter((slot) => slot.slot_type === "logical").map((slot) => slot.slot_name);
  if (logical.length > 0) {
    reporter.info(`${member.name}: logical slots of its time as primary were dropped: ${logical.join(", ")}`);
  }
  await ensureSlots(access, member);
}
