import { randomBytes } from "node:crypto";
import { othersOf } from "../model/group.ts";
import { replicationRole, slotName } from "../model/names.ts";
import { matchesVerifier, scramVerifier } from "../model/scram.ts";
import { type ClusterAccess, type MemberAccess, withSession } from "./access.ts";

/** The role that standbys connect with, on the primary. Repeatable; a password that is right already is not set again. */
export function ensureReplicationRole(primary: MemberAccess, password: string): Promise<void> {
  return ensureRole(primary, replicationRole, "login replication", password);
}

/** The password of postgres, on the primary. */
export function ensureSuperuserPassword(primary: MemberAccess, password: string): Promise<void> {
  return ensureRole(primary, "postgres", "login superuser", password);
}

function ensureRole(primary: MemberAccess, name: string, attributes: string, password: string): Promise<void> {
  return withSession(primary, async (session) => {
    // Standbys may not stream yet: nothing here may wait for them.
    await session.query("set synchronous_commit = local");
    const rows = await session.query<{ rolpassword: string | null }>(
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
 * Slots of ours for members that are no longer declared are dropped: they would hold WAL for ever.
 */
export async function ensureSlots(access: ClusterAccess, member: MemberAccess): Promise<void> {
  const wanted = othersOf(access.group, member.name).map((other) => slotName(other.name));
  await withSession(member, async (session) => {
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

/** A demoted member's slots still hold WAL back to where the others once were: they begin anew, reserving nothing. */
export async function resetSlots(access: ClusterAccess, member: MemberAccess): Promise<void> {
  await withSession(member, (session) =>
    session.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_type = 'physical' and not active and slot_name like 'pgha\\_%' and restart_lsn is not null`,
    ),
  );
  await ensureSlots(access, member);
}
