import { randomBytes } from "node:crypto";
import { z } from "zod";
import { readFiles } from "../remote/files.ts";
import { type MemberAccess, withSession } from "./access.ts";
import type { Goal } from "./decide.ts";

/** The passwords in force once a cluster is as declared. */
export interface Passwords {
  /** Undefined: the superuser keeps the one that it has, which we do not know. */
  readonly superuser: string | undefined;
  readonly replication: string;
}

/** Declared, or known from the state, or laid on the primary's host by an earlier `up`, or made now. */
export async function decideReplicationPassword(goal: Goal, primary: MemberAccess): Promise<string> {
  const known = goal.declared.replicationPassword ?? goal.recorded?.replicationPassword;
  return known ?? (await laidPassword(primary)) ?? generatePassword();
}

/**
 * Declared, or known from the state, or made now for a superuser that has none. A password that somebody may be using is
 * never set anew: undefined when there is one that we do not know. The primary runs.
 */
export async function decideSuperuserPassword(goal: Goal, primary: MemberAccess): Promise<string | undefined> {
  const known = goal.declared.superuserPassword ?? goal.recorded?.superuserPassword;
  if (known !== undefined) return known;
  return (await superuserHasPassword(primary)) ? undefined : generatePassword();
}

function generatePassword(): string {
  return randomBytes(24).toString("base64url");
}

/** The one in the member's passfile. */
async function laidPassword(member: MemberAccess): Promise<string | undefined> {
  const [passfile] = await readFiles(member.host, [member.paths.passfile]);
  const escaped = passfile?.content.trim().split(/(?<!\\):/)[4];
  return escaped?.replaceAll(/\\([\\:])/g, "$1");
}

async function superuserHasPassword(primary: MemberAccess): Promise<boolean> {
  return withSession(primary, async (session) => {
    const rows = await session.select(
      z.object({ has: z.boolean() }),
      "select rolpassword is not null as has from pg_authid where rolname = 'postgres'",
    );
    return rows[0]?.has === true;
  });
}
